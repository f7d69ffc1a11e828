"""Phenomena, each as probes: test prompts, a vector of each layer from train prompts, the place where it acts, and a score.

    refusal             harmful less harmless requests at the last token; added there in harmless ones; odds of a refusal
    view                end of the option that the user's view names less that of the other; exchanged; odds of the other letter
    agreement           contrastive vector of questions on sycophancy, at the letter; added before it; odds of the agreeing one
    confidence          made-up less known names at their ends; added to known ones; odds of beginning with not knowing
    truth               true less false statements at their ends; added to false ones; odds of "True"
    bridge              state at the end of a two-hop query's entity; put into its second hop; log-probability of the answer, less
                        that with the state of the entity's name alone
    function vectors    ten examples less none at the last token, in the mean; added without; log-probability of the answer
    sentiment           the same for one task with two answers, as many words of each; odds of the right one

Each function returns a `Phenomenon` with `draws` controls: random vectors of equal length, for the bridge the states of other
queries. It raises NotEligible where the model doesn't do what the phenomenon needs, with the count.
"""

from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
from chosen_trials import as_many_of_each_answer, enough, right_ones
from entity_states import states_of_entities

from assay import methods
from assay.data.behaviours import questions
from assay.data.knowledge import admits, entities, statements
from assay.data.opinions import opinions
from assay.data.sentiment import other_label, sentiment
from assay.data.tasks import tasks
from assay.data.two_hop import two_hop
from assay.errors import NotEligible, PromptError

LETTERS = ("(A)", "(B)")
MAX_TOKENS = 16
SHOTS = 10
OTHERS = 3  # other queries for each query: each has its own, so their number hardly matters


@dataclass(frozen=True)
class Sizes:
    """Prompts: at most so many of each kind for the vectors, so many probes, so many draws of the control."""

    train: int | None
    test: int | None
    draws: int


@dataclass(frozen=True)
class Phenomenon:
    """The probes, the lengths of the vectors and of the stream [L] (of a state that is put in: none), and counts.

    less: probes of the same prompts, whose effects are subtracted; none by default.
    """

    probes: list
    less: list = field(default_factory=list)
    norms: np.ndarray | None = None
    stream_norms: np.ndarray | None = None
    counts: dict = field(default_factory=dict)

    @property
    def relative_norms(self):
        """The lengths of the vectors in those of the stream [L]."""
        return self.norms / self.stream_norms


def refusal(lm, sizes, *, system, **_):
    requests = {
        (kind, split): methods.request_prompts(lm, kind, split=split, system=system)
        for kind in ("harmful", "harmless")
        for split in ("train", "valid", "test")
    }
    try:
        tokens = methods.refusal_tokens(
            lm, requests["harmful", "valid"], requests["harmless", "valid"], methods.is_refusal_in("en")
        )
    except PromptError as reason:
        raise NotEligible(str(reason)) from reason
    harmful, harmless, asked = (
        methods.refused_as_expected(lm, requests[kind, split], tokens, kind == "harmful")
        for kind, split in (("harmful", "train"), ("harmless", "train"), ("harmless", "test"))
    )
    counts = {"n_refused": len(harmful), "n_answered": len(harmless)}
    enough(f"harmful requests are refused, or harmless ones answered, of {lm.name}", harmful, harmless, asked)
    found = methods.difference_in_means(lm, harmful, harmless, 1, site="resid_post")
    return added(found, counts, sizes, [(one, -1, tokens, methods.log_odds, None) for one in asked[: sizes.test]])


def view(lm, sizes, **_):
    asked = {split: moved_by_view(lm, split) for split in ("train", "test")}
    topics = {split: {item.topic for item in items} for split, items in asked.items()}
    enough("topics have answers that follow the user's view", *topics.values())
    ends = [
        methods.states_at_places(lm, [end_of_option(lm, item, named) for item in asked["train"][: sizes.train]])
        for named in (True, False)
    ]
    vectors = (ends[0] - ends[1]).mean(axis=0, dtype=np.float64).astype(np.float32)
    shown = np.concatenate(ends).astype(np.float64)
    with_controls, probes = own_and_controls(vectors, sizes), []
    for item in asked["test"][: sizes.test]:
        prompt, (a, b) = methods.where_answers_part(lm, item.prompt, LETTERS)
        places = (end_of_option(lm, item, True).at, -1.0), (end_of_option(lm, item, False).at, 1.0)
        targets = (b, a) if item.matches == "A" else (a, b)
        probes.append(
            methods.LayerProbe(prompt, with_controls, places, targets, methods.log_odds_of_two, cluster=item.topic)
        )
    counts = {f"n_topics_{split}": len(found) for split, found in topics.items()}
    lengths = np.linalg.norm(vectors, axis=-1), np.linalg.norm(shown, axis=-1).mean(axis=0)
    return Phenomenon(probes, norms=lengths[0], stream_norms=lengths[1], counts=counts)


