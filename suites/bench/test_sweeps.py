"""Sweeps against the naive loop (one full mlx-lm forward per variant), and against the floor of what must be computed.

The naive side is timed on three forwards, in turns with the sweep, and multiplied by the number of variants. The floor is
(layer-positions that must be computed, clean run included) x (time per layer-position of a plain forward of 128 tokens).
"""

import pytest

from assay.timing import medians


def back_patches(lm, clean):
    from assay import replace

    last = [clean["resid_post", i][0, -1] for i in range(lm.n_layers)]
    pairs = [(s, t) for s in range(lm.n_layers) for t in range(s)]
    return [replace("resid_post", last[s], layer=t, position=-1) for s, t in pairs]


def every_head(lm, clean):
    from assay import zero

    return [zero("z", layer=i, head=h, position=-1) for i in range(lm.n_layers) for h in range(lm.n_heads)]


def knockout_windows(lm, clean):
    from assay import knockout

    def window(i):
        return [j for j in range(i - 3, i + 4) if 0 <= j < lm.n_layers]

    return [knockout(queries=-1, keys=[k], layer=window(i)) for i in range(lm.n_layers) for k in range(8)]


GRIDS = {"back-patching": back_patches, "heads": every_head, "knockout windows": knockout_windows}


def measure(lm, grid, length, row):
    """One line of the table; the sweep is also shown to be right on one variant."""
    import mlx.core as mx

    from assay import SWEEPABLE

    tokens = mx.random.randint(0, lm.family.vocab, (length,), key=mx.random.key(length))
    long = mx.random.randint(0, lm.family.vocab, (1, 128), key=mx.random.key(1))

    def sweep():
        clean = lm.run(tokens, keep=SWEEPABLE)
        return lm.sweep(clean, grid(lm, clean), targets=[5], progress=False)

    mx.reset_peak_memory()
    before = mx.get_active_memory()
    result = sweep()
    peak = (mx.get_peak_memory() - before) / 2**20
    naive, ours, plain = medians(lambda: mx.eval(lm.model(tokens[None])), sweep, lambda: mx.eval(lm.model(long)))
    n = len(result)
    needed = result.plan.variant_positions + lm.n_layers * length
    floor = needed * plain / (128 * lm.n_layers)
    row(
        f"sweep, {grid.__name__}", lm.name, f"{length} tokens", f"{n} variants", f"{naive * n / ours:.0f}x the naive loop",
        f"{ours / floor:.2f} of the floor", f"{ours * 1e3:.0f} ms", f"{peak:.0f} MiB",
    )  # fmt: skip
    variant = grid(lm, result.clean)[n // 2]
    full = lm.run(tokens, edits=[variant]).log_probs()[0, 5].item()
    assert result.target_log_probs[n // 2, 0] == pytest.approx(full, abs=1e-3)


@pytest.mark.parametrize("length", [32, 128])
@pytest.mark.parametrize("name", GRIDS)
def test_sweep(lm, row, name, length):
    measure(lm, GRIDS[name], length, row)


@pytest.mark.parametrize("length", [64, 256])
@pytest.mark.parametrize("name", GRIDS)
def test_sweep_reference(reference_lm, row, name, length):
    measure(reference_lm, GRIDS[name], length, row)
