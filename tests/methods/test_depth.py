"""Best layers on planted curves: which layer, how often its interval holds the true one, and that a flat curve has none."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from assay.errors import DataError
from assay.methods import depth
from assay.methods.depth import (
    BestLayer,
    EffectsByLayer,
    best_layer,
    depth_percent,
    depth_window,
    furthest_apart,
    layer_difference,
    peak_over_control,
)

BUMP = np.array([0.0, 0.2, 0.6, 1.0, 0.8, 0.4, 0.1, 0.0])


def drawn(rng, curve, *, n=16, draws=5, noise=0.4, each=0.3):
    """Effects around a curve; a prompt's noise is partly common to its layers, as effects of one prompt are."""
    own = curve + rng.normal(0, each, (n, 1)) + rng.normal(0, noise, (n, len(curve)))
    control = rng.normal(0, 0.1, (draws, 1, len(curve))) + rng.normal(0, noise, (draws, n, len(curve)))
    return EffectsByLayer(own, control)


def best_of(layer, *others, n_layers=8):
    """A best layer, and others that may be it."""
    return BestLayer(layer, n_layers, np.isin(range(n_layers), [layer, *others]).astype(float), 10, 10)


def with_ties(rng, curve, n=16, clusters=16):
    """Effects around a curve at layers that resemble their neighbours, of prompts on which it is of different size."""

    def alike(*shape):
        noise = rng.normal(0, 1, shape)
        for i in range(1, shape[-1]):
            noise[..., i] = 0.6 * noise[..., i - 1] + 0.8 * noise[..., i]
        return noise

    labels = tuple(i % clusters for i in range(n))
    of_cluster, size = alike(clusters, len(curve))[list(labels)], np.exp(rng.normal(0, 0.5, (n, 1)))
    own = curve * size + 0.2 * (of_cluster + alike(n, len(curve)))
    control = rng.normal(0, 0.03, (5, 1, len(curve))) + rng.normal(0, 0.15, (5, n, len(curve)))
    return EffectsByLayer(own, control, labels)


def test_by_hand():
    effects = drawn(np.random.default_rng(0), BUMP)
    less = effects.own - effects.controls.mean(axis=0)
    found = best_layer(effects)
    assert found.layer == less.mean(axis=0).argmax() == 3
    rng, again = np.random.default_rng(5), []
    for _ in range(4000):  # resample prompts and draws
        some, of = rng.integers(16, size=16), rng.integers(5, size=5)
        prompts = less[some].mean(axis=0) - less.mean(axis=0)
        control = effects.controls[of].mean(axis=(0, 1)) - effects.controls.mean(axis=(0, 1))
        again.append(prompts * (16 / 15) ** 0.5 - control * (5 / 4) ** 0.5)
    for layer in range(8):
        others = [k for k in range(8) if k != layer]
        by_chance = np.array(again)[:, others] - np.array(again)[:, [layer]]
        spread = by_chance.std(axis=0)
        t = ((less.mean(axis=0)[others] - less.mean(axis=0)[layer]) / spread).max()
        p = np.mean((by_chance / spread).max(axis=1) >= norm.ppf(student.cdf(t, 15)))
        assert found.fits[layer] == pytest.approx(p, abs=0.04)
    kept = np.flatnonzero(found.fits > 0.025)
    assert found.interval == (kept.min() - 0.49, kept.max() + 0.49)
    peak, (low, high) = peak_over_control(effects)
    assert peak == pytest.approx(effects.own.mean(axis=0).max() - effects.controls.mean(axis=1).max(axis=1).mean())
    assert 0 < low < peak < high


def test_the_interval_holds_the_true_layer():
    """At least 95 % in 120 samples, less three standard errors of such a share; and it does not hold all layers."""
    rng, inside, widths = np.random.default_rng(1), [], []
    for _ in range(120):
        found = best_layer(drawn(rng, BUMP))
        low, high = found.interval
        inside.append(low < 3 < high)
        widths.append(high - low)
    assert np.mean(inside) > 0.95 - 3 * (0.95 * 0.05 / 120) ** 0.5
    assert np.mean(widths) < 4


