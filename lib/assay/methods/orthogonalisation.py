"""Weight orthogonalisation: a checkpoint that cannot write a direction (Arditi et al. 2024, section 4.1).

    >>> edited = orthogonalise(lm, np.ones(lm.width))
    >>> edited.embedding, edited.largest_leak < 0.01
    ('edited', True)
    >>> save_orthogonalised(edited, "orthogonal", source="llama_tiny").name       # a checkpoint for mlx_lm.load
    'orthogonal'

Every matrix that writes to the residual stream (embedding, o_proj, down_proj, and their biases) loses its component along
the unit direction u: W := W - u (u W). The stream then has no component along u, as under `assay.ablate(u)` at run time.
The two agree as follows:

    pre-norm families     equal except for rounding (Llama, Mistral, Qwen, Phi-3)
    tied embeddings       the embedding is also the unembedding, which must not change: it is kept as a separate lm_head.
                          mlx-lm's Gemma-2 cannot have one: there the embedding stays unedited (`embedding="kept"`) and still
                          writes its component along u
    post-norm families    the stream gets gain * a / rms(a), with a the matrix's output (Gemma). It has no component along u
                          when a has none along gain * u, so that is removed. The result differs from run-time ablation: the
                          rms is taken after the removal, and the removed direction is another one
    quantised weights     edited in float32 and quantised again, which leaves a small component along u (a leak); or left
                          dense ("dense"), with a leak of that dtype's rounding only. See `Orthogonalised.leaks`

For a quantised model, run-time ablation is the exact form of the edit: a rank-1 correction of unchanged weights.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm import utils as mlx_lm

from assay.errors import CheckpointError, EditError
from assay.forward.edits import Edit, project_out, unit
from assay.forward.lm import LM
from assay.methods.heads import norm_gain
from assay.models.files import read_json
from assay.models.registry import locate, resolve
from assay.models.weights import dense_weight, is_quantised

Requantise = Literal["requantise", "dense"]


@dataclass(frozen=True, eq=False)
class Orthogonalised:
    """The edited model, which shares all unedited weights with the old one, and the leaks of its matrices."""

    lm: LM
    """The edited model, ready to run. The old one is unchanged."""
    embedding: Literal["edited", "kept"]
    """Whether the embedding was edited; "kept" where it is also the unembedding and the model can't have both."""
    untied: bool
    """Whether the unembedding became a separate matrix."""
    leaks: Mapping[str, float]
    """For each edited matrix, by path: its component along the direction, relative to that before the edit."""

    @property
    def largest_leak(self) -> float:
        return max(self.leaks.values())


def orthogonalise(lm: LM, direction: Any, *, quantised: Requantise = "requantise") -> Orthogonalised:
    """Remove a direction [E] from everything that the model writes to its residual stream.

    quantised: form of edited matrices that were quantised in memory: "requantise" as before, or "dense" in the dtype of their
    scales. (On a CPU only models loaded with weights="stored" have such matrices.) Raises EditError for a direction that is
    not [E], or of length 0.
    """
    if quantised not in ("requantise", "dense"):
        raise EditError(f"quantised is 'requantise' or 'dense', got {quantised!r}")
    u = unit(direction)
    if u.shape != (lm.width,):
        raise EditError(f"a direction of {lm.name} has shape ({lm.width},), this one has {u.shape}")
    family, old = lm.family, lm.model
    weights = dict(tree_flatten(old.parameters()))
    untied = family.tied and _has_separate_head(old)
    dense: set[str] = set()
    leaks = {}
    for path, line in _written_lines(lm, u, embedding=not family.tied or untied).items():
        module = _module_at(old, path)
        edited, leaks[path] = _edited(module, line, quantised)
        for name in [name for name in weights if name.startswith(f"{path}.")]:
            if untied and path == EMBEDDING:
                weights[name.replace(EMBEDDING, "lm_head")] = weights[name]
            del weights[name]
        weights |= {f"{path}.{name}": value for name, value in edited.items()}
        if is_quantised(module) and quantised == "dense":
            dense.add(path)
    model = _rebuilt(old, weights, untied, dense)
    published = lm.published and dataclasses.replace(lm.published, tied=lm.published.tied and not untied)
    changed = LM(
        model, lm.tokenizer, name=f"{lm.name}, orthogonalised", activations=lm.activations, published=published,  # type: ignore[arg-type]
    )  # fmt: skip
    return Orthogonalised(changed, "kept" if family.tied and not untied else "edited", untied, leaks)


EMBEDDING = "model.embed_tokens"


def _written_lines(lm: LM, u: mx.array, *, embedding: bool) -> dict[str, mx.array]:
    """The matrices that write to the stream, by path, and the unit vector [E] to remove from the output of each."""
    lines = {EMBEDDING: u} if embedding else {}
    for i in range(lm.n_layers):
        for path, norm in (("self_attn.o_proj", lm.family.attention_norm(i)), ("mlp.down_proj", lm.family.mlp_norm(i))):
            lines[f"model.layers.{i}.{path}"] = u if norm is None else unit(norm_gain(norm) * u)
    return lines


