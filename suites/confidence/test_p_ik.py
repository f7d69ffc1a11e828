"""Does a model know, before it answers, whether it will be right? P(IK) (Kadavath et al. 2022, CONF-1c, CONF-9).

A linear probe (difference in means) predicts from the state at the last token of the question, or at the last token of the
prompt, whether the greedy answer will be right. It is found on the questions of some relations, its layer is chosen on others,
and it is tested on new ones, where a right answer is compared with wrong ones of its relation. The paper trains a value head and
samples answers (a paper-variant). Baselines are what the output says without a probe: the log-probability of the answer's tokens,
and the entropy of the next token before the answer; both behind "The answer is", where the model says that first. An answer that
says not to know is not right, and as a predictor the log-probability of such an answer counts as the lowest. Right and wrong
answers are compared where enough of them have pairs: numbers are effective ones (`methods.effective_numbers`).

The probe is then read at questions about made-up books, to which there is no answer. Almost any direction may part questions
about books that exist from others, so the claim is also against directions from permuted labels, each at its own layer.
"""

import numpy as np
from own_questions import COUNTS, LEAST

from assay import methods
from assay.data.knowledge import entities
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
PERMUTED = "95 % of permuted labels"
PLACES = ("question", "prompt")
BOOK = "author_of_book"


@experiment
def p_ik(own_questions):
    """How well probes before the answer part questions that will be answered rightly from others, on new relations."""
    counts = own_questions.counts()
    if min(counts.values()) < LEAST:
        return not_eligible(
            f"fewer than {LEAST} effective right or wrong answers in the relations of one split", **counts
        )
    test = own_questions.of("test")
    metrics = {
        **counts,
        "right": Metric.share(own_questions.right[test], clusters=own_questions.entities(test), tol=0.05),
        "admitted": Metric.share(own_questions.admitted[test], clusters=own_questions.entities(test), tol=0.05),
        "auroc_of_token_probability": own_questions.area(own_questions.token_probability(test), test),
        "auroc_of_entropy": own_questions.area(own_questions.certainty(test), test),
    }
    for place in PLACES:
        metrics |= own_questions.probed(place)
    return metrics


@experiment
def p_ik_made_up(lm, own_questions, null_world):
    """The same probes at questions about books that were rightly answered, and about made-up ones; none was found on books."""
    counts = own_questions.counts()
    test = own_questions.of("test")
    books = [i for i in test if own_questions.asked[i].relation == BOOK and own_questions.right[i]]
    made_up = [item.question for item in entities() if item.kind == "book" and not item.known]
    if not made_up:
        return not_eligible("the names of --dataset have no made-up ones of the kind book")
    if min(counts.values()) < LEAST or len(books) < LEAST:
        return not_eligible(
            f"fewer than {LEAST} effective right or wrong answers", n_right_about_books=len(books), **counts
        )
    read = methods.read_own(lm, methods.answer_own(lm, made_up, [lambda said: False] * len(made_up)))
    metrics = {"n_right_about_books": len(books), "n_made_up": len(read.log_probs)}
    for place in PLACES:
        probes, layer = own_questions.probes(place)
        kinds = [own_questions.read.at(place)[books], read.at(place)]
        if null_world:
            both = np.random.default_rng(1).permutation(np.concatenate(kinds))
            kinds = [both[: len(books)], both[len(books) :]]
        area = methods.auroc(*(probes[layer].scores(states[:, layer]) for states in kinds))
        drawn = own_questions.permuted(place)
        reached = [methods.auroc(*(states[:, at] @ one for states in kinds)) for at, one in drawn]
        metrics |= {
            f"{place}_auroc": Metric.auroc(area, *map(len, kinds), tol=0.05, control=f"{place}_auroc_permuted_95"),
            f"{place}_auroc_permuted_50": Metric(float(np.quantile(reached, 0.5)), tol=0.05),
            f"{place}_auroc_permuted_95": Metric(float(np.quantile(reached, 0.95)), tol=0.05),
        }
    return metrics


def test_p_ik_metrics(p_ik, metrics):
    assert metrics == p_ik


def test_made_up_metrics(p_ik_made_up, metrics):
    assert metrics == p_ik_made_up


@finding(
    "a probe at the end of a question tells whether the model will answer it rightly, in relations that it was not found on",
    id="CONF-1",
    tier="quick",
)
def test_at_question(p_ik):
    assert above(p_ik.question_auroc, 0.5, source="chance")


@finding(
    "a probe at the end of the prompt tells whether the model will answer rightly, in relations that it was not found on",
    id="CONF-1",
    tier="quick",
)
def test_at_prompt(p_ik):
    assert above(p_ik.prompt_auroc, 0.5, source="chance")


@finding(
    "a probe before the answer tells what will be answered rightly better than directions from permuted labels do",
    id="CONF-9",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="almost any direction parts these states: areas of 0.96 to 1; one in twenty of the permuted labels gives 0.97 or more",
)
def test_better_than_permuted(p_ik):
    r = p_ik
    assert above(r.prompt_auroc, r.prompt_auroc_permuted_95, worth=COUNTS, source=PERMUTED)


@finding(
    "a probe before the answer tells what will be answered rightly better than the probability of the answer does",
    id="CONF-9",
    tier="quick",
)
def test_better_than_token_probability(p_ik):
    assert above(p_ik.prompt_less_token_probability, 0, worth=COUNTS, source=NONE)


@finding(
    "a probe before the answer tells what will be answered rightly better than the entropy of the next token does",
    id="CONF-9",
    tier="quick",
)
def test_better_than_entropy(p_ik):
    assert above(p_ik.prompt_less_entropy, 0, worth=COUNTS, source=NONE)


@finding(
    "a probe of what the model will answer rightly is lower at questions about made-up books than about known ones",
    id="CONF-1",
    tier="quick",
)
@not_replicated(
    "llama_tiny",
    "qwen_tiny",
    "gemma_tiny",
    tier="quick",
    reason="almost any direction parts these books: areas of 0.99 or more at the prompt, as one in twenty permuted ones has",
)
def test_made_up(p_ik_made_up):
    r = p_ik_made_up
    assert (
        above(r.prompt_auroc, 0.5, source="chance")
        & above(r.question_auroc, 0.5, source="chance")
        & above(r.prompt_auroc, r.prompt_auroc_permuted_95, worth=COUNTS, source=PERMUTED)
        & above(r.question_auroc, r.question_auroc_permuted_95, worth=COUNTS, source=PERMUTED)
    )