def moved_by_view(lm, split):
    """Questions of the topics that are answered as the view says, in the mean over both views: letters cancel there."""
    items = opinions(split)
    p_first = methods.answer_preference(lm, [item.prompt for item in items], LETTERS)
    agrees: dict = {}
    for item, p in zip(items, p_first, strict=True):
        agrees.setdefault(item.topic, []).append(p if item.matches == "A" else 1 - p)
    return [item for item in items if np.mean(agrees[item.topic]) > 0.5]


def end_of_option(lm, item, named):
    """The place at the end of the option that the view names, or of the other one."""
    first = named == (item.matches == "A")
    return methods.place_at_end_of(lm, item.prompt, f"(A) {item.a}" if first else f"(B) {item.b}")


def agreement(lm, sizes, **_):
    train, test = (
        methods.balanced(questions("sycophancy", split), n, attrgetter("matches"))
        for split, n in (("train", sizes.train), ("test", sizes.test))
    )
    found = methods.behaviour_vectors(lm, train)
    cases = []
    for item in test:
        prompt, (a, b) = methods.where_answers_part(lm, item.prompt, LETTERS)
        cases.append((prompt, -1, (a, b) if item.matches == "A" else (b, a), methods.log_odds_of_two, item.topic))
    return added(found, {}, sizes, cases)


def confidence(lm, sizes, *, late, **_):
    def places(split, known):
        asked = [item for item in entities(split) if item.known == known and item.name not in late]
        return [methods.place_at_end_of(lm, item.question, item.name) for item in asked]

    def said(some):
        return lm.generate([one.prompt for one in some], max_tokens=MAX_TOKENS)

    made_up, known, asked = places("train", False), places("train", True), places("test", True)
    unknown = Counter(answer.tokens[0] for answer in said(made_up) if admits(answer.text))
    told = [one for one, answer in zip(asked, said(asked), strict=True) if not admits(answer.text)]
    admitted = list(unknown.elements())
    enough("made-up names are admitted not to be known, or known ones told", admitted, told)
    found = methods.difference_in_means(
        lm, *([one.until_there for one in kind] for kind in (made_up, known)), 1, site="resid_post"
    )
    token = unknown.most_common(1)[0][0]
    cases = [(one.prompt, one.at, (token,), methods.log_odds, None) for one in told[: sizes.test]]
    return added(found, {"n_admitted": len(admitted), "n_told": len(told)}, sizes, cases)


def truth(lm, sizes, *, late, **_):
    def asked(split, true, n):
        kept = [item for item in statements(split) if item.true == true and item.entity not in late]
        return methods.spread(kept, n)

    def place(item):
        return methods.place_at_end_of(lm, item.question, item.text.removesuffix("."))

    kinds = ([place(item).until_there for item in asked("train", true, sizes.train)] for true in (True, False))
    found = methods.difference_in_means(lm, *kinds, 1, site="resid_post")
    false = asked("test", False, 2 * sizes.test if sizes.test else None)
    p_true = methods.answer_preference(lm, [item.question for item in false], ("True", "False"))
    judged = [item for item, p in zip(false, p_true, strict=True) if p < 0.5][: sizes.test]
    enough("false statements are called false", judged)
    cases = []
    for item in judged:
        prompt, targets = methods.where_answers_part(lm, item.question, ("True", "False"))
        cases.append((prompt, place(item).at, targets, methods.log_odds_of_two, item.entity))
    return added(found, {"called_false": len(judged), "n_false": len(false)}, sizes, cases)


