"""Whatever is given for a prompt, an option or an edit, the answer is a result or one sentence of an AssayError.

Each example is one call with sensible arguments, of which one or two are replaced by anything at all. `ASSAY_THOROUGH=1` tries
more of them.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import assay
from assay.errors import AssayError
from assay.forward.edits import Edit
from assay.forward.positions import Prompt, Text
from assay.forward.sites import SITES

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a run, by hypothesis
EXAMPLES = 3000 if os.environ.get("ASSAY_THOROUGH") else 100
E, H, D = 64, 4, 16
IDS = tiny.ids(7)
TEXT = "The capital of Italy"


# ---------------------------------------------------------------------------------------------------- anything at all


def on_mlx(value: Any) -> Any:
    """The array as MLX has it, if it can."""
    try:
        return mx.array(value)
    except (TypeError, ValueError, RuntimeError):
        return value


NUMPY = arrays.arrays(
    st.one_of(arrays.scalar_dtypes(), st.sampled_from([np.dtype(object), np.dtype([("a", "f4"), ("b", "i4")])])),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    elements=None,
)
HUGE = [2**31, -(2**31) - 1, 2**32 + 5, 2**63, -(2**63) - 1, 2**64, 10**40, -1, -(10**400)]
NAMES = st.sampled_from(
    [*SITES, "z.1", "z.99", "z.-1", "z.--1", "z.²", "z.", ".", "all", "prompt", "generated", "resid_pots"]
)
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=6) | st.sampled_from(["\ud800", "a\udfffb", "\0"])
ODD = [
    object(),
    len,
    Path("x"),
    ...,
    NotImplemented,
    range(3),
    range(0),
    Fraction(1, 3),
    10**400 * 1.0 if False else 1e39,
]
DTYPES = [
    np.bool_,
    np.int8,
    np.uint64,
    np.float16,
    np.longdouble,
    np.complex64,
    np.object_,
    np.str_,
    "M8[s]",
    ">f4",
    "S1",
]
SHAPES = [(E,), (2, E), (H, D), (D,), (1,), (H, 7), (7,), (1, H, D), ()]
FITTING = st.builds(lambda shape, dtype: np.ones(shape).astype(dtype), st.sampled_from(SHAPES), st.sampled_from(DTYPES))
FILLED = st.builds(
    np.full, st.sampled_from(SHAPES), st.sampled_from([np.nan, np.inf, 3e38, 1e300, -1e38, 0.0, 5.0, 319.0])
)
ON_MLX = st.builds(
    mx.ones,
    st.sampled_from(SHAPES),
    st.sampled_from([mx.bfloat16, mx.float16, mx.complex64, mx.bool_, mx.int64, mx.uint8]),
)
MADE = st.sampled_from(
    [assay.zero("z", layer=1, position=-1), assay.scale("resid_post", 1e38, layer=[0, 1], position="all")]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(HUGE), st.floats(), st.complex_numbers(), TEXTS, NAMES,
    st.binary(max_size=3), st.sampled_from(ODD), NUMPY, NUMPY.map(on_mlx), FITTING, FILLED, FILLED.map(on_mlx), ON_MLX, MADE,
    st.builds(lambda x: iter([x]), st.integers(-9, 9)),
    st.builds(Text, st.text(max_size=2) | st.none(), st.none() | st.integers(-3, 3) | st.floats(), st.booleans()),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------ what makes sense here


@cache
def built_in() -> assay.LM:
    return assay.load("llama_tiny", doctor=False)


MODELS = {"random llama": lambda: tiny.lm("llama"), "random gemma2": lambda: tiny.lm("gemma2"), "built-in": built_in}
CLEAN = tiny.lm("llama").run(IDS, keep=[*assay.SWEEPABLE, "pattern"])

PROMPTS = st.sampled_from(
    [IDS, TEXT, Prompt(tuple(IDS)), [IDS, IDS[:3]], [TEXT, "Rome"], np.array(IDS), mx.array(IDS), CLEAN]
)
ONE = st.sampled_from([IDS, TEXT, Prompt(tuple(IDS)), CLEAN])
SITE = st.sampled_from(list(SITES))
LAYER = st.sampled_from([0, 2, -1, [0, 1], "all", None])
POSITION = st.sampled_from([0, -1, [1, 2], "all", "prompt", "generated", "capital", assay.text("Italy", whole=True)])
HEAD = st.sampled_from([None, 0, [1, 2]])
VALUE = st.sampled_from([0.5, mx.ones(E), np.ones(E, np.float32), mx.ones((H, D)), mx.ones(D), [0.5] * E])
PLACE = {"layer": LAYER, "position": POSITION, "head": HEAD}
FUNCTION = st.sampled_from([lambda x: x * 2, lambda x: x[..., :1], lambda x: None])

EDITS: dict[Callable[..., Edit], dict[str, st.SearchStrategy]] = {
    assay.replace: {"site": SITE, "value": VALUE, **PLACE},
    assay.add: {"site": SITE, "value": VALUE, "scale": st.just(2.0), **PLACE},
    assay.scale: {"site": SITE, "factor": st.just(2.0), **PLACE},
    assay.zero: {"site": SITE, **PLACE},
    assay.mean_ablate: {"site": st.just("z"), "sample": st.just(CLEAN), "over": POSITION, **PLACE},
    assay.resample: {"site": st.just("z"), "donor": st.just(CLEAN), **PLACE},
    assay.ablate: {
        "direction": VALUE,
        "layers": LAYER,
        "position": POSITION,
        "sites": st.sampled_from([["resid_pre"], ("resid_mid", "embed")]),
    },
    assay.project_out: {"site": SITE, "direction": VALUE, **PLACE},
    assay.set_pattern: {"value": st.sampled_from([mx.ones((H, 7)), mx.ones(7)]), **PLACE},
    assay.knockout: {"queries": POSITION, "keys": POSITION, "layer": LAYER, "head": HEAD},
    assay.apply: {"site": SITE, "function": FUNCTION, **PLACE},
}
EDIT = st.sampled_from([assay.zero("z", layer=1, position=-1), assay.scale("resid_post", 2.0, layer=1, position="all")])
EDITED = st.sampled_from([()]) | EDIT | st.lists(EDIT, max_size=2)
KEEP = st.sampled_from([(), "z", "resid_post.1", ("pattern", 0), [("z", 1), "logits"]])
SHORT = {"max_tokens": st.integers(1, 2)}

CALLS: dict[str, dict[str, st.SearchStrategy]] = {
    "run": {"prompts": PROMPTS, "keep": KEEP, "edits": EDITED},
    "generate": {
        "prompts": PROMPTS, "edits": EDITED, **SHORT, "temperature": st.sampled_from([0, 1.0, 0.5]),
        "top_p": st.sampled_from([0, 0.9, 1]), "top_k": st.sampled_from([0, 1, 7]), "seed": st.sampled_from([None, 3]),
        "stop": st.none(),
    },
    "sweep": {
        "prompt": ONE, "variants": st.lists(EDITED, min_size=1, max_size=2), "targets": st.sampled_from([(), [" Rome"], [5, 6]]),
        "top_k": st.integers(0, 3), "logits": st.booleans(), "keep": KEEP, "at": POSITION, **SHORT, "stop": st.none(),
        "shared": st.just("allow"), "memory_budget": st.none(), "progress": st.just(False),
    },
    "plan": {
        "prompt": ONE, "variants": st.lists(EDITED, min_size=1, max_size=2), "targets": st.just(()), "top_k": st.integers(0, 3),
        "keep": KEEP, "at": POSITION, **SHORT, "memory_budget": st.none(),
    },
    "gradients": {"prompts": PROMPTS, "sites": KEEP, "target": st.sampled_from([" Rome", 5]), "edits": EDITED},
    "chat": {
        "user": st.sampled_from(["Hello", ["Hello"], ["Who?", "Me.", "You?"]]),
        "system": st.sampled_from([None, False, "Be kind."]), "answer": st.just("Yes"),
    },
    "token": {"text": st.sampled_from([" Rome", 5]), "after": st.none() | ONE},
    "prompt": {"text": PROMPTS},
    "decode": {"tokens": st.just(IDS)},
    "unembed": {"states": st.sampled_from([mx.ones(E), mx.ones((2, 3, E)), np.ones((2, E))])},
    "states": {
        "prompts": PROMPTS, "name": st.sampled_from(["resid_post.1", "z", ("q", 1), "final_norm"]), "position": POSITION,
        "edits": EDITED, "batch": st.integers(1, 20),
    },
}  # fmt: skip


@st.composite
def arguments(draw: st.DrawFn, table: dict[Any, dict[str, st.SearchStrategy]]) -> tuple[Any, dict[str, Any]]:
    """A function of the table, with arguments of which up to two can be anything."""
    function = draw(st.sampled_from(list(table)))
    sensible = table[function]
    strange = draw(st.sets(st.sampled_from(list(sensible)), max_size=2))
    return function, {name: draw(ANYTHING if name in strange else one) for name, one in sensible.items()}


def endless(arguments: dict[str, Any]) -> bool:
    """A request that is fine, and takes hours."""
    wanted = arguments.get("max_tokens")
    return isinstance(wanted, int | np.integer) and wanted > 9


def asked(ask: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """What a call gives; None after an AssayError, which must be one sentence."""
    try:
        return ask(*given, **options)
    except AssayError as error:
        message = str(error)
        assert message
        assert message.splitlines() == [message]
        assert message == message.strip(" ,:")
        assert len(message) < 1000
        return None


@settings(max_examples=EXAMPLES)
@pytest.mark.parametrize("model", MODELS)
@given(call=arguments(CALLS))
def test_requests(model, call):
    name, options = call
    if not endless(options):
        asked(getattr(MODELS[model](), name), **options)


@settings(max_examples=EXAMPLES)
@given(call=arguments(EDITS), prompt=st.sampled_from([IDS, TEXT]))
def test_edits(call, prompt):
    make, options = call
    if (edit := asked(make, **options)) is not None:
        asked(tiny.lm("llama").run, prompt, edits=edit)
        asked(tiny.lm("llama").generate, prompt, edits=edit, max_tokens=2)
        asked(tiny.lm("llama").sweep, prompt, [edit, []], max_tokens=1, progress=False)


@settings(max_examples=EXAMPLES)
@given(tokens=ANYTHING, text=st.none() | TEXTS | ANYTHING, spans=st.none() | ANYTHING)
def test_prompts(tokens, text, spans):
    prompt = asked(Prompt, tokens, text, spans)
    if prompt is not None:
        asked(tiny.lm("llama").run, prompt, edits=[])
        asked(tiny.lm("llama").run, prompt, edits=[assay.zero("z", layer=1, position="a")])


@settings(max_examples=EXAMPLES)
@given(key=ANYTHING | st.tuples(ANYTHING, ANYTHING), layer=ANYTHING)
def test_what_a_run_kept(key, layer):
    asked(CLEAN.__getitem__, key)
    asked(CLEAN.at_last, key, layer)


@settings(max_examples=EXAMPLES)
@given(
    name=ANYTHING,
    options=st.fixed_dictionaries(
        {}, optional={"activations": ANYTHING, "weights": ANYTHING, "unknown_keys": ANYTHING}
    ),
)
def test_names_of_models(name, options):
    asked(assay.load, name, **options)
