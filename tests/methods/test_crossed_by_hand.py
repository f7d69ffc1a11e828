"""Intervals over questions and instructions, halves that share neither, monitoring: by hand, and how often intervals cover."""

import numpy as np
import pytest
from scipy.stats import t

from assay import methods

QUESTIONS, INSTRUCTIONS = [*"aabbccdd"], [*"xyxyxyxy"]


def jackknife(values):
    return (len(values) - 1) / len(values) * ((values - np.mean(values)) ** 2).sum()


def test_the_variances_of_the_factors_are_added():
    x = np.array([0.1, 0.2, 0.4, 0.7, 0.5, 0.3, 0.9, 0.6])
    without_question = [np.delete(x, [i, i + 1]).mean() for i in (0, 2, 4, 6)]
    without_instruction = [x[1::2].mean(), x[::2].mean()]
    one, two = jackknife(without_question), jackknife(without_instruction)
    for factors, variance, freedom in (
        ([QUESTIONS], one, 3),
        ([QUESTIONS, INSTRUCTIONS], one + two, 1),
    ):
        half = t.ppf(0.975, freedom) * variance**0.5
        found = methods.crossed_interval(lambda kept: x[kept].mean(), factors, (-9.0, 9.0))
        assert found == pytest.approx((x.mean() - half, x.mean() + half))


def test_strata_have_their_own_means():
    x, strata = np.array([0.0, 1.0, 4.0, 8.0, 6.0]), [0, 0, 1, 1, 1]
    statistic = lambda kept: x[:2][kept[:2]].mean() + x[2:][kept[2:]].mean()  # noqa: E731
    variance = jackknife(np.array([1.0, 0.0])) + jackknife(np.array([7.0, 5.0, 6.0]))
    found = methods.crossed_interval(statistic, [[*"vwxyz"]], (-99.0, 99.0), strata)
    half = t.ppf(0.975, 5 - 2) * variance**0.5
    assert found == pytest.approx((6.5 - half, 6.5 + half))


def test_what_tells_nothing_has_the_bounds_for_an_interval():
    mean = lambda kept: float(np.arange(4.0)[kept].mean())  # noqa: E731
    assert methods.crossed_interval(mean, [[*"abcd"], [*"xxxx"]], (-1.0, 5.0)) == (-1.0, 5.0)
    fails = lambda kept: 1.0 if kept.all() else float("nan")  # noqa: E731
    assert methods.crossed_interval(fails, [[*"abcd"]], (-1.0, 5.0)) == (-1.0, 5.0)
    assert np.isnan(methods.crossed_interval(lambda kept: float("nan"), [[*"abcd"]], (-1.0, 5.0))).all()


def test_halves_share_no_label_and_have_as_many_of_each_kind():
    about = [(question, pair) for question in "abcdefg" for pair in "12345"] * 2
    half = methods.disjoint_halves(about, np.arange(70) < 35, np.random.default_rng(0))
    first, second = ([one for one, at in zip(about, half, strict=True) if at == k] for k in (0, 1))
    for factor in (0, 1):
        assert not {one[factor] for one in first} & {one[factor] for one in second}
    assert (len(first), len(second)) == (2 * 4 * 3, 2 * 3 * 2)
    names = [(name,) for name in range(15)]
    half = methods.disjoint_halves(names, np.arange(15) < 6, np.random.default_rng(0))
    assert np.bincount(half[:6]).tolist() == [3, 3]
    assert abs(np.diff(np.bincount(half[6:]))[0]) == 1


def test_labels_are_exchanged_for_all_responses_about_one_thing():
    about, positive = [(i % 8,) for i in range(16)], np.arange(16) < 8
    found = methods.exchanged_labels(about, positive, np.random.default_rng(0))
    assert (found[:8] != found[8:]).all()
    assert 0 < found[:8].sum() < 8


def test_half_cosine_by_hand():
    rng = np.random.default_rng(0)
    states, positive = rng.standard_normal((9, 2, 3)), np.array([1, 0, 1, 0, 1, 0, 1, 0, 1], bool)
    half = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1])
    cosines = []
    for layer in (0, 1):
        a = (states[0, layer] + states[2, layer] - states[1, layer] - states[3, layer]) / 2
        b = (states[4, layer] + states[6, layer] - states[5, layer] - states[7, layer]) / 2
        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert methods.half_cosine(states, positive, half) == pytest.approx(np.mean(cosines))
    assert np.isnan(methods.half_cosine(states, positive, half, kept=half == 0))