@pytest.mark.parametrize(
    ("curve", "true"),
    [
        ([0.0, 0.7, 1.0, 1.001, 0.6, 0.2, 0.0, 0.0], 3),  # two layers do the same, and one hardly more
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.001, 0.4, 0.0], 5),  # all early layers do
        ([0.2, 1.0, 0.2, 0.0, 1.001, 0.2, 0.0, 0.0], 4),  # two layers apart
        ([1.0] * 10 + [1.001, 0.6, 0.4] + [0.0] * 13, 10),
    ],
)
@pytest.mark.parametrize(("n", "clusters"), [(16, 8), (8, 6)])
def test_layers_that_do_as_much_are_in_the_interval(monkeypatch, curve, true, n, clusters):
    """The true best layer is outside in at most 2.5 % of 80 samples that are not flat, plus three standard errors."""
    monkeypatch.setattr(depth, "DRAWS", 1000)
    rng, found = np.random.default_rng(9), []
    while len(found) < 80:
        if best := best_layer(with_ties(rng, np.array(curve), n, clusters)):
            found.append(best.interval)
    outside = np.mean([not low < true < high for low, high in found])
    assert outside < 0.025 + 3 * (0.025 * 0.975 / 80) ** 0.5


@pytest.mark.parametrize(("n", "clusters"), [(16, 16), (16, 8), (8, 6)])
def test_two_of_the_same_layer_are_rarely_called_different(monkeypatch, n, clusters):
    """The first is called the later one in at most 2.5 % of 100 pairs that are not flat, plus three standard errors."""
    monkeypatch.setattr(depth, "DRAWS", 1000)
    curve, rng, found = np.array([0.2, 1.0, 0.9, 0.5, 1.0, 0.2, 0.0, 0.0]), np.random.default_rng(10), []
    while len(found) < 200:
        if best := best_layer(with_ties(rng, curve, n, clusters)):
            found.append(best)
    wrong = np.mean([layer_difference(*pair)[1][0] > 0 for pair in zip(found[::2], found[1::2], strict=True)])
    assert wrong < 0.025 + 3 * (0.025 * 0.975 / 100) ** 0.5


def test_a_flat_curve_has_no_best_layer():
    """The own vector is one more draw of the control: at most 2.5 % of 250 such curves have one, plus three standard errors."""
    rng, found = np.random.default_rng(2), []
    for _ in range(250):
        shift = rng.normal(
            0, 0.3, (6, 1, 8)
        )  # each vector does something of its own at each layer, to all prompts alike
        effects = shift + rng.normal(0, 0.4, (6, 16, 8))
        found.append(best_layer(EffectsByLayer(effects[0], effects[1:])) is not None)
    assert np.mean(found) < 0.025 + 3 * (0.025 * 0.975 / 250) ** 0.5


def test_nor_has_one_of_vectors_drawn_for_each_prompt():
    """As before, at most 2.5 % of 250."""
    rng, found = np.random.default_rng(8), []
    for _ in range(250):
        effects = rng.normal(0, 0.5, (1, 16, 1)) + rng.normal(0, 0.4, (6, 16, 8))
        found.append(best_layer(EffectsByLayer(effects[0], effects[1:], by_prompt=True)) is not None)
    assert np.mean(found) < 0.025 + 3 * (0.025 * 0.975 / 250) ** 0.5


def test_an_effect_against_the_expected_one_is_no_best_layer():
    assert best_layer(drawn(np.random.default_rng(3), -BUMP)) is None


def test_prompts_of_one_cluster_count_once():
    effects = drawn(np.random.default_rng(4), BUMP, n=6)
    four = EffectsByLayer(np.repeat(effects.own, 4, axis=0), np.repeat(effects.controls, 4, axis=1))
    clustered = EffectsByLayer(four.own, four.controls, tuple(np.repeat(range(6), 4).tolist()))
    width = {name: np.subtract(*peak_over_control(one)[1][::-1]) for name, one in (("one", effects), ("four", four))}
    assert np.subtract(*peak_over_control(clustered)[1][::-1]) == pytest.approx(width["one"], rel=0.05)
    assert width["four"] < width["one"]
    assert (best_layer(clustered).n, best_layer(clustered).n_clusters) == (24, 6)


