"""Whatever is wrong with a request is said before anything is computed: a typed error, one clear sentence, on one line."""

from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import tiny

import assay
from assay.errors import (
    AssayError,
    BudgetError,
    EditError,
    LayerError,
    NotExact,
    PositionError,
    PromptError,
    UnknownSite,
    UnsupportedFamily,
)
from assay.forward.edits import (
    ablate,
    add,
    apply,
    knockout,
    mean_ablate,
    project_out,
    replace,
    resample,
    scale,
    set_pattern,
    zero,
)
from assay.forward.families import adapt
from assay.forward.positions import Prompt, text
from assay.forward.sweep import SWEEPABLE

IDS = tiny.ids()
NAN, INF = float("nan"), float("inf")
E, D, H, S = 64, 16, 4, 13
CLEAN = tiny.lm("llama").run(IDS, keep=[*SWEEPABLE, "pattern"])
HERE = {"layer": 1, "position": 5}

# what is asked: (error, words of its message)
EDITS = {
    "misspelt site": (lambda: zero("resid_pots", **HERE), UnknownSite, "unknown site 'resid_pots'. Did you mean resid_post"),
    "layer 99": (lambda: zero("z", layer=99, position=5), LayerError, "layer 99 is out of range: this model has layers 0 to 2"),
    "layer -4": (lambda: zero("z", layer=-4, position=5), LayerError, "layer -4 is out of range"),
    "layer 1.5": (lambda: zero("z", layer=1.5, position=5), LayerError, "a layer is a whole number, got 1.5"),
    "no layer": (lambda: zero("z", position=5), LayerError, "'z' is in every layer: say which with layer=3"),
    "empty layers": (lambda: zero("z", layer=[], position=5), LayerError, "names no layer"),
    "layer twice": (lambda: zero("z", layer=[2, -1], position=5), LayerError, "a layer is given twice at 'z': [2, -1]"),
    "layers that are a word": (lambda: zero("z", layer="every", position=5), LayerError, "a whole number, got 'every'"),
    "site of another kind": (lambda: zero(["z"], **HERE), UnknownSite, "unknown site ['z']."),
    "occurrence 1.5": (lambda: zero("z", layer=1, position=text("a", 1.5)), PositionError, "a whole number, got Text("),
    "layer of embed": (lambda: zero("embed", **HERE), LayerError, "'embed' is outside the layers"),
    "head 99": (lambda: zero("z", head=99, **HERE), LayerError, "head 99 is out of range at 'z': this model has heads 0 to 3"),
    "head -1": (lambda: zero("z", head=-1, **HERE), LayerError, "head -1 is out of range"),
    "key head 2": (lambda: zero("v", head=2, **HERE), LayerError, "head 2 is out of range at 'v': this model has heads 0 to 1"),
    "head 1.5": (lambda: zero("z", head=1.5, **HERE), LayerError, "head 1.5 is out of range"),
    "no head": (lambda: zero("z", head=[], **HERE), EditError, "names no head"),
    "head twice": (lambda: zero("z", head=[1, 1], **HERE), LayerError, "given twice"),
    "head of the stream": (lambda: zero("resid_post", head=1, **HERE), EditError, "'resid_post' has no heads"),
    "position past the end": (lambda: zero("z", layer=1, position=13), PositionError, "position 13 is outside the prompt, which"),
    "position twice": (lambda: zero("z", layer=1, position=[12, -1]), PositionError, "given twice"),
    "no position": (lambda: zero("z", layer=1, position=[]), PositionError, "no position was given"),
    "position None": (lambda: zero("z", layer=1, position=None), PositionError, "a position is a whole number"),
    "text in ids": (lambda: zero("z", layer=1, position="Dallas"), PositionError, "the prompt was given as token ids"),
    "never fires": (lambda: zero("z", layer=1, position="generated"), EditError, "never fires: it selects generated positions"),
    "head_out": (lambda: zero("head_out", **HERE), EditError, "can be read but not edited; edit 'z' of that head instead"),
    "wrong width": (lambda: replace("resid_post", mx.ones(E + 1), **HERE), EditError, "shape (65,); it must be (64,), or"),
    "wrong rows": (
        lambda: replace("resid_post", mx.ones((3, E)), layer=1, position=[1, 2]),
        EditError,
        "shape (3, 64); it must be (64,), or (2, 64)",
    ),
    "all heads for one": (lambda: add("z", mx.ones((H, D)), head=1, **HERE), EditError, "(4, 16); it must be (16,), or"),
    "one head for all": (lambda: add("z", mx.ones(D), **HERE), EditError, "shape (16,); it must be (4, 16), or (1, 4, 16)"),
    "short pattern": (lambda: set_pattern(mx.ones(S - 1), head=0, **HERE), EditError, "shape (12,); it must be (13,)"),
    "NaN direction": (lambda: ablate([NAN] * E), EditError, "a direction needs a finite length above 0"),
    "endless direction": (lambda: ablate([INF] * E), EditError, "a direction needs a finite length above 0"),
    "zero direction": (lambda: project_out("z", mx.zeros((H, D)), **HERE), EditError, "a direction needs a finite length"),
    "one zero direction of two": (
        lambda: project_out("mlp_out", mx.array([[1.0] * E, [0.0] * E]), layer=1, position=[1, 2]),
        EditError,
        "a direction needs a finite length above 0",
    ),
    "short direction": (lambda: ablate(mx.ones(E - 1)), EditError, "shape (63,); it must be (64,)"),
    "NaN value": (lambda: add("resid_post", [NAN] * E, **HERE), EditError, "of the add edit at 'resid_post' is not finite"),
    "infinite factor": (lambda: scale("resid_post", INF, **HERE), EditError, "the scale edit at 'resid_post' is not finite"),
    "no value": (lambda: replace("resid_post", None, **HERE), EditError, "an array or a number, got NoneType"),
    "complex value": (lambda: replace("resid_post", 1j * np.ones(E), **HERE), EditError, "an array or a number, got ndarray"),
    "value of nothing": (lambda: add("resid_post", np.array([None] * E), **HERE), EditError, "an array or a number, got ndarray"),
    "two factors": (lambda: scale("z", [1, 2], **HERE), EditError, "factor is one number, got an array of shape (2,)"),
    "a word for a scale": (lambda: add("z", 1.0, scale="big", **HERE), EditError, "an array or a number, got str"),
    "a number for a direction": (lambda: ablate(0.5), EditError, "a direction is a vector, got one number"),
    "ablation nowhere": (lambda: ablate(mx.ones(E), sites=[]), EditError, "the ablation names no site"),
    "no function": (lambda: apply("z", 5, **HERE), EditError, "apply takes a function of the selected values, got 5"),
    "words for a value": (lambda: replace("resid_post", "much", **HERE), EditError, "an array or a number, got str"),
    "no edit": (lambda: "zero", EditError, "not an edit: 'zero'"),
    "blind knockout": (lambda: knockout(queries=2, keys=[5], layer=1), EditError, "the knockout never fires"),
    "knockout of no keys": (lambda: knockout(queries=2, keys=[], layer=1), PositionError, "no position was given"),
    "generated keys": (lambda: knockout(queries=2, keys="generated", layer=1), EditError, "the knockout never fires"),
    "mean of an array": (lambda: mean_ablate("z", mx.ones((5, H, D)), **HERE), EditError, "values are taken from a run"),
    "mean of what was not kept": (lambda: mean_ablate("q", CLEAN, **HERE), UnknownSite, "unknown kept site 'q.1'"),
    "mean over nothing": (lambda: mean_ablate("z", CLEAN, over="generated", **HERE), EditError, "no value of 'z' at generated"),
    "mean of head 9": (lambda: mean_ablate("z", CLEAN, head=9, **HERE), LayerError, "head 9 is out of range"),
    "mean of a head of the stream": (lambda: mean_ablate("embed", CLEAN, head=1, position=5), EditError, "'embed' has no heads"),
    "donor of two prompts": (
        lambda: resample("z", tiny.lm("llama").run([IDS, IDS[:4]], keep="z"), **HERE),
        EditError,
        "a donor is a run of one prompt, this one has 2",
    ),
    "donor of another length": (
        lambda: resample("pattern", tiny.lm("llama").run(IDS[:9], keep="pattern"), **HERE),
        EditError,
        "shape (4, 9); it must be (4, 13)",
    ),
}  # fmt: skip

