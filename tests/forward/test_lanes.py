"""Lanes change no bit: whatever runs on several lanes is compared with one, with models cut at every chance.

Tiny models have too little work for lanes, so `LEAST_WORK` is lowered: every call that can be cut is cut.
"""

import signal
import subprocess
import sys
import threading
import time

import mlx.core as mx
import numpy as np
import pytest
import tiny
from plain import plain

from assay import blas
from assay.errors import AssayError
from assay.forward import lanes
from assay.forward.edits import add, apply, knockout, replace, zero
from assay.forward.layout import lay_out
from assay.forward.sites import SITES
from assay.forward.sweep import SWEEPABLE

ALL = [*tiny.FAMILIES, *tiny.ODD]


@pytest.fixture(autouse=True)
def cut_everything(monkeypatch):
    monkeypatch.setattr(lanes, "LEAST_WORK", 1)


def on(n, function):
    with lanes.use(n):
        return function()


@pytest.fixture
def cuts(monkeypatch):
    """How many parts every call was cut into."""
    seen, lanes_of = [], lanes._lanes
    monkeypatch.setattr(lanes, "_lanes", lambda n: seen.append(n) or lanes_of(n))
    return seen


# ------------------------------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "4bit-bfloat16"])
@pytest.mark.parametrize("name", ALL)
def test_runs_are_the_same_bits(name, weights, cuts):
    """One prompt, cut along positions and heads, and three prompts, cut along rows; logits and every site."""
    lm = tiny.lm(name, weights)
    for prompts in (tiny.ids(), ["The capital", "The capital of France is", "A"]):
        one, three = (on(n, lambda prompts=prompts: lm.run(prompts, keep=list(SITES))) for n in (1, 3))
        assert tiny.agree(one.logits, three.logits)
        assert [key for key in one.kept if not tiny.agree(one[key], three[key])] == []
        quiet = on(3, lambda prompts=prompts: lm.run(prompts))  # fused attention, last position unembedded
        assert tiny.agree(one.logits, quiet.logits)
    assert max(cuts) == 3


@pytest.mark.parametrize(
    ("weights", "activations"),
    [("float32", "float32"), ("bfloat16", "native"), ("bfloat16", "float32"), ("4bit-bfloat16", "float32")],
)
@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_sweeps_and_continuations_are_the_same_bits(name, weights, activations):
    lm = tiny.lm(name, weights, activations)
    variants = [
        [zero("z", layer=i, head=h, position=p)] for i in range(lm.n_layers) for h in range(2) for p in (-1, -3)
    ]
    variants += [[knockout(queries=-1, keys=[1], layer="all")], [add("resid_post", 0.5, layer=1, position="all")]]
    options = {"logits": True, "keep": ["resid_post", "pattern"], "at": [-2, -1], "max_tokens": 4}
    one, two = (on(n, lambda: lm.sweep(tiny.ids(), variants, **options)) for n in (1, 2))
    assert tiny.agree(one.logits, two.logits)
    assert [key for key in one.kept if not tiny.agree(one.kept[key], two.kept[key])] == []
    assert one.continuations == two.continuations


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_generations_are_the_same_tokens(name):
    lm = tiny.lm(name)
    options = {
        "max_tokens": 5,
        "temperature": 2.0,
        "seed": 3,
        "edits": [add("resid_mid", 0.3, layer=1, position="all")],
    }
    prompts = ["The capital of France is", "Dallas is in", "The"]
    assert on(1, lambda: lm.generate(prompts, **options)) == on(3, lambda: lm.generate(prompts, **options))


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_gradients_are_the_same_bits(name):
    lm = tiny.lm(name)
    (_, one), (_, two) = (on(n, lambda: lm.gradients(tiny.ids(), sites=["resid_post", "z"], target=7)) for n in (1, 2))
    assert [key for key in one if not tiny.same(one[key], two[key])] == []


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_the_model_itself_is_the_oracle(name):
    """Not one lane, but mlx-lm's own modules, called by hand."""
    model, ids = tiny.model(name), tiny.ids()
    expected = plain(model, ids, lambda site, i, x: x * 2 if (site, i) == ("resid_mid", 1) else x)[-1]
    edit = apply("resid_mid", lambda x: x * 2, layer=1, position="all")
    assert tiny.agree(on(4, lambda: tiny.lm(name).run(ids, edits=[edit])).logits[0], expected)


def test_values_that_are_not_evaluated_yet_may_be_put_in():
    """A patch is often a lazy slice of an earlier run, built outside of any lane."""
    lm = tiny.lm("llama")
    lazy = mx.ones(64) * 3 + mx.arange(64)
    one, two = (on(n, lambda: lm.run(tiny.ids(), edits=[replace("embed", lazy, position=2)])) for n in (1, 2))
    assert tiny.agree(one.logits, two.logits)


# ------------------------------------------------------------------------------------------------------- how many lanes


def test_as_many_as_cores_shared_among_workers(monkeypatch):
    monkeypatch.delenv("ASSAY_LANES", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    monkeypatch.setattr(lanes, "cores", lambda: 9)
    assert lanes.count() == 9
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "4")
    assert lanes.count() == 2
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "40")
    assert lanes.count() == 1
    monkeypatch.setenv("ASSAY_LANES", "3")
    assert lanes.count() == 3


def test_never_more_than_useful(monkeypatch, cuts):
    """Parts of less than LEAST_WORK, of no token or of a part of a key head are not made."""
    double = lambda x: x * 2  # noqa: E731
    with lanes.use(4):
        lanes.by_token(double, mx.ones((1, 3, 5)), work=1)
        lanes.by_head(lambda q, k: q, mx.ones((1, 4, 9, 8)), mx.ones((1, 2, 9, 8)), work=10**9)
        monkeypatch.setattr(lanes, "LEAST_WORK", 100)
        lanes.by_token(double, mx.ones((1, 50, 5)), work=1)
        lanes.by_token(double, mx.ones((1, 50, 5)), work=0)
        lanes.by_token(double, mx.ones((1, 1, 5)), work=10**9)
    assert cuts == [3, 2, 2]


