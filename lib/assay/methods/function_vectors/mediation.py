"""Causal mediation: which heads carry a task from the examples to the answer (Todd et al. 2024, section 2.2; FV-3).

    >>> from assay import methods
    >>> from assay.data.tasks import task, tasks
    >>> shown, corrupted = (
    ...     methods.draw_trials(lm, task("antonym"), n_shots=5, split="valid", limit=1, labels=labels, others=tasks())
    ...     for labels in ("own", "mixed")
    ... )
    >>> effects = head_effects(lm, corrupted[0], methods.record_heads(lm, shown).means())
    >>> effects.shape, methods.top_heads(effects, 1)               # the planted heads are in layer 3
    ((8, 8), [(3, 5)])

The labels of a prompt are corrupted, so that it does not show its task. One head's z at the last token is replaced by its mean
over prompts that show the task. The *indirect effect* is the rise in the probability of the right answer. `head_effects`
measures it exactly, all heads in one sweep. `estimated_head_effects` is attribution patching: the first-order estimate for all
heads, gradient . (mean - z), from one backward pass.
"""

from collections.abc import Mapping, Sequence

import mlx.core as mx
import numpy as np

from assay.data.in_context import ROLES
from assay.errors import PromptError
from assay.forward.edits import Edit, replace
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.function_vectors.head_means import HeadMeans
from assay.methods.function_vectors.in_context import Trial
from assay.methods.heads import Head


def head_effects(lm: LM, one: Trial, means: HeadMeans) -> np.ndarray:
    """The exact indirect effect of every head on one trial: [layers, H], in probability."""
    variants = [
        replace("z", means.z[layer, head], layer=layer, head=head, position=-1)
        for layer in range(lm.n_layers)
        for head in range(lm.n_heads)
    ]
    return _gained(lm, one, variants).reshape(lm.n_layers, lm.n_heads)


def estimated_head_effects(lm: LM, one: Trial, means: HeadMeans) -> np.ndarray:
    """The first-order estimate of `head_effects`: [layers, H], in probability (attribution patching)."""
    run, gradients = lm.gradients(
        one.prompt, sites="z", target=lambda logits: mx.softmax(logits, axis=-1)[0, one.token]
    )
    rows = []
    for layer in range(lm.n_layers):
        change = means.z[layer] - run["z", layer][0, -1].astype(mx.float32)
        rows.append((gradients["z", layer][0, -1] * change).sum(axis=-1))
    return np.array(mx.stack(rows))


def prompt_pieces(one: Trial) -> list[tuple[str, tuple[int, ...]]]:
    """The pieces of a prompt: (role, its tokens). A token in two pieces belongs to the later one, BOS to none.

    Raises PromptError when a piece has no token of its own: means over prompts would then lack that piece.
    """
    spans, prompt = one.context.spans, one.prompt
    owner = {}
    for i, (_, start, end) in enumerate(spans):
        owner.update(dict.fromkeys(_overlapping(prompt, start, end), i))
    tokens = [tuple(t for t, of in owner.items() if of == i) for i in range(len(spans))]
    for (role, start, end), own in zip(spans, tokens, strict=True):
        if not own:
            raise PromptError(f"the {role} {one.context.text[start:end]!r} has no token of its own in this vocabulary")
    return [(role, own) for (role, _, _), own in zip(spans, tokens, strict=True)]


def _overlapping(prompt: Prompt, start: int, end: int) -> list[int]:
    return [i for i, (a, b) in enumerate(prompt.spans or ()) if a < end and b > start]


def head_means_by_piece(lm: LM, trials: Sequence[Trial], heads: Sequence[Head]) -> mx.array:
    """Mean z of some heads at each piece of the prompts [heads, pieces, D], first over the tokens of a piece (FV-2).

    Raises PromptError unless all prompts have the same pieces: as many shots, in one template.
    """
    total, shape = None, None
    for one in trials:
        of = prompt_pieces(one)
        roles = [role for role, _ in of]
        if shape is not None and roles != shape:
            raise PromptError(
                "prompts with different pieces have no common mean: use one number of shots and one template"
            )
        shape = roles
        run = lm.run(one.prompt, keep=[("z", layer) for layer in sorted({layer for layer, _ in heads})])
        rows = mx.stack(
            [
                mx.stack(
                    [run["z", layer][0, mx.array(tokens), head].astype(mx.float32).mean(axis=0) for _, tokens in of]
                )
                for layer, head in heads
            ]
        )
        total = rows if total is None else total + rows
        mx.eval(total)
    if total is None:
        raise PromptError("there is nothing to take a mean of: no trial was given")
    return total / len(trials)


def head_effects_by_role(lm: LM, one: Trial, heads: Sequence[Head], means: mx.array) -> Mapping[str, np.ndarray]:
    """The indirect effect of each head when its z is replaced at all tokens of one role: {role: [heads]}, in probability.

    means: from `head_means_by_piece` over prompts of the same form. (The paper's appendix; `head_effects`: the last token only.)
    """
    of = prompt_pieces(one)
    roles = [role for role in ROLES if any(role == r for r, _ in of)]
    variants = [_replace_role(of, role, means[i], head) for role in roles for i, head in enumerate(heads)]
    gained = _gained(lm, one, variants).reshape(len(roles), len(heads))
    return dict(zip(roles, gained, strict=True))


def _replace_role(of: Sequence[tuple[str, tuple[int, ...]]], role: str, means: mx.array, head: Head) -> Edit:
    """An edit that replaces z of one head at all tokens of a role, each by the mean of its piece; means [pieces, D]."""
    tokens = [(token, i) for i, (r, own) in enumerate(of) if r == role for token in own]
    value = means[mx.array([i for _, i in tokens])]
    return replace("z", value, layer=head[0], head=head[1], position=[token for token, _ in tokens])


def _gained(lm: LM, one: Trial, variants: Sequence[Edit]) -> np.ndarray:
    """The rise in the probability of the right first token under each edit, [variants]."""
    sweep = lm.sweep(one.prompt, variants, targets=[one.token], progress=False)
    plain = np.exp(np.array(sweep.clean.log_probs()[0, one.token]))
    return np.exp(sweep.target_log_probs[:, 0]) - plain
