"""A model's own answers to the questions of `assay.data.questions`, right or wrong, with its states: for test_p_ik.py and others.

Relations are split: what is found on some is tested on others, and a right answer is compared with wrong ones of its relation.
An answer that says not to know ("I do not know") is not right; where right and wrong answers are compared, it is left out.

In a built-in model late entities stay in: asked about in chat, they are what it does not know. In the null world right and wrong
are exchanged at random within each relation.
"""

from dataclasses import dataclass, replace

import numpy as np

from assay import methods
from assay.data.knowledge import admits
from assay.data.questions import questions
from assay.plugin import Metric

LEAST = 5  # effective right answers, and wrong ones (`effective`), without which nothing is compared
COUNTS = 0.05  # of an area: a twentieth of all pairs of a right and a wrong answer
CONTROLS = 99
NEVER = -1e9  # the log-probability, as a predictor of being right, of an answer that says not to know


@dataclass(frozen=True, eq=False)
class OwnQuestions:
    """N own answers: the questions, what was said, states and likelihoods, and whether it was right."""

    asked: list
    own: list
    read: object
    right: np.ndarray
    admitted: np.ndarray
    null_world: bool

    def of(self, split, *, given=False):
        """Indices of the answers of a split; given: without those that say not to know."""
        kept = [item.split == split and not (given and no) for item, no in zip(self.asked, self.admitted, strict=True)]
        return np.flatnonzero(kept)

    def relations(self, some):
        return [self.asked[i].relation for i in some]

    def entities(self, some):
        return [self.asked[i].entity for i in some]

    def counts(self, given=False):
        """How many right and wrong answers of each split have one of the other kind in their relation.

        effective: so many of equal weight, of as many entities, tell as much about an area (`methods.effective_numbers`).
        """
        counts = {}
        for split in ("train", "valid", "test"):
            some = self.of(split, given=given)
            right, paired, effective = self.right[some], self.paired(some), self.effective(some)
            for kind, name, number in ((True, "right", effective[0]), (False, "wrong", effective[1])):
                counts[f"n_{name}_{split}"] = int((right[paired] == kind).sum())
                counts[f"effective_{name}_{split}"] = Metric(number, tol=1.0)
        return counts

    def paired(self, some):
        """Which answers have one of the other kind in their relation: [n] bool."""
        right, names = self.right[some], np.array(self.relations(some))
        return np.array([len(set(right[names == name])) == 2 for name in names], bool)

    def effective(self, some):
        """Effective numbers of right and of wrong answers."""
        return methods.effective_numbers(self.right[some], self.relations(some), self.entities(some))

    def centred(self, place, some):
        """States [n, L, E] at a place, less the mean of their relation."""
        states = self.read.at(place)[some]
        out = np.empty(states.shape)
        names = np.array(self.relations(some))
        for name in set(names):
            out[names == name] = methods.centred(states[names == name])
        return out

    def token_probability(self, some):
        """The baseline: log-probability of the answer's tokens, and none for an answer that says not to know."""
        return np.where(self.admitted[some], NEVER, self.read.log_probs[some])

    def certainty(self, some):
        """The baseline: minus the entropy of the next token before the answer, behind "The answer is" if that was said."""
        return -self.read.entropy[some]

    def area(self, scores, some, **options):
        """Metric: area under the curve of right against wrong answers of one relation, which rests on the effective numbers."""
        area = methods.area_in_groups(scores, self.right[some], self.relations(some))
        resting = Metric.auroc(area, *self.effective(some), tol=0.05, **options)
        return replace(resting, n=int(self.paired(some).sum()), clusters=self.paired_entities(some))

    def paired_entities(self, some):
        return len({one for one, paired in zip(self.entities(some), self.paired(some), strict=True) if paired})

    def less(self, scores, others, some):
        """Metric: the first predictor's area less the other one's, paired by answer."""
        found = methods.areas_beside(
            scores, others, self.right[some], self.relations(some), clusters=self.entities(some)
        )
        n, clusters = int(self.paired(some).sum()), self.paired_entities(some)
        return Metric(found.difference, n=n, ci=found.interval, clusters=clusters, tol=0.05)

    def probes(self, place, given=False):
        """The mass-mean probe of each layer at a place, and the layer that parts validation answers best."""
        train, valid = self.of("train", given=given), self.of("valid", given=given)
        x, y = self.centred(place, train), self.right[train]
        found = [methods.mass_mean_probe(x[:, i], y) for i in range(x.shape[1])]
        reached = self.areas(found, place, valid)
        return found, int(np.argmax(reached))

    def areas(self, probes, place, some):
        """Area under the curve for the probe of each layer."""
        states = self.read.at(place)[some]
        return [
            methods.area_in_groups(one.scores(states[:, i]), self.right[some], self.relations(some))
            for i, one in enumerate(probes)
        ]

    def permuted(self, place, given=False):
        """Directions of permuted labels, found on the answers that the probes are found on: [(layer, [E])].

        Each is of the layer, and has the sign, that part validation answers best: it chooses its layer as the probe does.
        """
        train, valid = self.of("train", given=given), self.of("valid", given=given)
        x, right, states = self.centred(place, train), self.right[train], self.read.at(place)[valid]
        drawn, apart = [], []
        for i in range(x.shape[1]):
            kinds = (x[some][:, i] for some in (right, ~right))
            drawn.append(methods.permuted_differences(*kinds, np.random.default_rng(0), draws=CONTROLS))
            scores = (states[:, i] @ drawn[i].T).T
            areas = [methods.area_in_groups(one, self.right[valid], self.relations(valid)) for one in scores]
            apart.append(np.array(areas) - 0.5)
        best = np.abs(apart).argmax(axis=0)
        return [(int(i), drawn[i][k] * np.sign(apart[i][k])) for k, i in enumerate(best)]

    def probed(self, place, given=False):
        """Metrics of the probes at a place on test relations: by layer, at the chosen layer, and of permuted labels."""
        probes, layer = self.probes(place, given)
        train, test = (self.of(split, given=given) for split in ("train", "test"))
        x, every = self.centred(place, train)[:, layer], self.read.at(place)[test]
        scores = probes[layer].scores(every[:, layer])
        logistic = methods.logistic_probe(x, self.right[train]).scores(every[:, layer])
        reached = [
            methods.area_in_groups(every[:, i] @ one, self.right[test], self.relations(test))
            for i, one in self.permuted(place, given)
        ]
        return {
            f"{place}_layer": layer,
            f"{place}_auroc_by_layer": Metric(self.areas(probes, place, test), n=len(test), tol=0.05),
            f"{place}_auroc": self.area(scores, test, control=f"{place}_auroc_permuted_95"),
            f"{place}_auroc_permuted_50": Metric(float(np.quantile(reached, 0.5)), tol=0.05),
            f"{place}_auroc_permuted_95": Metric(float(np.quantile(reached, 0.95)), tol=0.05),
            f"{place}_auroc_logistic": self.area(logistic, test),
            f"{place}_less_token_probability": self.less(scores, self.token_probability(test), test),
            f"{place}_less_entropy": self.less(scores, self.certainty(test), test),
        }


def own_answers_to_questions(lm, n, progress, null_world):
    """The model's answers to n questions of each relation."""
    relations = dict.fromkeys(item.relation for item in questions())
    items = [item for name in relations for item in methods.spread([q for q in questions() if q.relation == name], n)]
    said = methods.answer_own(lm, [item.asked for item in items], [item.is_right for item in items])
    by_question = {item.asked: item for item in items}
    asked = [by_question[one.asked] for one in said]
    right = np.array([one.right for one in said])
    if null_world:
        rng, names = np.random.default_rng(0), np.array([item.relation for item in asked])
        for name in relations:
            right[names == name] = rng.permutation(right[names == name])
    read = methods.read_own(lm, said, track=lambda loop: progress(loop, "own answers"))
    return OwnQuestions(asked, said, read, right, np.array([admits(one.said) for one in said]), null_world)