REQUESTS = {
    "empty prompt": (lambda lm: lm.run(""), PromptError, "the prompt is empty"),
    "no tokens": (lambda lm: lm.run([]), PromptError, "the prompt is empty"),
    "an empty prompt of two": (lambda lm: lm.run(["a", ""]), PromptError, "the prompt is empty"),
    "an empty id list of two": (lambda lm: lm.run([[5], []]), PromptError, "the prompt is empty"),
    "no prompt": (lambda lm: lm.run(None), PromptError, "a prompt is a text or a list of token ids, got None"),
    "a number": (lambda lm: lm.run(5), PromptError, "got the number 5"),
    "a number among texts": (lambda lm: lm.run(["a", 5]), PromptError, "got the number 5"),
    "fractions": (lambda lm: lm.run([1.5, 2.0]), PromptError, "a prompt is a text or a list of token ids, got 1.5"),
    "a table": (lambda lm: lm.run(mx.array([[1, 2]])), PromptError, r"got [1, 2]"),
    "token outside the vocabulary": (lambda lm: lm.run([5, 320]), PromptError, "token id 320 is outside the vocabulary of 320"),
    "negative token": (lambda lm: lm.run([5, -1]), PromptError, "token id -1 is outside"),
    "token of a prompt": (lambda lm: lm.run(Prompt((5, 10**6))), PromptError, "token id 1000000 is outside"),
    "misspelt kept site": (lambda lm: lm.run(IDS, keep="residpost"), UnknownSite, "Did you mean resid_post"),
    "kept layer": (lambda lm: lm.run(IDS, keep="z.3"), LayerError, "layer 3 is out of range"),
    "max_tokens 0": (lambda lm: lm.generate(IDS, max_tokens=0), EditError, "a whole number, at least 1, got 0"),
    "max_tokens 2.5": (lambda lm: lm.generate(IDS, max_tokens=2.5), EditError, "max_tokens must be a whole number"),
    "max_tokens True": (lambda lm: lm.generate(IDS, max_tokens=True), EditError, "max_tokens must be a whole number"),
    **{
        f"{name} {value!r}": (
            lambda lm, name=name, value=value: lm.generate(IDS, **{"temperature": 1.0, name: value}),
            EditError,
            f"{name} must be {words}",
        )
        for name, words, values in (
            ("temperature", "0 (greedy) or a number from 1e-06 to 1e+06, got ", (-1.0, NAN, INF, -INF, 1e7, 1e-9, True, None)),
            ("top_p", "0 (all tokens) or a number from 1e-06 to 1, got ", (-0.1, 1.01, NAN, INF, 1e-9, True, "most", None)),
            ("top_k", "0 (all tokens) or a whole number up to 320, the size of the vocabulary", (-1, 321, 2.0, NAN, True, None)),
            ("seed", "None or a whole number from 0 to 2**64 - 1, got ", (-1, 2**64, 1.5, NAN, True, "seed")),
            ("stop", "a function of the text so far, or None, got ", (5, ".", False)),
        )
        for value in values
    },
    "bytes": (lambda lm: lm.run(b"Dallas"), PromptError, "a prompt is a text or a list of token ids, got b'Dallas'"),
    "spans without tokens": (lambda lm: lm.run(Prompt((5, 6), "ab", ((0, 1),))), PromptError, "for each of its 2 tokens"),
    "a text of numbers": (lambda lm: lm.run(Prompt((5,), 7)), PromptError, "the text of a prompt is a text or None, got 7"),
    "a prompt of words": (lambda lm: lm.run(Prompt(("a", "b"))), PromptError, "a tuple of ids, got ('a', 'b')"),
    "layer of a kept site": (lambda lm: lm.run(IDS, keep="z.²"), LayerError, "cannot read a layer from 'z.²'"),
    "top_p without samples": (lambda lm: lm.generate(IDS, top_p=0.9), EditError, "need a temperature above 0"),
    "pattern of generated queries": (
        lambda lm: lm.generate(IDS, edits=[set_pattern(mx.ones((H, S)), layer=1, position="all")]),
        EditError,
        "a row over 13 keys cannot be laid over 'pattern' at generated positions",
    ),
    "one row each for generated positions": (
        lambda lm: lm.generate(IDS, edits=[replace("resid_post", mx.ones((S, E)), layer=1, position="all")]),
        EditError,
        "give one value, not one per prompt position",
    ),
    "scores in a ragged batch": (
        lambda lm: lm.generate([IDS, IDS[:4]], edits=[zero("pattern", layer=1, position="all")]),
        EditError,
        "need prompts of one length",
    ),
    "gradient of head_out": (lambda lm: lm.gradients(IDS, sites="head_out", target=5), EditError, "has no gradient; ask for 'z'"),
    "gradient of nothing": (lambda lm: lm.gradients(IDS, sites=[], target=5), EditError, "no site was named"),
    "gradient of a token outside": (lambda lm: lm.gradients(IDS, sites="z", target=320), PromptError, "token id 320 is outside"),
    "target without tokens": (lambda lm: lm.gradients(IDS, sites="z", target=""), PromptError, "'' has no tokens"),
    "sweep of nothing": (lambda lm: lm.sweep(IDS, []), EditError, "at least one variant"),
    "sweep of no prompts": (lambda lm: lm.sweep([], []), PromptError, "the prompt is empty"),
    "sweep of a non-edit": (lambda lm: lm.sweep(IDS, [None]), EditError, "not an edit: None"),
    "sweep with NaN": (lambda lm: lm.sweep(IDS, [add("z", NAN, **HERE)]), EditError, "is not finite"),
    "sweep with a bad variant": (lambda lm: lm.sweep(IDS, [[], zero("z", layer=9, position=5)]), LayerError, "layer 9"),
    "sweep that never fires": (lambda lm: lm.sweep(IDS, [zero("z", layer=1, position="generated")]), EditError, "never fires"),
    "sweep to a token outside": (lambda lm: lm.sweep(IDS, [[]], targets=[-1]), PromptError, "token id -1 is outside"),
    "sweep with top_k -1": (lambda lm: lm.sweep(IDS, [[]], top_k=-1), EditError, "top_k must be a whole number, at least 0"),
    "sweep with max_tokens -1": (lambda lm: lm.sweep(IDS, [[]], max_tokens=-1), EditError, "max_tokens must be a whole number"),
    "sweep keeping nowhere": (lambda lm: lm.sweep(IDS, [[]], keep="z", at="generated"), PositionError, "nothing can be kept at"),
    "sweep of two prompts": (lambda lm: lm.sweep([IDS, IDS], [[[]]]), EditError, "need as many lists of variants, got 1"),
    "sweep on a shoestring": (lambda lm: lm.sweep(IDS, [[]], memory_budget=1000), BudgetError, "a memory budget of"),
    "sweep of an edited run": (
        lambda lm: lm.sweep(tiny.lm("llama").run(IDS, keep=SWEEPABLE, edits=[zero("z", **HERE)]), [[]]),
        EditError,
        "starts from a clean run, this one was edited",
    ),
    "sweep of a run without states": (
        lambda lm: lm.sweep(tiny.lm("llama").run(IDS, keep="resid_post"), [[]]),
        EditError,
        "must keep 'embed': make it with keep=assay.SWEEPABLE",
    ),
    "sweep of a run of two prompts": (
        lambda lm: lm.sweep(tiny.lm("llama").run([IDS, IDS[:3]], keep=SWEEPABLE), [[]]),
        EditError,
        "a run of one prompt, this one has 2",
    ),
    "sweep keeping what the run did not": (lambda lm: lm.sweep(CLEAN, [[]], keep="q"), EditError, "must itself keep"),
}  # fmt: skip


