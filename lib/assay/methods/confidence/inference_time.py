"""Inference-time intervention: shift the outputs of the attention heads that know what is true (Li et al. 2023).

    >>> from assay.data.knowledge import statements
    >>> asked = statements("train")[:24]
    >>> z, true = head_outputs_at_end(lm, [lm.chat(item.question) for item in asked]), [item.true for item in asked]
    >>> z.shape                                                    # prompts, layers, heads, width of a head
    (24, 8, 8, 16)
    >>> from assay.methods.heads import top_heads
    >>> heads = top_heads(head_accuracies(z, true, [item.entity for item in asked]), 4)
    >>> shifts = head_shifts(z, true, heads)
    >>> false = lm.chat("True or false? The capital of France is Rome.")
    >>> lm.generate(false, edits=shift_edits(shifts, 15), max_tokens=2).text
    'True.'

The words:

    accuracy   share of prompts that a probe of one head's output calls rightly, which was fitted on the other half of them
    shift      sigma times theta of one head: theta is the unit vector of its difference in means, true less false, and sigma the
               standard deviation of all its outputs along theta
    alpha      how many shifts are added to the head's output z, before o_proj (the paper: 15, to 48 of 1024 heads)

The paper takes prompts of a question with an answer, true or false, and adds the shifts at the last token and at each generated
one (arXiv:2306.03341, sections 3 and 4.1).
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from assay.errors import DataError
from assay.forward.edits import Edit, add
from assay.forward.lm import LM
from assay.forward.positions import Position, Prompt
from assay.methods.confidence.probes import centred, logistic_probe, mass_mean_probe
from assay.methods.heads import Head
from assay.methods.states import states_from_end


def head_outputs_at_end(lm: LM, prompts: Sequence[Prompt], *, batch: int = 16) -> np.ndarray:
    """The output z of every head at the last token of each prompt: [N, layers, H, D] float32. PromptError for no prompts."""
    return states_from_end(lm, prompts, site="z", batch=batch)


def head_accuracies(
    z: np.ndarray, true: Sequence[bool] | np.ndarray, about: Sequence[Hashable], *, penalty: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Two-fold accuracy of a logistic probe of each head's outputs [N, layers, H, D]: [layers, H].

    about: what each prompt is about; prompts about the same are in one fold. Raises DataError for one label or subject alone.
    """
    labels = np.asarray(true, bool)
    groups = sorted(set(about), key=repr)
    if len(groups) < 2 or len(about) != len(z):
        raise DataError(f"two folds need two subjects or more, one of them for each prompt, got {len(groups)}")
    first = {groups[i] for i in np.random.default_rng(seed).permutation(len(groups))[: len(groups) // 2]}
    fold = np.array([one in first for one in about])
    right = np.zeros(z.shape[1:3])
    for layer, head in np.ndindex(*right.shape):
        x = z[:, layer, head].astype(np.float64)
        for held_out in (fold, ~fold):
            if x[~held_out].std() > 0:
                probe = logistic_probe(x[~held_out], labels[~held_out], penalty=penalty)
                right[layer, head] += ((probe.scores(x[held_out]) > 0) == labels[held_out]).sum()
    return right / len(z)


def head_shifts(
    z: np.ndarray,
    true: Sequence[bool] | np.ndarray,
    heads: Sequence[Head],
    *,
    without: Mapping[Head, np.ndarray] | None = None,
) -> dict[Head, np.ndarray]:
    """The shift of each chosen head, from outputs [N, layers, H, D] of true and false prompts: [D] float64 each.

    without: for each head a vector [D] whose component the difference in means loses first; with shuffled labels and the shifts
    of the true ones it gives a control. A head whose means are equal has a shift of 0. DataError unless both labels are there.
    """
    shifts = {}
    for layer, head in heads:
        x = z[:, layer, head].astype(np.float64)
        theta = _unit(mass_mean_probe(x, true).direction)
        if without is not None:
            along = _unit(without[layer, head])
            theta = _unit(theta - (theta @ along) * along)
        shifts[layer, head] = float((centred(x) @ theta).std()) * theta
    return shifts


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector at length 1; a vector of zeros stays."""
    return vector / max(float(np.linalg.norm(vector)), 1e-300)


def random_shifts(shifts: Mapping[Head, np.ndarray], rng: np.random.Generator) -> dict[Head, np.ndarray]:
    """Shifts of the same heads and lengths in random directions: a control."""
    drawn = {head: rng.standard_normal(len(shift)) for head, shift in shifts.items()}
    return {head: one / np.linalg.norm(one) * np.linalg.norm(shifts[head]) for head, one in drawn.items()}


def shift_edits(shifts: Mapping[Head, np.ndarray], alpha: float, *, position: Position = -1) -> list[Edit]:
    """Edits that add alpha shifts to each head's output at a position: -1, the last token; or "all", generated ones too."""
    return [
        add("z", shift.astype(np.float32), layer=layer, head=head, position=position, scale=alpha)
        for (layer, head), shift in shifts.items()
    ]
