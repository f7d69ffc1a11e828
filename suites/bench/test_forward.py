"""Speed of one forward pass: plain mlx-lm, and through assay with nothing, all residuals, all patterns or all sites kept."""

import pytest

from assay.timing import paired_ratio

LENGTH = 64


def tokens_of(lm, length):
    import mlx.core as mx

    return mx.random.randint(0, lm.family.vocab, (1, length), key=mx.random.key(length))


@pytest.mark.parametrize("length", [32, 128])
def test_forward(lm, benchmark, length):
    """Absolute speed of the instrumented forward, logits at the last token."""
    import mlx.core as mx

    tokens = tokens_of(lm, length)[0]
    mx.reset_peak_memory()
    benchmark.pedantic(lm.run, args=(tokens,), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(tokens=length, peak_mib=round(mx.get_peak_memory() / 2**20, 1), model=lm.name)


KEPT = {"nothing": (), "all resid_post": ("resid_post",), "all patterns": ("pattern",), "all sites": None}


def hooked_ratios(lm, row):
    """Time of the instrumented forward over plain mlx-lm: all positions unembedded in both, evaluated in both."""
    import mlx.core as mx

    from assay import SITES
    from assay.forward.generate import forward
    from assay.forward.layers import NO_TAP, unembed
    from assay.forward.sites import expand
    from assay.forward.taps import Taps

    tokens = tokens_of(lm, LENGTH)
    for what, sites in KEPT.items():
        keys = expand(SITES if sites is None else sites, lm.n_layers)

        def hooked(keys=keys):
            tap = Taps([[]], keys) if keys else NO_TAP
            mx.eval(unembed(lm.family, forward(lm.family, tokens, None, tap, None), tap), getattr(tap, "kept", {}))

        rounds = 20 if lm.n_layers * lm.width < 2048 else 6
        ratio, (low, high) = paired_ratio(lambda: mx.eval(lm.model(tokens)), hooked, rounds=rounds)
        row("hooked / plain", lm.name, f"keep {what}", f"{ratio:.3f}", f"quartiles {low:.3f} to {high:.3f}")


def test_hooked_ratio(lm, row):
    hooked_ratios(lm, row)


def test_hooked_ratio_reference(reference_lm, row):
    hooked_ratios(reference_lm, row)