def same_at_run_time(edited: Orthogonalised, lm: LM, direction: Any) -> list[Edit]:
    """Edits of the old model that have the effect of the edited weights, matrix by matrix, without rounding or leak.

    In pre-norm families they are equivalent to `assay.ablate(direction)`.
    """
    sites = {"o_proj": "attn_raw", "down_proj": "mlp_raw"}
    removed = []
    for path, line in _written_lines(lm, unit(direction), embedding=edited.embedding == "edited").items():
        if path == EMBEDDING:
            removed.append(project_out("embed", line, position="all"))
        else:
            layer, module = int(path.split(".")[2]), path.rpartition(".")[2]
            removed.append(project_out(sites[module], line, layer=layer, position="all"))
    return removed


def _edited(module: Any, line: mx.array, quantised: Requantise) -> tuple[dict[str, mx.array], float]:
    """Remove the component of a matrix's output along `line` [E] -> its new parameters by name, and the leak.

    The output axis is the first of linear weights [out, in], and the last of embeddings [vocabulary, E].
    """
    is_embedding = isinstance(module, nn.Embedding | nn.QuantizedEmbedding)
    along: Callable[[mx.array], mx.array] = lambda w: w @ line if is_embedding else line @ w  # noqa: E731
    weight = dense_weight(module).astype(mx.float32)
    before = along(weight)
    without = weight - (before[:, None] * line if is_embedding else line[:, None] * before)
    new: dict[str, mx.array] = {}
    if not is_quantised(module):
        new["weight"] = without.astype(module.weight.dtype)
        left = new["weight"].astype(mx.float32)
    elif quantised == "dense":
        new["weight"] = without.astype(module.scales.dtype if module.mode == "affine" else mx.bfloat16)
        left = new["weight"].astype(mx.float32)
    else:
        as_before = without.astype(module.scales.dtype if module.mode == "affine" else mx.float32)
        parts = mx.quantize(as_before, module.group_size, module.bits, mode=module.mode)
        new |= dict(zip(("weight", "scales", "biases"), parts, strict=False))
        biases = [part.astype(mx.float32) for part in parts[2:]]
        scales = parts[1].astype(mx.float32) if biases else parts[1]
        left = mx.dequantize(
            parts[0],
            scales,
            *biases,
            group_size=module.group_size,
            bits=module.bits,
            mode=module.mode,
            dtype=mx.float32,
        )
    if (bias := module.get("bias")) is not None:
        wide = bias.astype(mx.float32)
        new["bias"] = (wide - line * (line @ wide)).astype(bias.dtype)
    leak = mx.linalg.norm(along(left)) / mx.maximum(mx.linalg.norm(before), 1e-30)
    mx.eval(new, leak)
    return new, float(leak.item())  # type: ignore[arg-type]


def _has_separate_head(model: nn.Module) -> bool:
    """Whether mlx-lm's class of this model can have a separate lm_head, as its config may ask for."""
    args: Any = getattr(model, "args", None)
    if args is None or model.model_type == "gemma2":
        return False
    return hasattr(args, "tie_word_embeddings") or model.model_type == "gemma3_text"


def _rebuilt(old: Any, weights: dict[str, mx.array], untied: bool, dense: set[str]) -> nn.Module:
    """A new model of the same class over `weights`, made as by mlx-lm's loader, without copies."""
    changes = {"tie_word_embeddings": False} if untied and hasattr(old.args, "tie_word_embeddings") else {}
    model = type(old)(dataclasses.replace(old.args, **changes))
    if hasattr(model, "sanitize"):
        weights = model.sanitize(weights)
    kinds = {
        path: {"group_size": m.group_size, "bits": m.bits, "mode": m.mode}
        for path, m in old.named_modules()
        if is_quantised(m) and path not in dense
    }
    if untied and is_quantised(old.model.embed_tokens):  # the head keeps the form that the embedding had
        m = old.model.embed_tokens
        kinds["lm_head"] = {"group_size": m.group_size, "bits": m.bits, "mode": m.mode}
    if kinds:
        nn.quantize(model, class_predicate=lambda path, _: kinds.get(path, False))
    model.eval()
    model.load_weights(list(weights.items()), strict=True)
    mx.eval(model.parameters())
    return model


def _module_at(model: Any, path: str) -> Any:
    """The module at a dotted path."""
    for name in path.split("."):
        model = model[int(name)] if name.isdigit() else getattr(model, name)
    return model


def save_orthogonalised(edited: Orthogonalised, folder: str | Path, *, source: str | Path) -> Path:
    """Write the edited model as a checkpoint that `mlx_lm.load` and `assay.load` open -> its folder.

    source: name or folder of the original model, for its config, end tokens and licence files.
    Raises CheckpointError when the folder exists and is not empty: nothing is overwritten.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} exists and is not empty: give a new folder")
    original = locate(resolve([str(source)])[0])
    config = read_json(original / "config.json")
    if config.get("model_type") != edited.lm.model.model_type:
        raise CheckpointError(
            f"{source} is a {config.get('model_type')}, the edited model a {edited.lm.model.model_type}: "
            "give the model that it was made from"
        )
    if edited.untied:
        config["tie_word_embeddings"] = False
    if not any(is_quantised(module) for module in edited.lm.model.modules()):
        for key in ("quantization", "quantization_config"):  # the edited weights are dense
            config.pop(key, None)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    mlx_lm.save(folder, original, edited.lm.model, edited.lm.tokenizer, config, donate_model=False)
    return folder
