"""The worlds of `suites/scaling/null_depths.py`: claims about depths are false in them, and samples come from them."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from assay.methods.depth import EffectsByLayer, best_layer, depth_percent, depth_window

SUITE = Path(__file__).parents[2] / "suites" / "scaling"
BUMP = np.array([0.0, 0.2, 0.6, 1.0, 0.8, 0.4, 0.1, 0.0])


@pytest.fixture(scope="module")
def worlds():
    sys.path.insert(0, str(SUITE))
    try:
        yield importlib.import_module("null_depths")
    finally:
        sys.path.remove(str(SUITE))


@pytest.fixture(scope="module")
def effects():
    """16 prompts of 8 clusters; each prompt and draw can be told by its numbers."""
    rng = np.random.default_rng(0)
    own = BUMP + rng.normal(0, 0.3, (16, 1)) + rng.normal(0, 0.4, (16, 8))
    return EffectsByLayer(own, rng.normal(0, 0.4, (5, 16, 8)), tuple(i // 2 for i in range(16)))


def test_the_best_layer_of_a_moved_world_is_outside_the_range(worlds, effects):
    low, high = depth_window(40, 60, 8)
    found = {worlds.best_of_world(worlds.moved_out(effects, 40, 60, seed)) for seed in range(60)}
    assert found == {i for i in range(8) if not low < depth_percent(i, 8) < high} == {0, 1, 2, 5, 6, 7}


def test_a_moved_world_has_the_same_curve(worlds, effects):
    moved = worlds.moved_out(effects, 40, 60, 3)
    by = worlds.best_of_world(moved) - worlds.best_of_world(effects)
    assert np.array_equal(moved.less_control, np.roll(effects.less_control, by, axis=1))
    assert moved.clusters == effects.clusters


def test_a_sample_has_whole_clusters_of_the_world(worlds, effects):
    sample = worlds.drawn_again(effects, 1)
    assert (sample.own.shape, sample.controls.shape, sample.n_clusters) == ((16, 8), (5, 16, 8), 8)
    place = {tuple(row): i for i, row in enumerate(effects.own.tolist())}
    drawn = [place[tuple(row)] for row in sample.own.tolist()]
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        assert (first % 2, second) == (0, first + 1)
    assert len(set(drawn)) < 16  # some twice, as two clusters
    for draw in sample.controls:
        assert any(np.array_equal(draw, one[drawn]) for one in effects.controls)
    assert np.array_equal(worlds.drawn_again(effects, 1).own, sample.own)
    assert not np.array_equal(worlds.drawn_again(effects, 2).own, sample.own)


def test_samples_seldom_say_what_is_false_of_their_world(worlds, effects):
    """The best layer is called another than that of the world in at most 2.5 % of 100 samples, plus three standard errors."""
    true, found = worlds.best_of_world(effects), []
    for seed in range(100):
        if best := best_layer(worlds.drawn_again(effects, seed)):
            found.append(best.interval)
    outside = np.mean([not low < true < high for low, high in found])
    assert len(found) > 50
    assert outside < 0.025 + 3 * (0.025 * 0.975 / len(found)) ** 0.5
