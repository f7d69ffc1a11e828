"""Intervals: how often they contain the true value at the numbers in use, their width at the edges, and what they refuse.

`python tests/test_intervals.py` writes the table of docs/statistics.md again, from ten times as many simulated samples.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from assay.stats import auroc_interval, difference_interval, mcnemar, mean_interval, rate_interval, wilson

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
SAMPLES = 400 if os.environ.get("ASSAY_THOROUGH") else 120
Simulated = Iterator[tuple[float, tuple[float, float]]]
"""Pairs of the true value and an interval."""

SHAPES = {
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "low, skewed": (lambda rng, n: rng.beta(0.3, 3, n), 1 / 11),
    "two humps": (lambda rng, n: rng.beta(0.1, 0.1, n), 0.5),
    "high, skewed": (lambda rng, n: rng.beta(8, 2, n), 0.8),
    "narrow": (lambda rng, n: rng.beta(30, 10, n), 0.75),
    "0 or 1, one in ten": (lambda rng, n: (rng.random(n) < 0.1) * 1.0, 0.1),
    "0 or 1, half": (lambda rng, n: (rng.random(n) < 0.5) * 1.0, 0.5),
    "tenths, low": (lambda rng, n: rng.binomial(10, 0.05, n) / 10, 0.05),
    "tenths, high": (lambda rng, n: rng.binomial(10, 0.8, n) / 10, 0.8),
}


def rates(rng, n: int) -> Simulated:
    for p in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        yield p, wilson(int(rng.binomial(n, p)), n)


def means(rng, n: int) -> Simulated:
    for draw, true in SHAPES.values():
        yield true, mean_interval(draw(rng, n).tolist(), (0, 1))


def flag_differences(rng, n: int) -> Simulated:
    """Paired differences of two flags: 1, 0 or -1, most of them 0 where two variants seldom differ."""
    for more, less in ((0.02, 0), (0.05, 0), (0.1, 0), (0.2, 0), (0.1, 0.1), (0.3, 0.1), (0.6, 0.1), (0.9, 0)):
        drawn = rng.random(n)
        yield more - less, mean_interval(((drawn < more) * 1.0 - (drawn > 1 - less)).tolist(), (-1, 1))


def areas(rng, positives: int, negatives: int) -> Simulated:
    for area in (0.5, 0.7, 0.85, 0.95, 0.99):
        for spread in (rng.exponential(area / (1 - area), positives), None):
            if spread is None:  # normal values, apart by d'
                from scipy.special import ndtri

                above, below = rng.normal(ndtri(area) * 2**0.5, 1, positives), rng.normal(0, 1, negatives)
            else:
                above, below = spread, rng.exponential(1, negatives)
            yield area, auroc_interval(float((above[:, None] > below).mean()), positives, negatives)


def clustered(rng, clusters: int, each: int, alike: float, mean: bool) -> Simulated:
    labels = np.repeat(np.arange(clusters), each).tolist()
    for p in (0.1, 0.3, 0.5, 0.8):
        own = rng.beta(p * (1 - alike) / alike, (1 - p) * (1 - alike) / alike, clusters)
        flags = (rng.random((clusters, each)) < own[:, None]).ravel()
        yield (
            p,
            mean_interval((flags * 1.0).tolist(), (0, 1), labels) if mean else rate_interval(flags.tolist(), labels),
        )


def differences(rng, n: int, draws: int) -> Simulated:
    for apart in (0.0, 0.1, 0.3, 0.6, 1.0):
        prompts, control, own = rng.normal(0, 1, n), rng.normal(0, 0.5, draws), rng.normal(0, 0.5)
        effects = prompts + apart + own + rng.normal(0, 0.5, n)  # without an effect it is one more draw
        controls = prompts[None] + control[:, None] + rng.normal(0, 0.5, (draws, n))
        yield apart, difference_interval(effects.tolist(), controls.tolist())


CELLS: dict[str, tuple[Callable[..., Simulated], tuple]] = {
    **{f"a rate, n = {n}": (rates, (n,)) for n in (5, 12, 24, 100, 300)},
    **{f"a mean within bounds, n = {n}": (means, (n,)) for n in (3, 6, 12, 24, 100, 300)},
    **{f"a difference of flags, n = {n}": (flag_differences, (n,)) for n in (8, 16, 36, 100)},
    **{f"AUROC, {a} against {b}": (areas, (a, b)) for a, b in ((5, 5), (12, 12), (24, 24), (24, 107))},
    **{
        f"a {'mean' if mean else 'rate'}, {c} clusters of {k}": (clustered, (c, k, alike, mean))
        for mean in (False, True)
        for c, k, alike in ((7, 5, 0.5), (24, 3, 0.5), (40, 5, 0.3))
    },
    **{f"a paired difference, n = {n}, {d} draws": (differences, (n, d)) for n, d in ((8, 5), (24, 8), (24, 20))},
}


def coverage(cell: str, samples: int) -> tuple[float, float, float]:
    """Shares of intervals that contain the true value: over all true values and the worst of them; and the mean width."""
    simulate, arguments = CELLS[cell]
    rng = np.random.default_rng(0)
    drawn = [list(simulate(rng, *arguments)) for _ in range(samples)]
    hits = np.array([[low <= true <= high for true, (low, high) in row] for row in drawn])
    width = np.mean([[high - low for _, (low, high) in row] for row in drawn])
    return hits.mean(), hits.mean(axis=0).min(), float(width)


@pytest.mark.parametrize("cell", CELLS)
def test_intervals_cover(cell):
    """Nominal .95. .93 is allowed on average; a simulation of a hundred samples has a standard error below .01."""
    average, worst, _ = coverage(cell, SAMPLES)
    assert average >= 0.93
    assert worst >= 0.8


def table(samples: int) -> str:
    rows = ["| interval | covers, on average | at worst | mean width |", "| --- | --- | --- | --- |"]
    for cell in CELLS:
        average, worst, width = coverage(cell, samples)
        rows.append(f"| {cell} | {average:.3f} | {worst:.3f} | {width:.2f} |")
    return "\n".join(rows) + "\n"


def test_the_page_has_every_interval():
    rows = re.findall(r"^\| (.*?) \| (0\.\d+|1\.000) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [cell for cell, _ in rows] == list(CELLS)
    assert min(float(average) for _, average in rows) >= 0.93


# --- edges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 10, 100])
def test_equal_observations_have_an_interval(n):
    assert 0.9 / n < wilson(n, n)[1] - wilson(n, n)[0] < 1
    low, high = mean_interval([1.0] * n, (0, 1))
    assert high == 1.0
    assert 0.5 / n < high - low
    low, high = mean_interval([0.0] * n, (-1, 1))
    assert -low == pytest.approx(high)
    assert high > 0.5 / n
    low, high = auroc_interval(1.0, n, n)
    assert high == 1.0
    assert 0.5 / n < high - low
    assert auroc_interval(0.0, n, n) == (pytest.approx(1 - high), pytest.approx(1 - low))


def test_more_observations_are_narrower():
    for of in (lambda n: mean_interval([0.2, 0.6] * n, (0, 1)), lambda n: auroc_interval(0.8, n + 3, n + 3)):
        widths = [high - low for low, high in map(of, (2, 8, 32, 128))]
        assert widths == sorted(widths, reverse=True)


def test_clusters_of_one_change_nothing():
    values = [0.1, 0.5, 0.4, 0.9, 0.0]
    assert mean_interval(values, (0, 1), list("abcde")) == pytest.approx(mean_interval(values, (0, 1)))
    assert mean_interval(values) == pytest.approx(mean_interval(values, clusters=list("abcde")))


def test_copies_of_one_observation_count_once():
    values = [0.1, 0.5, 0.4, 0.9, 0.0]
    copied, labels = [v for v in values for _ in range(6)], [i for i in range(5) for _ in range(6)]
    assert mean_interval(copied, (0, 1), labels) == pytest.approx(mean_interval(values, (0, 1)))
    low, high = mean_interval(copied, (0, 1))
    assert high - low < 0.6 * (mean_interval(values, (0, 1))[1] - mean_interval(values, (0, 1))[0])
    flags = [True] * 12 + [False] * 12
    alone, together = rate_interval(flags), rate_interval(flags, [i // 6 for i in range(24)])
    assert together[0] < alone[0] < alone[1] < together[1]


def test_one_cluster_supports_no_claim():
    assert rate_interval([True] * 9, ["a"] * 9) == (0.0, 1.0)
    with pytest.raises(ValueError, match="two clusters or more, got 1"):
        mean_interval([0.5] * 9, (0, 1), ["a"] * 9)


def test_the_mean_without_bounds_is_students():
    values = [1.2, 0.4, 3.1, 2.2]
    half = 3.182446305 * np.std(values, ddof=1) / 2
    assert mean_interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half))


def test_draws_of_the_control_widen_the_interval():
    effects = [0.9, 0.7, 0.8, 0.6]
    alike = [[0.1, 0.2, 0.1, 0.2]] * 4
    apart = [[x + d for x in alike[0]] for d in (-0.3, -0.1, 0.1, 0.3)]
    narrow, wide = difference_interval(effects, alike), difference_interval(effects, apart)
    assert narrow == pytest.approx(mean_interval([0.8, 0.5, 0.7, 0.4]))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    bounded = difference_interval(effects, apart, (-1, 1))
    assert bounded[0] > -1
    assert bounded[1] == 1.0, "no difference of shares is above 1"


def test_mcnemar_counts_the_pairs_that_differ():
    assert mcnemar([True, True, True, False], [False, False, False, False]) == 1 / 8
    assert mcnemar([True, False], [True, False]) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([0.5]), "two values or more, got 1"),
        (lambda: mean_interval([0.5, 1.5], (0, 1)), r"1\.5 is not within"),
        (lambda: mean_interval([0.5, float("nan")], (0, 1)), "nan is not within"),
        (lambda: mean_interval([0.5, 0.6], clusters=["a"]), "2 values need as many labels"),
        (lambda: auroc_interval(1.1, 3, 3), "area of 1.1"),
        (lambda: auroc_interval(0.5, 0, 3), "from 0 and 3"),
        (lambda: difference_interval([0.1, 0.2], [[0.1, 0.2]]), "two draws or more"),
        (lambda: difference_interval([0.1, 0.2], [[0.1], [0.2]]), "of 2 values each"),
    ],
)
def test_what_has_no_interval(call, message):
    with pytest.raises(ValueError, match=message):
        call()


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.partition("| interval |")[0], text.partition("\n## From")[2]
    PAGE.write_text(f"{head}{table(2000)}\n## From{rest}", encoding="utf-8")
