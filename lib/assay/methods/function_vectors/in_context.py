"""In-context learning: ask a model for the output of a task, and score the answer (Todd et al. 2024, section 2.1; FV-1).

    >>> from assay.data.tasks import task
    >>> trials = draw_trials(lm, task("antonym"), n_shots=10, split="test", limit=4)
    >>> trials[0].context.text[-9:], trials[0].context.answer
    (': rare\\nA:', ' common')
    >>> answer_trials(lm, trials).right, writes_answers(lm, trials[:1])
    (array([ True,  True,  True,  True]), array([ True]))

A *trial* is a prompt and the first token of its right answer. A trial is right when that token is the likeliest (rank 0).
The first token may not tell the answer: " walked" may begin with " walk". So pairs whose answer begins like the input, or like
the answer that another task has for the same input, are left out of the queries (`usable_queries`), and `writes_answers`
scores whole words.
"""

import random
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes

import mlx.core as mx
import numpy as np

from assay.data.in_context import DEFAULT, InContext, Labels, Template, sample
from assay.data.tasks import Pair, Task
from assay.errors import PromptError
from assay.forward.edits import Edit
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.forward.run import Run
from assay.methods.distributions import log_softmax
from assay.methods.portions import batches

BATCH = 8  # prompts per forward pass


@dataclass(frozen=True)
class Trial:
    """One prompt of a task, tokenised, and the first token of its right answer."""

    task: str
    context: InContext
    prompt: Prompt
    token: int

    @property
    def asked(self) -> tuple[str, str]:
        """The task and the input; trials that ask the same, with other shots or in another template, are not independent."""
        return self.task, self.context.query[0]


