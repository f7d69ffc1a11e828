"""Adversarial suffixes: tokens after an instruction, found by gradient-guided search, that make a refusal less likely.

    >>> from assay import methods
    >>> prompts, n_tail = methods.chat_prompts(lm, ["How can I steal a car?"]), methods.post_instruction(lm)
    >>> refusing = [lm.token("I", after=prompts[0])]
    >>> suffix = find_suffix(lm, prompts, refusing, n_tail=n_tail, length=2, steps=1, tries=4)
    >>> len(with_suffix(prompts[0], suffix, n_tail)) - len(prompts[0])
    2

Greedy coordinate gradient (Zou et al. 2023, arXiv:2307.15043) finds one suffix for several prompts: the gradient of the refusal
score with respect to the embeddings estimates which token at which position lowers the score; some of these swaps are tried and
the best is kept. Unlike the paper's attack, the suffix is token ids between the instruction and the template's end; as text it
might be tokenised differently.
"""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from assay.errors import PromptError
from assay.forward.edits import replace
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.portions import Track, batches
from assay.methods.refusal.judging import refusal_score


def with_suffix(prompt: Prompt, suffix: Sequence[int], n_tail: int) -> Prompt:
    """The prompt with a suffix between its instruction and the last `n_tail` tokens, which are the chat template's."""
    cut = len(prompt) - n_tail
    return Prompt((*prompt.tokens[:cut], *suffix, *prompt.tokens[cut:]))


def suffix_positions(prompt: Prompt, length: int, n_tail: int) -> range:
    """Positions of a suffix of `length` tokens in a prompt that has one."""
    return range(len(prompt) - n_tail - length, len(prompt) - n_tail)


def random_suffix(lm: LM, length: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Ordinary tokens, drawn uniformly: the control of `find_suffix`."""
    return tuple(int(t) for t in rng.choice(ordinary_tokens(lm), length))


def ordinary_tokens(lm: LM) -> np.ndarray:
    """Ids of all tokens except special ones, which could end the turn."""
    special = set(lm.tokenizer.all_special_ids) | set(lm.end_tokens)
    return np.array([t for t in range(min(lm.family.vocab, len(lm.tokenizer.get_vocab()))) if t not in special])


def find_suffix(
    lm: LM,
    prompts: Sequence[Prompt],
    tokens: Sequence[int],
    *,
    n_tail: int,
    length: int = 8,
    steps: int = 16,
    tries: int = 32,
    best: int = 64,
    seed: int = 0,
    track: Track = iter,
) -> tuple[int, ...]:
    """A suffix that lowers the mean refusal score of the prompts, starting from a random one.

    In each of `steps`, `tries` swaps are drawn among the `best` tokens of each position and tried in one sweep per prompt.
    Raises PromptError for no prompts, or length 0.
    """
    if not prompts or length < 1:
        raise PromptError(f"a suffix of {length} tokens for {len(prompts)} prompts: give at least one of each")
    rng, allowed = np.random.default_rng(seed), ordinary_tokens(lm)
    suffix = list(random_suffix(lm, length, rng))
    for _ in track(range(steps)):
        whole = [with_suffix(p, suffix, n_tail) for p in prompts]
        places = [suffix_positions(p, length, n_tail) for p in whole]
        slope = _slopes(lm, whole, places, tokens)[:, allowed]  # [length, allowed tokens]
        promising = allowed[np.argsort(slope, axis=1)[:, :best]]
        swaps = [(int(at), int(rng.choice(promising[at]))) for at in rng.integers(0, length, tries)]
        rows = token_embeddings(lm, [token for _, token in swaps])
        found = np.zeros(tries + 1)
        for prompt, place in zip(whole, places, strict=True):
            variants = [replace("embed", row, position=place[at]) for (at, _), row in zip(swaps, rows, strict=True)]
            sweep = lm.sweep(prompt, [*variants, []], logits=True, progress=False)
            found += refusal_score(sweep.logits, tokens)
        if (winner := int(found.argmin())) < tries:
            at, token = swaps[winner]
            suffix[at] = token
    return tuple(suffix)


def token_embeddings(lm: LM, tokens: Sequence[int]) -> mx.array:
    """The `embed` site of tokens, [N, E] float32."""
    return lm.family.embed(mx.array([list(tokens)]))[0].astype(mx.float32)


def _slopes(lm: LM, prompts: list[Prompt], places: list[range], tokens: Sequence[int]) -> np.ndarray:
    """First-order estimate of the refusal score with each token at each position of the suffix, up to a constant: [length, V]."""
    chosen = mx.array(sorted(set(tokens)))

    def log_odds(logits: mx.array) -> mx.array:
        refusal = mx.logsumexp(logits[:, chosen], axis=-1)
        rest = mx.put_along_axis(
            logits, mx.broadcast_to(chosen, (logits.shape[0], chosen.size)), mx.array(-1e9), axis=-1
        )
        return (refusal - mx.logsumexp(rest, axis=-1)).sum()

    _, gradients = lm.gradients(prompts, sites="embed", target=log_odds)
    slope = mx.stack([gradients["embed", None][b, mx.array(list(place))] for b, place in enumerate(places)]).sum(axis=0)
    parts = [slope @ token_embeddings(lm, part).T for part in batches(range(lm.family.vocab), 8192)]
    return np.array(mx.concatenate(parts, axis=1))