def test_every_direction_has_the_layer_where_it_parts_responses():
    rng = np.random.default_rng(0)
    states, shows = rng.standard_normal((50, 4, 6)), np.arange(50) < 20
    directions = rng.standard_normal((5, 4, 6))
    along = np.einsum("nle,dle->dln", states, directions)
    expected = [max(range(4), key=lambda i: abs(np.corrcoef(one[i], shows)[0, 1])) for one in along]
    assert methods.monitor_layers(states, shows, directions).tolist() == expected
    assert len(set(expected)) > 1


def covered(found):
    """Share of intervals that hold the mean of all values. found: (value, interval)."""
    middle = np.mean([value for value, _ in found])
    return np.mean([low <= middle <= high for _, (low, high) in found])


@pytest.mark.parametrize("effect", [0.0, 0.7, 2.0, 5.0])
def test_intervals_of_cosines_of_names_cover(effect):
    """25 positive and 32 negative responses, each of its own name, in 2 layers with large dimensions in common."""
    rng, found = np.random.default_rng(0), []
    about, positive, size = [(i,) for i in range(57)], np.arange(57) < 25, np.array([1.5, 1.0, 0.8, *[0.5] * 9])
    along = rng.standard_normal((2, 12)) / 12**0.5
    for _ in range(120):
        own, shared = rng.standard_normal((57, 2, 12)), rng.standard_normal((57, 1, 12))
        states = (shared + own / 2) * size + effect * along * positive[:, None, None]
        half = methods.disjoint_halves(about, positive, rng)
        interval = methods.half_cosine_interval(states, positive, about, half)
        found.append((methods.half_cosine(states, positive, half), interval))
    assert covered(found) >= 0.9


@pytest.mark.parametrize(("effect", "differ"), [(0.0, 1.0), (2.0, 0.3), (2.0, 1.0)])
def test_intervals_of_cosines_of_instructions_cover(effect, differ):
    """Six questions under five pairs of instructions, whose effects differ by question and by pair."""
    rng, found = np.random.default_rng(0), []
    about, positive = [(q, p) for q in range(6) for p in range(5)] * 2, np.arange(60) < 30
    q, p = np.array(about).T
    along = rng.standard_normal((2, 12)) / 12**0.5
    for _ in range(120):
        by_question, by_pair = differ * rng.standard_normal((6, 2, 12)), differ * rng.standard_normal((5, 2, 12))
        effects = effect * along + by_question[q] + by_pair[p]
        states = rng.standard_normal((60, 2, 12)) * 0.7 + rng.standard_normal((6, 2, 12))[q]
        states += effects * positive[:, None, None]
        half = methods.disjoint_halves(about, positive, rng)
        interval = methods.half_cosine_interval(states, positive, about, half)
        found.append((methods.half_cosine(states, positive, half), interval))
    assert covered(found) >= 0.9


def monitored(slope, rng, shape=(10, 11)):
    """Projections and what is shown, of questions under instructions that both matter."""
    q, p = (axis.ravel() for axis in np.indices(shape))

    def drawn():
        return (
            sum(rng.standard_normal(n)[i] for n, i in zip(shape, (q, p), strict=True)) + rng.standard_normal(len(q)) / 2
        )

    projections = drawn()
    return projections, slope * projections + drawn() > 0, list(zip(q.tolist(), p.tolist(), strict=True))


@pytest.mark.parametrize("slope", [0.0, 0.5, 2.0])
def test_intervals_of_correlations_cover_other_questions_and_other_instructions(slope):
    """Clustered by question alone, they would not."""
    rng, both, alone = np.random.default_rng(0), [], []
    for _ in range(150):
        x, y, about = monitored(slope, rng)
        value = methods.spearman(x, y)
        both.append((value, methods.rank_correlation_interval(x, y, about)))
        alone.append((value, methods.rank_correlation_interval(x, y, [one[:1] for one in about])))
    assert covered(both) >= 0.92
    assert covered(alone) < covered(both) - 0.03


@pytest.mark.parametrize(("slope", "n"), [(0.0, 40), (1.0, 40), (20.0, 40), (3.0, 12)])
def test_intervals_of_correlations_of_names_cover(slope, n):
    rng, found = np.random.default_rng(0), []
    while len(found) < 200:
        x = rng.standard_normal(n)
        y = slope * x + rng.standard_normal(n) > 0.5
        if 0 < y.sum() < n:
            interval = methods.rank_correlation_interval(x, y, [(i,) for i in range(n)])
            found.append((methods.spearman(x, y), interval))
    assert covered(found) >= 0.92


def test_no_correlation_without_a_spread():
    assert np.isnan(methods.rank_correlation_interval([1, 1, 1, 1], [1, 2, 3, 4], [(i,) for i in range(4)])).all()
