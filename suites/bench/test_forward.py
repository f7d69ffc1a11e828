"""Speed of one forward pass: plain mlx-lm, and through assay with nothing, all residuals, all patterns or all sites kept."""

import mlx.core as mx
import pytest
from pace import LENGTHS, LIMIT, Pace, in_float32

import assay
from assay.forward import lanes
from assay.forward.layers import forward, unembed
from assay.forward.sites import expand
from assay.forward.taps import NO_TAP, Taps
from assay.timing import paired_ratio

KEPT = {"nothing": (), "all resid_post": ("resid_post",), "all patterns": ("pattern",), "all sites": None}


def tokens_of(lm, length):
    return mx.random.randint(0, lm.family.vocab, (1, length), key=mx.random.key(length))


@pytest.mark.parametrize("length", LENGTHS)
def test_forward(lm, pace, benchmark, length):
    """Absolute speed of the instrumented forward on all lanes, logits at the last token."""
    length = pace.length(length, forwards=2)
    tokens = tokens_of(lm, length)[0]
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    benchmark.pedantic(lm.run, args=(tokens,), rounds=pace.rounds(length * pace.per_token, 5), warmup_rounds=1)
    peak = (mx.get_peak_memory() - before) / 2**20
    benchmark.extra_info.update(
        model=lm.name, tokens=length, lanes=lanes.count(), peak_mib=round(peak, 1), weights_mib=round(before / 2**20, 1)
    )


def hooked_ratio(lm, pace, row, what, n_lanes):
    """Time of the instrumented forward over plain mlx-lm: all positions unembedded in both, evaluated in both."""
    sites, length = KEPT[what], 64
    while length > 1 and 8 * length * pace.per_token > LIMIT:
        length //= 2
    tokens, keys = tokens_of(lm, length), expand(assay.SITES if sites is None else sites, lm.n_layers)

    def hooked():
        tap = Taps([[]], keys) if keys else NO_TAP
        with lanes.use(n_lanes):
            mx.eval(unembed(lm.family, forward(lm.family, tokens, None, tap, None), tap), getattr(tap, "kept", {}))

    rounds = max(2, pace.rounds(2 * length * pace.per_token, 30))
    with in_float32(lm.model):
        ratio, (low, high) = paired_ratio(lambda: mx.eval(lm.model(tokens)), hooked, rounds=rounds, warmup=1)
    row(
        f"hooked / plain, {n_lanes} lane{'s' * (n_lanes > 1)}", lm.name, f"{length} tokens", f"keep {what}",
        f"{ratio:.3f}", f"quartiles {low:.3f} to {high:.3f} of {rounds}",
    )  # fmt: skip


@pytest.mark.parametrize("what", KEPT)
def test_hooked_ratio(lm, pace, row, what):
    """On one lane, as the plain model: the cost of keeping sites."""
    hooked_ratio(lm, pace, row, what, 1)


@pytest.mark.parametrize("what", KEPT)
def test_hooked_ratio_reference(reference_lm, row, what):
    hooked_ratio(reference_lm, Pace.of(reference_lm), row, what, 1)


def test_lanes_reference(reference_lm, row):
    """On all lanes: the ratio is below 1, since the plain model uses one core."""
    hooked_ratio(reference_lm, Pace.of(reference_lm), row, "nothing", lanes.count())
