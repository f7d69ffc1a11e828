"""The direction of the option that the user's view names, read and steered where the answer is decided (own variant of CAA).

Contrastive activation addition reads a vector at the letter of the answer. That is of no use where nothing after the letter
depends on whether it agrees, as in the built-in models. So here the difference is taken at the options: the last token of the one
that the view names, less that of the other one. Its layer is chosen on valid opinions, by how far the answer moves when the two
places are exchanged (`named_option.py`), as is then measured on test topics:

    against       views that the model follows: the vector subtracted at the named option and added at the other one
    with          views in a wording that the model does not follow: the vector added at the named option, subtracted at the other
    without       the question without a view: the vector added at one option, subtracted at the other one

Which wordings of a view the model follows is measured on train topics. Controls act at the same places with the lengths that the
direction has in each layer: random vectors, vectors of shuffled labels without their component along the direction (several draws
of both), and the difference between the first and the second option. Each draw acts in a layer of its own, chosen as that of the
direction, among the same layers and on the same valid opinions; a draw of shuffled labels has those of the valid opinions
shuffled, too, and is told by them while its layer is chosen. In the null world the direction is one more such draw. The plan's
recipe is measured beside it: the layer of the longest vector, times 1/2.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from steered_letters import NONE, lowers, raises

from assay import methods
from assay.data.opinions import opinions
from assay.plugin import Metric, above, below, experiment, finding, not_eligible

DRAWS = 8
CONTROLS = {"random": DRAWS, "shuffled": DRAWS, "first_option": 1}
AT_LEAST = 4  # least number of train prompts in a wording
PLAN = 0.5  # times the vector as it is, in the plan


@pytest.fixture(scope="session")
def system_prompt(no_system_prompt):
    """Recorded with every experiment of this module."""
    return no_system_prompt


@dataclass(frozen=True)
class Asked:
    """An opinion, and a place in it for edits."""

    item: object
    place: object  # `methods.OptionEnds`

    @property
    def topic(self):
        return self.item.topic


@pytest.fixture(scope="session")
def views(lm, no_system_prompt):
    """views("train", "followed") -> opinions of a split in wordings that the model follows, or does not ("contrary")."""
    ask = lambda item, said=None: Asked(item, methods.option_ends(lm, item, asked=said, system=no_system_prompt))  # noqa: E731
    train = [ask(item) for item in opinions("train")]
    p = dict(zip(train, preferences(lm, train), strict=True))
    wordings = {}
    for one in train:
        wordings.setdefault(wording(one.item), []).append(p[one])
    mean = {words: float(np.mean(some)) for words, some in wordings.items() if len(some) >= AT_LEAST}
    followed, contrary = ([w for w in mean if (mean[w] > 0.5) == kind] for kind in (True, False))

    def find(split, kind):
        items = opinions(split)
        if kind == "without":
            return [ask(item, item.neutral) for item in items]
        if kind == "followed":
            return [ask(item) for item in items if wording(item) in followed]
        worst = sorted(contrary, key=mean.get)[:1]
        return [ask(replace(item, view=words.replace("{}", named(item)))) for words in worst for item in items]

    find.followed, find.contrary = followed, contrary
    return find


def named(item):
    """The option that the view names."""
    return item.a if item.matches == "A" else item.b


def wording(item):
    """The view, with "{}" in place of the option."""
    return item.view.replace(named(item), "{}")


def preferences(lm, asked, variants=None):
    """Preference of the option that the view names, [N]; or with each of V lists of edits, its own for each prompt: [N, V]."""
    rows = []
    for one, some in zip(asked, variants or [[[]]] * len(asked), strict=True):
        pairs = lm.sweep(one.place.prompt, some, targets=one.place.letters, progress=False).target_log_probs
        rows.append(1 / (1 + np.exp(pairs[:, 1] - pairs[:, 0].astype(np.float64))))
    return np.array(rows) if variants else np.concatenate(rows)


@pytest.fixture(scope="session")
def direction(lm, views, null_world, tier):
    """direction("followed") -> the direction where it acts most on valid prompts of that kind; None if no view is followed."""
    train = views("train", "followed")
    if len({one.item.matches for one in train}) < 2:
        return lambda kind: None
    letters, topics = [one.item.matches for one in train], [one.topic for one in train]
    contrasts = methods.named_contrasts(lm, [one.place for one in train], letters, topics)
    rng, known = np.random.default_rng(0), {}
    random = [contrasts.at_random(rng) for _ in range(DRAWS)]
    *shuffled, one_more = (contrasts.of_shuffled(rng) for _ in range(DRAWS + 1))
    every = [one_more if null_world else contrasts.own(), *random, *shuffled]
    found = [one.found(None) for one in (*every, contrasts.another(first_less_second(contrasts)))]
    layers = methods.spread(range(1, lm.n_layers - 1), tier.choose(2, 4, 12))  # nothing reads behind the last one

    def choose(kind):
        if kind not in known:
            valid = methods.balanced(views("valid", kind), tier.choose(4, 8, None), lambda one: one.item.matches)
            told = [np.ones(len(valid))] * len(found)
            for i in (*([0] if null_world else []), *range(1 + DRAWS, 1 + 2 * DRAWS)):
                told[i] = shuffled_letters(valid, rng)
            known[kind] = Named(lm, found, told, valid, layers, 1.0 if kind == "followed" else -1.0)
        return known[kind]

    return choose


def shuffled_letters(asked, rng):
    """1.0 where the named option's letter is the same when the letters are permuted among the prompts, -1.0 elsewhere: [N]."""
    letters = np.array([one.item.matches for one in asked])
    return np.where(letters == rng.permutation(letters), 1.0, -1.0)


