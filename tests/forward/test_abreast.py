"""Work abreast: parts on threads give what they give one after the other, and end together."""

import threading
import time

import mlx.core as mx
import numpy as np
import pytest
import tiny

from assay.errors import NotExact
from assay.forward import generate, lanes
from assay.forward.edits import add, apply, replace, zero
from assay.forward.sweep import SWEEPABLE, chunk
from assay.forward.sweep import engine as sweep
from assay.forward.sweep.plan import Chunk

pytestmark = pytest.mark.skipif(mx.default_device() != mx.cpu, reason="runs where the default device is the CPU")


@pytest.fixture
def dealt(monkeypatch):
    """Every sweep is dealt out to three threads; into how many parts each chunk was."""
    seen, abreast = [], lanes.abreast
    monkeypatch.setattr(sweep, "LEAST_WORK", 1)
    monkeypatch.setattr(lanes, "abreast", lambda function, parts: seen.append(len(parts)) or abreast(function, parts))
    with lanes.use(3):
        yield seen


def grid(lm, clean):
    """Patches of lazy slices, at the last position and before it."""
    states = mx.stack([clean["resid_post", i][0, -1] for i in range(lm.n_layers)]) * 1
    pairs = [(s, t, p) for s in range(lm.n_layers) for t in range(lm.n_layers) for p in (-1, 3, 5)]
    return [replace("resid_post", states[s], layer=t, position=p) for s, t, p in pairs]


@pytest.mark.parametrize("name", [*tiny.FAMILIES, *tiny.ODD])
def test_a_sweep_is_the_same(name, dealt):
    lm = tiny.lm(name)
    clean = lm.run(tiny.ids(), keep=SWEEPABLE)
    options = {"logits": True, "targets": [3, 5], "keep": ["resid_post"], "at": [-1], "max_tokens": 5}
    many = lm.sweep(clean, grid(lm, clean), **options)
    assert max(dealt) == min(3, lm.n_layers**2)
    with lanes.use(1):
        one = lm.sweep(clean, grid(lm, clean), **options)
    assert dealt[-1] == 1
    assert tiny.agree(many.logits, one.logits)
    assert tiny.agree(many.target_log_probs, one.target_log_probs)
    assert all(tiny.agree(many.kept[key], one.kept[key]) for key in one.kept)
    assert many.continuations == one.continuations


def test_rows_are_dealt_in_turn():
    whole = Chunk(2, (4, 1, 0, 3, 2), tuple((i, "resid_pre") for i in range(5)))
    first, second = whole.dealt(2)
    assert (first.variants, second.variants) == ((4, 0, 2), (1, 3))
    assert second.entries == ((1, "resid_pre"), (3, "resid_pre"))
    assert len(whole.dealt(9)) == 5


def test_a_function_of_the_user_stays_on_one_thread(dealt):
    threads = set()

    def double(x):
        threads.add(threading.get_ident())
        return x * 2

    tiny.lm("llama").sweep(tiny.ids(), [apply("resid_post", double, layer=1, position=-1)] * 6)
    assert threads == {threading.get_ident()}
    assert dealt == [1]


def test_one_text_at_a_time_is_shown_to_stop(dealt):
    inside, most = [0], [0]

    def stop(text):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        inside[0] -= 1
        return False

    tiny.lm("llama").sweep(tiny.ids(), [[]] * 9, max_tokens=4, stop=stop)
    assert dealt == [3]
    assert most == [1]


def test_little_work_stays_together():
    lm, seen = tiny.lm("llama"), []
    with pytest.MonkeyPatch.context() as patch, lanes.use(3):
        patch.setattr(lanes, "abreast", lambda function, parts: seen.append(len(parts)) or list(map(function, parts)))
        lm.sweep(tiny.ids(), [zero("z", layer=1, position=-1)] * 9)
    assert seen == [1]


# ------------------------------------------------------------------------------------------------------- what goes wrong


def test_an_error_of_one_part_ends_the_others(dealt):
    rested, ended = threading.Event(), []

    def work(part):
        if part == 1:
            rested.wait(10)
            raise NotExact("part 1 overflows")
        while True:
            rested.set()
            try:
                lanes.rest()
            except lanes.Halted:
                ended.append(part)
                raise
            time.sleep(0.001)

    with pytest.raises(NotExact, match="part 1 overflows"):
        lanes.abreast(work, [0, 1, 2])
    assert sorted(ended) == [0, 2]
    assert lanes.abreast(lambda part: part * 2, [0, 1, 2]) == [0, 2, 4], "the threads are as good as ever"


@pytest.mark.parametrize("where", [chunk, generate])
def test_long_work_rests(where, dealt, monkeypatch):
    """In every layer of a sweep and every step of a continuation a thread looks whether it is still wanted."""

    def enough():
        raise lanes.Halted("not wanted")

    monkeypatch.setattr(where, "rest", enough)
    with pytest.raises(lanes.Halted):
        tiny.lm("llama").sweep(tiny.ids(), [zero("z", layer=1, position=-1)] * 6, max_tokens=4)


@pytest.mark.parametrize("name", ["llama", "qwen2_yarn", "phi3_longrope"])
def test_a_model_that_has_not_run_yet(name, dealt):
    """Rotary frequencies are lazy when a model is made, and belong to no parameters."""
    lm = tiny.lm(name)
    clean = lm.run(tiny.ids(), keep=SWEEPABLE)
    expected = lm.sweep(clean, grid(lm, clean), logits=True).logits
    fresh = tiny.around(tiny.build(name))
    assert tiny.agree(fresh.sweep(clean, grid(lm, clean), logits=True).logits, expected)


def test_memory_is_told_for_all_threads(dealt):
    """Each of them widens half-precision weights for itself."""
    import test_memory

    shape = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "head_dim": 64}
    model = tiny.build("llama", "bfloat16", num_hidden_layers=2, num_key_value_heads=2, **shape)
    lm, variants = tiny.around(model), [zero("z", layer=0, position=-1)] * 12
    told = lm.plan(tiny.ids(60), variants).bytes
    assert test_memory.peak(lambda: lm.sweep(tiny.ids(60), variants), 3) < told


def test_logits_that_are_not_finite(dealt):
    lm = tiny.lm("llama")
    huge = add("logits", np.full(lm.family.vocab, 3e38, np.float32), position=-1)
    with pytest.raises(NotExact, match="not finite"):
        lm.sweep(tiny.ids(), [[], [], [huge, huge], []])
