"""The same back-patching grid by torch hooks one by one, torch hooks in batches, nnsight and TransformerLens.

    pip install "mlx-assay[bench]"                # torch, transformers, nnsight, transformer-lens
    pytest suites/bench/test_peers.py

The grid is all back-patching pairs of the reference shape at the last token, with the log-probability of one token after each,
as in `test_sweeps.py`. Every peer gets the same weights, prompt and states, and its results are compared with assay's. One
round runs the whole grid by a peer and by assay in turn. **Batched** means one forward over many rows, with a hook in each
layer that patches the rows whose target is this layer.
"""

import copy
import statistics

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from pace import REFERENCE

import assay
from assay.timing import seconds

LENGTH, ROUNDS, TOKEN = 64, 3, 5
ROWS = 40
"""Rows of a batch: three batches for 120 pairs were faster than one when this was written."""


@pytest.fixture(scope="module")
def grid(reference_lm):
    """(ids, {layer: state [E]}, pairs): the input of every peer, as NumPy arrays."""
    lm = reference_lm
    ids = mx.random.randint(0, lm.family.vocab, (LENGTH,), key=mx.random.key(LENGTH)).tolist()
    run = lm.run(ids, keep="resid_post")
    states = [np.array(run["resid_post", i][0, -1]) for i in range(lm.n_layers)]
    return ids, states, [(s, t) for s in range(lm.n_layers) for t in range(s)]


@pytest.fixture(scope="module")
def torch_model(reference_lm):
    """transformers' Llama with the weights of the reference model."""
    torch = pytest.importorskip("torch", reason="runs where torch is installed: pip install 'mlx-assay[bench]'")
    transformers = pytest.importorskip("transformers")

    args = reference_lm.model.args
    config = transformers.LlamaConfig(
        **{key: value for key, value in REFERENCE.items() if key != "model_type"},
        rope_theta=args.rope_theta, tie_word_embeddings=args.tie_word_embeddings, head_dim=reference_lm.family.head_dim,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    weights = {name: torch.tensor(np.array(value)) for name, value in tree_flatten(reference_lm.model.parameters())}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def by_assay(lm, ids, states, pairs):

    clean = lm.run(ids, keep=assay.SWEEPABLE)
    patches = [assay.replace("resid_post", states[s], layer=t, position=-1) for s, t in pairs]
    return lm.sweep(clean, patches, targets=[TOKEN], progress=False).target_log_probs[:, 0].tolist()


def by_hooks(model, ids, states, pairs):
    """A forward for each pair, with a hook on its target layer."""
    import torch

    tokens, found = torch.tensor([ids]), []
    vectors = [torch.tensor(state) for state in states]
    for source, target in pairs:

        def patch(module, args, output, source=source):
            hidden = output[0] if isinstance(output, tuple) else output
            hidden[:, -1] = vectors[source]

        handle = model.model.layers[target].register_forward_hook(patch)
        with torch.inference_mode():
            found.append(model(tokens, logits_to_keep=1).logits[0, -1].log_softmax(-1)[TOKEN].item())
        handle.remove()
    return found


def by_batched_hooks(model, ids, states, pairs):
    """A forward for `ROWS` pairs; the hook of a layer patches the rows whose target is this layer."""
    import torch

    vectors, found = torch.stack([torch.tensor(state) for state in states]), []
    for start in range(0, len(pairs), ROWS):
        part = torch.tensor(pairs[start : start + ROWS])
        handles = []
        for i, layer in enumerate(model.model.layers):
            rows = (part[:, 1] == i).nonzero()[:, 0]
            if not len(rows):
                continue

            def patch(module, args, output, rows=rows, part=part):
                hidden = output[0] if isinstance(output, tuple) else output
                hidden[rows, -1] = vectors[part[rows, 0]]

            handles.append(layer.register_forward_hook(patch))
        with torch.inference_mode():
            logits = model(torch.tensor([ids] * len(part)), logits_to_keep=1).logits[:, -1]
        found += logits.log_softmax(-1)[:, TOKEN].tolist()
        for handle in handles:
            handle.remove()
    return found


def by_nnsight(wrapped, ids, states, pairs):
    """A trace for each pair."""
    import torch

    tokens, found = torch.tensor([ids]), []
    vectors = [torch.tensor(state) for state in states]
    with torch.inference_mode():
        for source, target in pairs:
            with wrapped.trace(tokens):
                hidden = wrapped.model.layers[target].output
                (hidden[0] if isinstance(hidden, tuple) else hidden)[:, -1] = vectors[source]
                logits = wrapped.lm_head.output[0, -1].save()
            found.append(logits.log_softmax(-1)[TOKEN].item())
    return found


def by_transformer_lens(hooked, ids, states, pairs):
    """A forward for each pair, with a hook on the residual stream behind its target."""
    import torch

    tokens, found = torch.tensor([ids]), []
    vectors = [torch.tensor(state) for state in states]
    with torch.inference_mode():
        for source, target in pairs:

            def patch(value, hook, source=source):
                value[:, -1] = vectors[source]
                return value

            logits = hooked.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{target}.hook_out", patch)])
            found.append(logits[0, -1].log_softmax(-1)[TOKEN].item())
    return found


def compare(name, peer, reference_lm, grid, row, *, few=None):
    """Times the peer and assay in turn; with `few`, the peer is timed on `few` pairs, and its time multiplied."""
    ids, states, pairs = grid
    some = pairs[:: len(pairs) // few] if few else pairs
    expected = dict(zip(pairs, by_assay(reference_lm, ids, states, pairs), strict=True))
    found = peer(ids, states, some)
    assert found == pytest.approx([expected[pair] for pair in some], abs=1e-3)
    theirs, ours = [], []
    for _ in range(ROUNDS):
        theirs.append(seconds(lambda: peer(ids, states, some)) * len(pairs) / len(some))
        ours.append(seconds(lambda: by_assay(reference_lm, ids, states, pairs)))
    theirs, ours = statistics.median(theirs), statistics.median(ours)
    row(
        f"back-patching, {name}", reference_lm.name, f"{LENGTH} tokens", f"{len(pairs)} pairs",
        f"{theirs:.2f} s", f"assay {ours:.3f} s", f"{theirs / ours:.1f}x",
    )  # fmt: skip


def test_torch_hooks_one_by_one(reference_lm, torch_model, grid, row):
    compare("torch hooks one by one", lambda *given: by_hooks(torch_model, *given), reference_lm, grid, row)


def test_torch_hooks_batched(reference_lm, torch_model, grid, row):
    compare("torch hooks batched", lambda *given: by_batched_hooks(torch_model, *given), reference_lm, grid, row)


def test_nnsight(reference_lm, torch_model, grid, row):
    nnsight = pytest.importorskip("nnsight", reason="runs where nnsight is installed: pip install 'mlx-assay[bench]'")
    wrapped = nnsight.NNsight(torch_model)
    compare("nnsight", lambda *given: by_nnsight(wrapped, *given), reference_lm, grid, row, few=24)


def test_transformer_lens(reference_lm, torch_model, grid, row):
    pytest.importorskip("transformer_lens", reason="runs where it is installed: pip install 'mlx-assay[bench]'")
    build = pytest.importorskip("transformer_lens.model_bridge.sources")
    model = copy.deepcopy(torch_model)  # TransformerLens's bridge changes the model
    hooked = build.build_bridge_from_module(model, "LlamaForCausalLM", hf_config=model.config)
    compare("TransformerLens", lambda *given: by_transformer_lens(hooked, *given), reference_lm, grid, row, few=24)