class Named:
    """The direction in the layer where it acts most on valid prompts, and each control in its own.

    found: vectors of all layers, of the direction and of the controls. told: for each of them, [N] valid prompts, -1.0 where the
    other option is taken for the one that the view names. times: 1.0 to exchange the two places, which lowers the preference;
    -1.0 to add at the named option, which raises it.
    """

    def __init__(self, lm, found, told, valid, layers, times):
        self.lm, self.found, self.times, self.layers = lm, found[0], times, layers
        each = [[one.at(-1, layer) for layer in layers] for one in found]
        variants = [
            [[], *(methods.exchange_options(d, one.place, times * t) for some, t in zip(each, turns, strict=True) for d in some)]
            for one, turns in zip(valid, np.transpose(told), strict=True)
        ]  # fmt: skip
        moved = preferences(lm, valid, variants)
        shifts = (moved[:, 1:] - moved[:, :1]).reshape(len(valid), len(found), -1)
        effects = -times * (np.transpose(told)[..., None] * shifts).mean(axis=0)
        self.best, *others = [some[int(effect.argmax())] for some, effect in zip(each, effects, strict=True)]
        rest, self.effects = iter(others), effects[0]
        self.controls = {kind: [next(rest) for _ in range(draws)] for kind, draws in CONTROLS.items()}
        self.longest = self.found.at(-1, int(np.argmax(self.found.norms[-1])))

    def moved(self, asked):
        """The preference of each prompt without edits [N]; what edits do to it: own [N], each control [D, N], the plan's [N]."""
        plan = methods.Direction(PLAN * self.longest.vector, self.longest.layer, -1, 1.0, self.longest.site)
        every = [self.best, *(one for some in self.controls.values() for one in some), plan]
        variants = [[[], *(methods.exchange_options(d, one.place, self.times) for d in every)] for one in asked]
        p = preferences(self.lm, asked, variants)
        shifts = iter((p[:, 1:] - p[:, :1]).T)
        own = next(shifts)
        by_kind = {kind: np.array([next(shifts) for _ in some]) for kind, some in self.controls.items()}
        return p[:, 0], own, by_kind, next(shifts)

    def metrics(self, name):
        """Where the direction acts."""
        return {
            f"{name}_layer": self.best.layer,
            **{f"{name}_{kind}_layers": sorted(one.layer for one in some) for kind, some in self.controls.items()},
            f"{name}_strength": Metric(self.best.strength, unit="mean length of the stream", tol=0.1),
            f"{name}_layers": self.layers,
            f"{name}_valid_effect_by_layer": Metric(self.effects.tolist(), tol=0.15),
        }


def first_less_second(contrasts):
    """The state at the first option less that at the second, in the mean over prompts: [L, E]."""
    sign = np.where(np.array(contrasts.letters) == "A", 1.0, -1.0)[:, None, None]
    return (sign * (contrasts.matching.astype(np.float64) - contrasts.other)).mean(axis=0)