def test_depths_are_those_of_the_plan():
    """Its table of refusal: layers 16 of 26, 17 of 28, 20 of 32 and 24 of 42 at 64, 63, 65 and 59 %."""
    found = [depth_percent(*of) for of in ((16, 26), (17, 28), (20, 32), (24, 42))]
    assert [round(depth) for depth in found] == [64, 63, 65, 59]
    assert [round(100 * layer / n) for layer, n in ((19, 26), (22, 28), (21, 26))] == [73, 79, 81]  # its other tables


@pytest.mark.parametrize(("n_layers", "layers"), [(8, (4, 5)), (26, (15, 16)), (28, (16, 17, 18)), (42, (25, 26, 27))])
def test_a_window_holds_the_layers_within_half_a_layer(n_layers, layers):
    low, high = depth_window(60, 65, n_layers)
    inside = [
        i
        for i in range(n_layers)
        if low < depth_percent(i - 0.499, n_layers) and depth_percent(i + 0.499, n_layers) < high
    ]
    assert tuple(inside) == layers


def test_differences_of_two():
    apart, (low, high) = layer_difference(best_of(5), best_of(3))
    assert (apart, round(low, 2), round(high, 2)) == (2, 1.31, 2.69)
    assert layer_difference(best_of(4), best_of(4))[1][0] < 0
    _, (low, high) = layer_difference(best_of(4, *range(8)), best_of(3))
    assert (round(low, 2), round(high, 2)) == (-3.69, 4.69)


def test_the_more_are_compared_the_wider_their_intervals():
    """Of seven that hold together with 97.5 % each one holds with 99.64 %: a layer with p = 0.01 stays in."""
    one = BestLayer(5, 8, np.array([0, 0, 0, 0.01, 0.02, 1, 0, 0]), 10, 10)
    assert one.layers() == (5, 5)
    assert layer_difference(one, best_of(1))[1][0] == pytest.approx(4 - 1 - 0.69, abs=0.01)
    assert layer_difference(one, best_of(1), among=7)[1][0] == pytest.approx(3 - 1 - 0.69, abs=0.01)


def test_the_furthest_apart_are_those_that_differ_most_surely():
    found = {"a": best_of(1, 2), "b": best_of(5, 4), "c": best_of(7, 0), "d": best_of(3)}
    late, early, apart, (low, _) = furthest_apart(found)
    assert (late, early, apart) == ("b", "a", 4)
    assert low == pytest.approx(4 - 2 - 0.69, abs=0.01)
    with pytest.raises(DataError, match="two best layers"):
        furthest_apart({"a": found["a"]})


def test_the_same_depth_is_rarely_called_different():
    """Of five phenomena at one layer the furthest two seem apart in at most 2.5 % of 50 studies, plus three standard errors."""
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(50):
        found = {str(i): best_layer(drawn(rng, 3 * BUMP)) for i in range(5)}
        wrong += furthest_apart(found)[3][0] > 0
    assert wrong / 50 < 0.025 + 3 * (0.025 * 0.975 / 50) ** 0.5


@pytest.mark.parametrize(
    ("own", "controls", "clusters", "message"),
    [
        (np.zeros((4, 8)), np.zeros((1, 4, 8)), None, "two or more"),
        (np.zeros((4, 8)), np.zeros((3, 4, 7)), None, "two or more, 4, 8"),
        (np.zeros((4, 8)), np.zeros((3, 4, 8)), ("a", "b"), "got 2"),
        (np.zeros((4, 8)), np.zeros((3, 4, 8)), ("a",) * 4, "two independent ones, got 1"),
        (np.full((4, 8), np.nan), np.zeros((3, 4, 8)), None, "not a number"),
    ],
)
def test_what_cannot_be_judged_is_refused(own, controls, clusters, message):
    with pytest.raises(DataError, match=message):
        EffectsByLayer(own, controls, clusters)


def test_one_layer_has_no_depth():
    with pytest.raises(DataError, match="two layers"):
        depth_percent(0, 1)


def test_the_next_layer_is_outside_a_window_and_its_own_are_inside():
    low, high = depth_window(60, 65, 28)
    for layer in range(28):
        found = best_of(layer, n_layers=28).depth_interval
        inside = low <= found[0] and found[1] <= high
        outside = found[1] < low or high < found[0]
        assert (inside, outside) == ((True, False) if layer in (16, 17, 18) else (False, True))
