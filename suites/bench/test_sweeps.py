"""Sweeps against the naive loop (one full mlx-lm forward per variant), and against their floor.

The naive loop is timed on a few forwards, in turns with the sweep, and multiplied by the number of variants. The floor is the
time of the sweep's matrix products alone, clean run included (`floor.py`). Sweep and floor use all lanes; for the reference
shape, also one lane.
"""

import mlx.core as mx
import pytest
from floor import floor
from pace import LENGTHS, LIMIT, Pace, in_float32

import assay
from assay.forward import lanes
from assay.timing import medians


def back_patches(lm, clean):

    last = [clean["resid_post", i][0, -1] for i in range(lm.n_layers)]
    pairs = [(s, t) for s in range(lm.n_layers) for t in range(s)]
    return [assay.replace("resid_post", last[s], layer=t, position=-1) for s, t in pairs]


def every_head(lm, clean):

    return [assay.zero("z", layer=i, head=h, position=-1) for i in range(lm.n_layers) for h in range(lm.n_heads)]


def knockout_windows(lm, clean):

    def window(i):
        return [j for j in range(i - 3, i + 4) if 0 <= j < lm.n_layers]

    keys = range(min(8, len(clean.prompts[0])))
    return [assay.knockout(queries=-1, keys=[k], layer=window(i)) for i in range(lm.n_layers) for k in keys]


GRIDS = {"back-patching": back_patches, "heads": every_head, "knockout windows": knockout_windows}


def measure(lm, pace, name, length, row, lane_counts):
    """Adds a line to the table for each number of lanes; compares one variant with the naive loop."""
    tokens = mx.random.randint(0, lm.family.vocab, (length,), key=mx.random.key(length))
    clean = lm.run(tokens, keep=assay.SWEEPABLE)
    every = GRIDS[name](lm, clean)
    work = lm.plan(clean, every).variant_positions * pace.per_layer_position
    thin = max(1, round(work / (LIMIT / 2)))  # every `thin`-th variant, where all would take too long

    def variants(clean):
        return GRIDS[name](lm, clean)[thin // 2 :: thin]

    def sweep(n_lanes):
        with lanes.use(n_lanes):
            clean = lm.run(tokens, keep=assay.SWEEPABLE)
            return lm.sweep(clean, variants(clean), targets=[5], progress=False)

    del every, clean
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    result = sweep(lane_counts[-1])
    peak = (mx.get_peak_memory() - before) / 2**20

    rounds = pace.rounds(2 * length * pace.per_token + work / thin, 3)
    naive, *ours = medians(
        lambda: mx.eval(lm.model(tokens[None])), *(lambda n=n: sweep(n) for n in lane_counts), rounds=rounds, warmup=rounds == 3,
    )  # fmt: skip
    n = len(result)
    for n_lanes, took in zip(lane_counts, ours, strict=True):
        with lanes.use(n_lanes):
            least = floor(lm, result.plan, length)
        row(
            f"sweep, {name}", lm.name, f"{length} tokens", f"{n} of {n * thin} variants" if thin > 1 else f"{n} variants",
            f"{n_lanes} lane{'s' * (n_lanes > 1)}", f"{naive * n / took:.0f}x the naive loop",
            f"{took / least:.2f} of the floor", f"{took * 1e3:.0f} ms", f"{peak:.0f} MiB",
        )  # fmt: skip
    variant = variants(result.clean)[n // 2]
    full = lm.run(tokens, edits=[variant]).log_probs()[0, 5].item()
    assert result.target_log_probs[n // 2, 0] == pytest.approx(full, abs=1e-3)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", GRIDS)
def test_sweep(lm, pace, row, name, length):

    length = pace.length(length, forwards=2)
    with in_float32(lm.model):
        measure(lm, pace, name, length, row, [lanes.count()])


@pytest.mark.parametrize("length", [64, 256])
@pytest.mark.parametrize("name", GRIDS)
def test_sweep_reference(reference_lm, row, name, length):

    measure(reference_lm, Pace.of(reference_lm), name, length, row, sorted({1, lanes.count()}))
