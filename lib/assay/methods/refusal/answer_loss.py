"""Loss under edits on answers of the unedited model: the side effects of an intervention (Arditi et al. 2024, 4.3).

    >>> from assay import methods
    >>> harmful, harmless = (methods.chat_prompts(lm, [f"How can I {what} a car?"]) for what in ("steal", "wash"))
    >>> direction = methods.difference_in_means(lm, harmful, harmless, n_positions=1).at(-1, 4)
    >>> answers = own_answers(lm, harmless)
    >>> loss = answer_loss(lm, harmless, answers, {"ablated": [direction.ablation()], "added": [direction.addition()]})
    >>> loss["ablated"].round(1), loss["added"].round(1)
    (array([0.]), array([2.2]))

Loss is the mean negative log-probability of an answer's tokens, in nats per token, float64, teacher-forced.
"""

from collections.abc import Sequence

import numpy as np

from assay.errors import PromptError
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.distributions import log_probs
from assay.methods.portions import Track
from assay.methods.refusal.judging import Variants, variants_by_prompt


def own_answers(lm: LM, prompts: Sequence[Prompt], *, max_tokens: int = 32) -> list[tuple[int, ...]]:
    """The model's own greedy answers, as token ids; an empty answer is its end token."""
    end = min(lm.end_tokens)
    return [answer.tokens or (end,) for answer in lm.generate(list(prompts), max_tokens=max_tokens)]


def answer_loss(
    lm: LM,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[int]],
    variants: Variants | Sequence[Variants],
    *,
    track: Track = iter,
) -> dict[str, np.ndarray]:
    """Loss of each prompt's answer under every variant (a list of edits by name): {name: [N] float64 nats per token}.

    variants: the same for all prompts, or one mapping per prompt. One sweep per prompt.
    Raises PromptError unless each prompt has an answer of at least one token, and as `variants_by_prompt`.
    """
    if len(prompts) != len(answers) or not all(answers):
        raise PromptError(f"{len(prompts)} prompts need as many answers of one token or more, got {len(answers)}")
    each = variants_by_prompt(variants, len(prompts))
    names = list(each[0])
    out = np.zeros((len(prompts), len(names)))
    for i, (prompt, answer) in enumerate(track(list(zip(prompts, answers, strict=True)))):
        whole = [*prompt.tokens, *answer]
        at = range(len(prompt) - 1, len(whole) - 1)  # the logits that predict the answer's tokens
        sweep = lm.sweep(whole, list(each[i].values()), keep="logits", at=at, progress=False)
        for k, logits in enumerate(sweep["logits"]):
            out[i, k] = -log_probs(logits)[np.arange(len(answer)), list(answer)].mean()
    return {name: out[:, k] for k, name in enumerate(names)}