@pytest.fixture
def idle():
    """An LM that cannot compute: its attention refuses."""
    lm = tiny.around(tiny.model("llama"))

    def refuse(attn, x):
        pytest.fail("something was computed")

    lm.family.qkv = refuse
    return lm


def check(raised: AssayError, error: type[AssayError], words: str) -> None:
    assert type(raised) is error
    message = str(raised)
    assert words in message
    assert "\n" not in message
    assert len(message) < 300
    assert message == message.strip(" ,:")


@pytest.mark.parametrize(("make", "error", "words"), EDITS.values(), ids=EDITS)
def test_edits(idle, make, error, words):
    asks = (
        lambda edits: idle.run(IDS, edits=edits),
        lambda edits: idle.sweep(IDS, [[], edits]),
        lambda edits: idle.gradients(IDS, sites="z", target=5, edits=edits),
    )
    for ask in asks:
        with pytest.raises(AssayError) as raised:
            ask(make())
        check(raised.value, error, words)


@pytest.mark.parametrize(("ask", "error", "words"), REQUESTS.values(), ids=REQUESTS)
def test_requests(idle, ask, error, words):
    with pytest.raises(AssayError) as raised:
        ask(idle)
    check(raised.value, error, words)


def test_unsupported_family():
    with pytest.raises(UnsupportedFamily) as raised:
        adapt(SimpleNamespace(model_type="gpt2"))
    check(raised.value, UnsupportedFamily, "unknown model family 'gpt2'")
    assert all(name in str(raised.value) for name in ("llama", "gemma2", "phi3"))


