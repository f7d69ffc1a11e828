"""Nothing is patched: a thread that runs the plain model beside instrumented runs gets what it gets alone."""

import threading

import mlx.core as mx
import numpy as np
import tiny

from assay.forward.edits import scale


def test_a_plain_thread_is_not_disturbed():
    lm, tokens = tiny.lm("gemma2"), tiny.ids()
    model, before = lm.model, repr(lm.model)
    alone = np.array(model(mx.array([tokens])))
    edited, wrong, done = (
        np.array(lm.run(tokens, edits=[scale("embed", 2.0, position="all")]).logits),
        [],
        threading.Event(),
    )

    def plain():
        with mx.stream(mx.new_stream(mx.cpu)):
            while not done.is_set():
                found = np.array(model(mx.array([tokens])))
                wrong.append(not np.array_equal(found, alone))

    thread = threading.Thread(target=plain)
    thread.start()
    try:
        for _ in range(15):
            run = lm.run(tokens, keep=["resid_post", "pattern"], edits=[scale("embed", 2.0, position="all")])
            assert np.array_equal(np.array(run.logits), edited)
    finally:
        done.set()
        thread.join()
    assert wrong
    assert not any(wrong)
    assert repr(model) == before
    assert type(model).__module__ == "mlx_lm.models.gemma2"


def test_two_lms_share_a_model():
    """One in float32, one native, over the same modules: neither leaves a trace."""
    wide, native = (tiny.lm("qwen2", "bfloat16", activations) for activations in ("float32", "native"))
    assert wide.model is native.model
    first = native.run(tiny.ids()).logits
    wide.run(tiny.ids(), edits=[scale("embed", 2.0, position="all")])
    assert tiny.same(native.run(tiny.ids()).logits, first)
    assert tiny.same(tiny.model("qwen2", "bfloat16")(mx.array([tiny.ids()]))[:, -1].astype(mx.float32), first)