def test_uneven_parts():
    x = mx.arange(70).reshape(1, 7, 10)
    for n in range(1, 9):
        with lanes.use(n):
            assert tiny.same(lanes.by_token(lambda x: x + 1, x, work=1), x + 1)
            first, second = lanes.by_token(lambda x: (x, x.swapaxes(1, 2)), x.reshape(7, 1, 10), work=1)
            assert tiny.same(first, x.reshape(7, 1, 10))
            assert tiny.same(second, x.reshape(7, 10, 1))


@pytest.mark.parametrize("bad", ["", "0", "two", "-1", "1.5", "²"])
def test_a_bad_number_of_lanes_is_one_sentence(monkeypatch, bad):
    monkeypatch.setenv("ASSAY_LANES", bad)
    with pytest.raises(AssayError, match="ASSAY_LANES is the number of cores to use, a whole number from 1 on, got"):
        tiny.around(tiny.model("llama"))


def test_use_ends_with_its_block(monkeypatch):
    monkeypatch.setenv("ASSAY_LANES", "5")
    with lanes.use(2):
        assert lanes.count() == 2
    assert lanes.count() == 5

    def failing():
        with lanes.use(3):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert lanes.count() == 5


# ------------------------------------------------------------------------------------------------------- what goes wrong


def test_an_error_in_a_lane_reaches_the_caller():
    """Errors of mlx, raised while a lane's part is built; the next run is as good as ever."""
    lm, right = tiny.around(tiny.build("llama")), tiny.lm("llama").run(tiny.ids()).logits
    mlp, inside = lm.family.layers[1].mlp, []

    class Broken:
        def __call__(self, x):
            inside.append(x.shape)
            return mlp(x) @ (mx.ones((3, 3)) if len(inside) == 2 else mx.eye(64))

    lm.family.layers[1].mlp = Broken()
    with pytest.raises(ValueError, match="matmul"):
        on(2, lambda: lm.run(tiny.ids()))
    assert len(inside) == 2
    lm.family.layers[1].mlp = mlp
    assert tiny.agree(on(2, lambda: lm.run(tiny.ids())).logits, right)
    assert mx.default_stream(mx.cpu) == mx.default_stream(mx.default_device())


def test_threads_have_lanes_of_their_own():
    """mlx's streams cannot be used in another thread than the one that made them."""
    lm, found = tiny.lm("qwen2"), []
    expected = np.array(on(1, lambda: lm.run(tiny.ids())).logits)

    def work():
        with mx.stream(mx.new_stream(mx.cpu)), lanes.use(2):
            found.append(np.array(lm.run(tiny.ids()).logits))

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 6
    assert all(tiny.agree(each, expected) for each in found)


ENDLESS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
sys.path[:0] = ["lib", "tests/forward"]
import tiny
from assay.forward import lanes
from assay.forward.sweep import engine as sweep
{module}.LEAST_WORK = 1
lm = tiny.lm("llama")
with lanes.use(3):
    print("running", flush=True)
    while True:
        lm.sweep(tiny.ids(), [[]] * {rows}, max_tokens={tokens})
"""


@pytest.mark.parametrize(
    ("module", "rows", "tokens", "after"), [("lanes", 20, 8, 0.3), ("sweep", 200, 80, 0.5)], ids=["lanes", "abreast"]
)
def test_ctrl_c_ends_a_sweep(module, rows, tokens, after, pytestconfig):
    code = ENDLESS.format(module=module, rows=rows, tokens=tokens)
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, cwd=pytestconfig.rootpath, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout.readline() == "running\n"
            time.sleep(after)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert error.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert process.returncode in (1, 130, -signal.SIGINT)


# ------------------------------------------------------------------------------------------------------- memory


def test_all_lanes_together_stay_in_the_budget():
    import test_memory

    lm = tiny.around(tiny.build("gemma2"))
    variants, budget = [zero("embed", position=0)] * 60, 12 * test_memory.MIB
    with lanes.use(4):
        assert len(lm.plan(tiny.ids(90), variants, memory_budget=budget).chunks) > 1
    assert test_memory.peak(lambda: lm.sweep(tiny.ids(90), variants, memory_budget=budget), 4) < budget


# ------------------------------------------------------------------------------------------------------- layout of weights


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "float16", "4bit-bfloat16"])
@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_the_layout_of_weights_changes_no_bit(name, weights):
    model, tokens = tiny.build(name, weights), mx.array([tiny.ids()])
    before = model(tokens)
    lay_out(model)
    assert tiny.same(model(tokens), before)
    lm = tiny.around(model)
    run = lm.run(tiny.ids(), keep=SWEEPABLE)
    assert tiny.same(run.logits, tiny.lm(name, weights).run(tiny.ids()).logits)
    assert lm.doctor().ok


def test_the_layout_is_another_one(monkeypatch):
    """Strides, as numpy sees them: a step along a column is a step of one number. For the reference BLAS; others copy anyway."""
    monkeypatch.setattr(blas, "_in_front", None)
    model = tiny.build("llama")
    up = model.layers[0].mlp.up_proj
    assert np.array(up.weight, copy=False).strides == (4 * 64, 4)
    lay_out(model)
    assert np.array(up.weight, copy=False).strides == (4, 4 * 96)
    assert np.array(model.model.embed_tokens.weight, copy=False).strides == (4, 4 * tiny.VOCAB)