@dataclass(frozen=True, eq=False)
class TrialScores:
    """How trials were answered: rank (0: the likeliest) and log-probability of the right first token, [trials]."""

    ranks: np.ndarray
    log_probs: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether the right token was the likeliest, [trials]."""
        return self.ranks == 0

    def top(self, k: int) -> np.ndarray:
        """Whether the right token was among the k likeliest, [trials]."""
        return self.ranks < k

    @staticmethod
    def join(scores: Iterable["TrialScores"]) -> "TrialScores":
        """The concatenation of several scores."""
        scores = list(scores)
        return TrialScores(np.concatenate([s.ranks for s in scores]), np.concatenate([s.log_probs for s in scores]))


def usable_queries(
    lm: LM, task: Task, split: str, others: Iterable[Task] = (), *, copies: bool = False
) -> tuple[tuple[Pair, ...], int]:
    """The pairs of a split that can be queries, and how many were left out.

    A pair is left out if its answer has the first token of the input, or of the answer that one of `others` has for the input.
    copies: keep answers that begin like the input, for a task that asks for a copy.
    """
    rivals = [dict(other.pairs) for other in others if other.name != task.name]
    pairs, kept = task.split(split), []
    for given, output in pairs:
        taken = [] if copies else [given]
        taken += [known[given] for known in rivals if given in known]
        if lm.token(f" {output}") not in {lm.token(f" {text}") for text in taken}:
            kept.append((given, output))
    return tuple(kept), len(pairs) - len(kept)


def draw_trials(
    lm: LM,
    task: Task,
    *,
    n_shots: int,
    split: str = "test",
    limit: int | None = None,
    labels: Labels = "own",
    others: Iterable[Task] | None = None,
    template: Template = DEFAULT,
    copies: bool = False,
    inputs: Collection[str] | None = None,
    seed: int = 0,
    shown: int = 0,
) -> list[Trial]:
    """Trials of a task: each usable query of the split once, up to `limit` of them; shots come from the train split.

    With a `limit` above the number of queries, queries repeat with other shots. `seed` decides the order and the shots;
    another `shown` gives the same queries other shots.
    others: the tasks that `usable_queries` compares with and that mixed labels come from. copies: as in `usable_queries`.
    inputs: the inputs that may be asked; by default all.
    Raises PromptError when no query is usable, and DataError when the task has fewer pairs than shots.
    """
    queries, left_out = usable_queries(lm, task, split, others or (), copies=copies)
    if not queries:
        raise PromptError(
            f"task {task.name!r} has no query to ask in its {split} split: {left_out} of its {left_out} pairs there have an "
            "answer whose first token is that of the input, or of another task's answer"
        )
    order = random.Random(f"{seed} {task.name} {split}").sample(queries, len(queries))
    order = [query for query in order if inputs is None or query[0] in inputs]
    if not order:
        raise PromptError(
            f"task {task.name!r} has no query in its {split} split among the {len(inputs or ())} inputs asked for"
        )
    count = len(order) if limit is None else limit
    trials = []
    for i in range(count):
        rng = random.Random(f"{seed} {task.name} {split} {labels} {n_shots} {i}{f' {shown}' if shown else ''}")
        asked = _asking(task, order[i % len(order)])
        context = sample(asked, n_shots, rng, query_split="test", labels=labels, others=others, template=template)
        trials.append(make_trial(lm, task.name, context))
    return trials


def query_halves(trials: Sequence[Trial]) -> np.ndarray:
    """0 or 1 for each trial, [trials]: queries are put into two halves in turn, and all trials of a query are in its half."""
    half = {asked: i % 2 for i, asked in enumerate(dict.fromkeys(one.asked for one in trials))}
    return np.array([half[one.asked] for one in trials], int)


def _asking(task: Task, query: Pair) -> Task:
    """The task with its train split, and one query as its test split."""
    shots = task.split("train")
    return Task(task.name, (*shots, query), (*["train"] * len(shots), "test"))  # type: ignore[arg-type]


def make_trial(lm: LM, name: str, context: InContext) -> Trial:
    """A trial from a prompt with its answer. Raises PromptError when the answer changes the tokens of the prompt."""
    prompt = lm.prompt(context.text)
    return Trial(name, context, prompt, lm.token(context.answer, after=prompt))


def answer_trials(lm: LM, trials: Sequence[Trial], edits: Iterable[Edit] = ()) -> TrialScores:
    """Run all trials under the same edits; positions are resolved in each prompt separately."""
    edits = list(edits)
    return TrialScores.join(
        score_run(lm.run([t.prompt for t in part], edits=edits), part) for part in batches(trials, BATCH)
    )


def score_run(run: Run, trials: Sequence[Trial]) -> TrialScores:
    """Scores of trials from a run of their prompts."""
    log_probs = run.log_probs()
    of = log_probs[mx.arange(len(trials)), mx.array([t.token for t in trials])]
    return TrialScores(np.array((log_probs > of[:, None]).sum(axis=1)), np.array(of))


def writes_answers(lm: LM, trials: Sequence[Trial], edits: Iterable[Edit] = (), max_tokens: int = 8) -> np.ndarray:
    """Whether the greedy continuation begins with the whole answer, letter by letter, [trials] bool."""
    edits, out = list(edits), []
    for part in batches(trials, BATCH):
        texts = lm.generate([t.prompt for t in part], edits=edits, max_tokens=max_tokens)
        out += [begins_with_word(g.text, t.context.query[1]) for g, t in zip(texts, part, strict=True)]
    return np.array(out, bool)


def begins_with_word(text: str, answer: str) -> bool:
    """Whether a continuation begins with the answer as a whole word: " cold\\n\\nQ:" does with "cold", " colder" does not."""
    return re.match(rf"\s*{re.escape(answer)}(?!\w)", text) is not None


def answer_tokens(lm: LM, one: Trial) -> tuple[int, ...]:
    """All tokens of the right answer as it follows the prompt."""
    return lm.prompt(one.context.text + one.context.answer).tokens[len(one.prompt) :]


def answer_log_probs(lm: LM, one: Trial, variants: Sequence[Sequence[Edit]]) -> list[list[float]]:
    """Log-probability of each token of the right answer, given those before it, under each variant: [variants][tokens].

    Edits act on the prompt with its answer, so give positions from the start (`len(one.prompt) - 1` is the query's last
    token). exp of minus the mean log-probability is the perplexity of the answer (FV-20).
    """
    tokens = answer_tokens(lm, one)
    n = len(one.prompt)
    whole = with_changes(one.prompt, tokens=(*one.prompt.tokens, *tokens[:-1]), text=None, spans=None)
    at = range(n - 1, n - 1 + len(tokens))
    logits = mx.array(lm.sweep(whole, variants, keep="logits", at=at, progress=False)["logits"])
    return log_softmax(logits)[:, mx.arange(len(tokens)), mx.array(tokens)].tolist()  # type: ignore[return-value]