def test_activations_are_one_of_two():
    with pytest.raises(AssayError, match="activations is 'float32' or 'native', got 'bfloat16'"):
        tiny.around(tiny.model("llama"), activations="bfloat16")


def test_a_run_of_another_model():
    """Embeddings tell: of other weights, and of other activations."""
    clean = tiny.lm("qwen2", "bfloat16").run(IDS, keep=SWEEPABLE)
    for other in (tiny.lm("llama"), tiny.lm("qwen2", "bfloat16", "native"), tiny.lm("qwen2", "float16")):
        with pytest.raises(EditError, match=r"starts from a run of .* with the same activations"):
            other.sweep(clean, [[]])


@pytest.mark.parametrize("made", ["nothing", (1, 2)])
def test_a_function_that_changes_the_shape(made):
    function = (lambda x: None) if made == "nothing" else lambda x: x[:, :, :2]
    with pytest.raises(EditError, match=r"the function at 'resid_post' changed the shape from \(1, 1, 64\) to"):
        tiny.lm("llama").run(IDS, edits=[apply("resid_post", function, **HERE)])


@pytest.mark.parametrize("factor", [3e38, -3e38])
def test_overflow_is_not_a_result(factor):
    """NaN wins every argmax: logits that are not finite are an error wherever they arise."""
    lm, edit = tiny.lm("llama"), scale("embed", factor, position="all")
    with pytest.raises(NotExact, match="logits that are not finite: an edit or the weights overflow"):
        lm.run(IDS, edits=[scale("resid_post", factor, layer=1, position="all"), edit])
    later = [scale(site, factor, layer=i, position="generated") for i in range(3) for site in ("resid_post", "mlp_out")]
    for ask in (lambda: lm.generate(IDS, edits=later), lambda: lm.sweep(IDS, [later], max_tokens=4)):
        with pytest.raises(NotExact, match="not finite"):
            ask()


def test_every_error_is_an_assay_error():
    assert issubclass(AssayError, Exception)
    assert not issubclass(AssayError, AssertionError)
    assert assay.AssayError is AssayError
