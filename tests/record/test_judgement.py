"""Judgements: yes, no and undecided, what each rests on, and how often chance says yes."""

import math

import numpy as np
import pytest

from assay.errors import DataError
from assay.record.judgement import CHANCE, Undecided, above, below, heard, holds, ordered, within
from assay.record.metric import Metric
from assay.stats import wilson

HIGH, LOW, EQUAL = Metric.rate(30, 36), Metric.rate(3, 36), Metric.rate(300, 600)


@pytest.mark.parametrize(
    ("judgement", "verdict"),
    [
        (above(HIGH, LOW), "yes"),
        (above(LOW, HIGH), "no"),
        (below(LOW, HIGH), "yes"),
        (below(HIGH, LOW), "no"),
        (above(EQUAL, EQUAL), "no"),  # 600 of each show that no difference that would count is there
        (above(Metric.rate(6, 8), Metric.rate(3, 8)), "undecided"),
        (above(HIGH, LOW, by=0.3), "yes"),
        (above(HIGH, LOW, by=0.7), "undecided"),
        (above(HIGH, LOW, Metric.rate(35, 36)), "no"),
        (above(HIGH, LOW, Metric.rate(27, 36)), "undecided"),
        (above(Metric.rate(4, 4), Metric.rate(0, 4)), "undecided"),  # four prompts are too few, whatever they say
        (above(Metric.rate(4, 4), Metric.rate(0, 4), least=4), "yes"),
        (above(HIGH, 0.5, source="chance"), "yes"),
        (above(Metric.mean([]), 0, source="nothing"), "undecided"),
        (above(Metric.mean([0.3]), 0, source="nothing", worth=0.1), "undecided"),
        (
            above(Metric.mean([2.0] * 9, unit="nats"), 0, source="nothing", worth=1),
            "undecided",
        ),  # nothing about the spread
        (ordered(LOW, EQUAL, HIGH), "yes"),
        (ordered(LOW, HIGH, EQUAL), "no"),
        (within(EQUAL, 0.4, 0.6, source="the paper"), "yes"),
        (within(HIGH, 0.4, 0.6, source="the paper"), "no"),
        (within(HIGH, 0.4, 0.8, source="the paper"), "undecided"),
        (within(Metric.rate(2, 4), 0, 1, source="arithmetic"), "undecided"),
        (holds(Metric(True), "the same"), "yes"),
        (holds(False, "the same"), "no"),
    ],
)
def test_verdicts(judgement, verdict):
    assert judgement.verdict == verdict
    assert str(judgement).startswith(f"{verdict}: ")


def test_clusters_count_and_not_prompts():
    flags, few = [True] * 30, [i % 3 for i in range(30)]
    judgement = above(Metric.share(flags, clusters=few), 0.5, source="chance")
    assert judgement.verdict == "undecided"
    assert "3 clusters" in judgement.why


def test_only_yes_and_no_are_true_or_false():
    assert above(HIGH, LOW)
    assert not above(LOW, HIGH)
    with pytest.raises(Undecided, match="n 13 would tell"):
        bool(above(Metric.rate(6, 8), Metric.rate(3, 8)))


def test_no_wins_over_undecided_in_a_conjunction():
    yes, no, undecided = above(HIGH, LOW), above(LOW, HIGH), above(Metric.rate(6, 8), Metric.rate(3, 8))
    assert (yes & yes).verdict == "yes"
    assert (undecided & no).verdict == (no & undecided).verdict == "no"
    assert (undecided & yes).verdict == "undecided"
    assert not (yes & holds(True, "the same")).identity
    assert (holds(True, "one") & holds(True, "two")).identity


def test_what_is_asked_is_heard():
    with heard() as said:
        assert above(HIGH, LOW) & holds(True, "the same")
    assert [one.verdict for one in said] == ["yes"]


def test_the_interval_of_a_difference_is_newcombes():
    """Newcombe 1998, method 10: 56 of 70 against 48 of 80 differ by 0.2, from 0.0524 to 0.3339."""
    (a, b), (c, d) = wilson(56, 70), wilson(48, 80)
    low, high = 0.2 - math.hypot(0.8 - a, d - 0.6), 0.2 + math.hypot(b - 0.8, 0.6 - c)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert "by 0.2 [0.052, 0.33]" in above(Metric.rate(56, 70), Metric.rate(48, 80)).why


@pytest.mark.parametrize("n", [8, 24, 100])
def test_chance_says_yes_as_rarely_as_promised(n):
    rng, says = np.random.default_rng(0), []
    for rate in (0.05, 0.3, 0.5, 0.9):
        drawn = rng.binomial(n, rate, (500, 2))
        says += [above(Metric.rate(int(a), n), Metric.rate(int(b), n)).verdict == "yes" for a, b in drawn]
    assert np.mean(says) <= CHANCE + 0.01  # 2,000 pairs: the standard error is 0.0035


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: above(HIGH, 0.5), "say where the threshold comes from"),
        (lambda: above(HIGH), "name the controls"),
        (lambda: above(Metric.mean([3.0, 4.0, 5.0, 6.0, 7.0]), 0, source="zero"), "what difference would count"),
        (lambda: above(Metric(0.7), LOW), "without an interval"),
        (lambda: ordered(HIGH), "two metrics"),
    ],
)
def test_a_claim_that_says_too_little(wrong, message):
    with pytest.raises(DataError, match=message):
        wrong()


def test_a_threshold_that_no_share_exceeds_by_what_would_count():
    nearly_all = Metric.rate(98, 100)
    with pytest.raises(DataError, match=r"no share is 0.2 above 0.95: say what difference would count, worth="):
        above(nearly_all, 0.95, source="one in twenty")
    assert above(nearly_all, 0.95, worth=0.0, source="one in twenty").verdict == "undecided"
    assert above(nearly_all, 0.8, source="four of five").verdict == "yes"