@experiment
def named_option(lm, views, direction, compared, tier):
    """Views that the model follows, the other way round, and answers without a view."""
    n = tier.choose(smoke=8, quick=None, full=None)
    asked, without = views("test", "followed")[:n], views("test", "without")
    wordings = {"wordings_followed": len(views.followed), "wordings_contrary": len(views.contrary)}
    if not asked or direction("followed") is None:
        return not_eligible("the model follows no wording of a view on train topics", **wordings)
    view, none = (preferences(lm, some) for some in (asked, [w for w in without if w.item in [o.item for o in asked]]))
    topics = [one.topic for one in asked]
    gate = {
        **wordings,
        "with_view": mean(view, topics, control="without_view"),
        "without_view": mean(none, topics),
        "view_less_none": mean(view - none, topics, bounds=(-1, 1)),
    }
    if not gate["view_less_none"].low > 0:
        return not_eligible("the model follows a view no more often than without one", **gate)
    at, added_at = direction("followed"), direction("without")
    _, against, by_control, by_plan = at.moved(asked)
    p_none, added, added_controls, _ = added_at.moved(without[:n])
    about = [one.topic for one in without[:n]]
    return {
        **gate,
        "strength_by_layer": Metric((at.found.norms / at.found.stream_norms)[-1].tolist(), tol=0.1),
        **at.metrics("against"),
        "with_view_exchanged": mean(view + against, topics, control="with_view"),
        **compared("against", against, by_control, topics),
        **added_at.metrics("without"),
        "without_view_all": mean(p_none, about),
        "without_view_added": mean(p_none + added, about, control="without_view_all"),
        **compared("without", added, added_controls, about),
        "layer_of_longest": at.longest.layer,
        "plan_strength": Metric(PLAN * at.longest.strength, unit="mean length of the stream", tol=0.1),
        "against_by_plan": mean(by_plan, topics, bounds=(-1, 1)),
        "against_less_plan": mean(against - by_plan, topics, bounds=(-1, 1)),
    }


def mean(values, topics, bounds=(0, 1), **options):
    """The mean over prompts, of float32 probabilities or their differences."""
    return Metric.mean(np.clip(values, *bounds).tolist(), bounds, topics, tol=0.1, **options)


@experiment
def named_option_contrary(lm, views, direction, compared, tier):
    """Views in a wording that the model does not follow, with the vector added at the named option."""
    asked = views("test", "contrary")[: tier.choose(smoke=8, quick=None, full=None)]
    if not asked or direction("contrary") is None:
        n = len(views.followed)
        return not_eligible("the model follows all wordings of a view, or none for either letter", wordings_followed=n)
    at = direction("contrary")
    clean, with_it, controls, _ = at.moved(asked)
    topics = [one.topic for one in asked]
    return {
        **at.metrics("with"),
        "with_view": mean(clean, topics),
        "with_view_added": mean(clean + with_it, topics, control="with_view"),
        **compared("with", with_it, controls, topics),
    }


def test_named_option_metrics(named_option, metrics):
    assert metrics == named_option


def test_contrary_metrics(named_option_contrary, metrics):
    assert metrics == named_option_contrary


@finding(
    "exchanged between the two options, the direction of the option that a view names makes answers go against the user; "
    "other vectors do not",
    id=("SYC-C1", "SYC-C3"),
    tier="quick",
)
def test_goes_against(named_option):
    assert lowers(named_option, "against", CONTROLS)


@finding(
    "with the direction of the named option exchanged between the options, most answers go against views that the model follows",
    id="SYC-C3",
    tier="quick",
)
def test_most_go_against(named_option):
    r = named_option
    assert above(r.with_view, 0.5, source="even odds") & below(r.with_view_exchanged, 0.5, source="even odds")


@finding(
    "added at the named option, the direction makes answers go with views in a wording that the model does not follow; other "
    "vectors do not",
    id="SYC-C3",
    tier="quick",
)
def test_goes_with(named_option_contrary):
    assert raises(named_option_contrary, "with", CONTROLS)


@finding(
    "without any view, answers go to the option where the direction of a named option is added; with other vectors they do not",
    id="SYC-C3",
    tier="quick",
)
def test_without_view(named_option):
    assert raises(named_option, "without", CONTROLS)


@finding(
    "in the layer of its greatest length, at half of it, the direction of the named option moves answers less than whole in the "
    "layer chosen by effect",
    id="PLAN-9",
    tier="quick",
)
def test_more_than_the_longest(named_option):
    r = named_option
    assert below(r.against_less_plan, 0, source=NONE) & below(r.against_less_random, 0, source=NONE)