def bridge(lm, sizes, *, late, **_):
    located, _ = methods.locate_queries(lm, two_hop(limit=8 * sizes.test if sizes.test else None, per_bridge=4))
    tried = methods.evaluate_queries(
        lm, [query for query in located if methods.ends_in_entity(query) and query.e1 not in late]
    )
    known = [one.query for one in tried if one.eligible]
    enough("bridges of queries are known hop by hop, without a shortcut", {query.e2 for query in known})
    at_entity, of_name = states_of_entities(lm)
    draws, probes, less = min(sizes.draws, OTHERS), [], []
    for query in methods.spread(known, 2 * sizes.test if sizes.test else None):
        others = methods.other_queries(query, [one.query for one in tried], draws)
        methods.query_rng(query, seed=1).shuffle(
            others
        )  # those of the query's family come first, and draws have no order
        targets = methods.telling_tokens(lm, query)["e3"]
        if len(others) == draws and targets:
            _, second_hop, x = methods.cross_patch_prompts(query)["e1 to second hop"]
            for found, states in ((probes, at_entity), (less, of_name)):
                given, score = np.stack([states(one) for one in (query, *others)]), methods.any_log_prob
                where = lm.prompt(second_hop), given, ((x, 1.0),)
                found.append(methods.LayerProbe(*where, tuple(targets), score, "replace", query.e2))
    enough("bridges have as many other queries as there are draws", {probe.cluster for probe in probes})
    return Phenomenon(probes, less, counts={"n_queries": len(tried), "n_known": len(known)})


def function_vectors(lm, sizes, **_):
    every = tasks()
    found = [of_task(lm, one, every, sizes) for one in every if one.name in methods.MAIN_TASKS]
    return of_tasks([one for one in found if one])


def sentiment_vector(lm, sizes, **_):
    def odds_against_the_other(one):
        other = lm.token(f" {other_label(one.context.query[1])}", after=one.prompt)
        return (one.token, other), methods.log_odds_of_two

    found = of_task(lm, sentiment(), (), sizes, odds_against_the_other, as_many_of_each_answer)
    return of_tasks([found] if found else [])


def of_tasks(found):
    """One phenomenon of several tasks: (name, probes, lengths of the vectors and of the stream) of each."""
    enough("queries of tasks that ten examples make a model do", [one for _, probes, *_ in found for one in probes])
    names, probes, norms, stream_norms = zip(*found, strict=True)
    together = [one for of in probes for one in of]
    lengths = np.mean(norms, axis=0), np.mean(stream_norms, axis=0)
    return Phenomenon(together, norms=lengths[0], stream_norms=lengths[1], counts={"tasks": list(names)})


def of_task(lm, task, every, sizes, scored=lambda one: ((one.token,), methods.first_log_prob), chosen=right_ones):
    """The vector of one task from valid queries, for test queries that ten examples make right; None if most valid ones fail."""

    def drawn(split, limit):
        return [methods.draw_trials(lm, task, n_shots=n, split=split, others=every, limit=limit) for n in (SHOTS, 0)]

    shown, bare = drawn("valid", sizes.train and sizes.train // 5 if every else None)
    right = methods.answer_trials(lm, shown).right
    if right.mean() < 0.5:
        return None
    ends = [methods.states_from_end(lm, [one.prompt for one in some], site="resid_post") for some in (shown, bare)]
    vectors = (ends[0] - ends[1])[chosen(shown, right, None)].mean(axis=0, dtype=np.float64).astype(np.float32)
    n = sizes.test and sizes.test // 4 if every else sizes.test
    asked, zero = drawn("test", n and 3 * n if every else None)
    kept = chosen(asked, methods.answer_trials(lm, asked).right, n)
    with_controls, probes = own_and_controls(vectors, sizes, seed=sum(map(ord, task.name))), []
    for one in (zero[i] for i in kept):
        targets, score = scored(one)
        probes.append(methods.LayerProbe(one.prompt, with_controls, ((-1, 1.0),), targets, score, cluster=one.asked))
    streams = np.linalg.norm(np.concatenate(ends), axis=-1).mean(axis=0)
    return task.name, probes, np.linalg.norm(vectors, axis=-1), streams


PHENOMENA = {
    "refusal": refusal,
    "view": view,
    "agreement": agreement,
    "confidence": confidence,
    "truth": truth,
    "bridge": bridge,
    "function vectors": function_vectors,
    "sentiment": sentiment_vector,
}


def added(found, counts, sizes, cases):
    """The phenomenon of a direction that is added once; cases: (prompt, place, targets, score, cluster)."""
    with_controls = own_and_controls(found.vectors[-1], sizes)
    probes = [
        methods.LayerProbe(prompt, with_controls, ((place, 1.0),), tuple(targets), score, cluster=cluster)
        for prompt, place, targets, score, cluster in cases
    ]
    return Phenomenon(probes, norms=found.norms[-1], stream_norms=found.stream_norms[-1], counts=counts)


def own_and_controls(vectors, sizes, seed=0):
    return np.concatenate([vectors[None], methods.random_as_long(vectors, sizes.draws, seed)])
