"""Whatever stands in the files of a checkpoint, `assay.load` gives a model that works, or one sentence of an AssayError.

Each example is a whole random checkpoint of which one or two files are changed: entries of config.json and of the tokenizer's
files, chat templates, bytes. `ASSAY_THOROUGH=1` tries more of them.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import assay
from assay.errors import AssayError
from assay.models.keys import ROPE_KEYS, SIZES, answers
from assay.models.random import write_random
from assay.models.registry import FAMILIES

EXAMPLES = 1000 if os.environ.get("ASSAY_THOROUGH") else 25
TEXT = "The capital of Italy is Rome"
repeated = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))

# ------------------------------------------------------------------------------------------------------ the checkpoint

MADE: dict[str, Path] = {}


@pytest.fixture
def whole(config, tmp_path_factory) -> Callable[[str], Path]:
    """A checkpoint of a family that loads; not to be changed."""

    def of(family: str) -> Path:
        if family not in MADE:
            MADE[family] = write_random(tmp_path_factory.mktemp(family) / "model", config(family))
            assert works(MADE[family], doctor=True)
        return MADE[family]

    return of


@contextmanager
def changed(folder: Path, files: dict[str, bytes]) -> Iterator[Path]:
    """A copy of the checkpoint with other files."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(folder, Path(place, "changed")))
        for name, content in files.items():
            (copy / name).write_bytes(content)
        yield copy


def works(folder: Path, *, doctor: bool = False) -> bool:
    """Whether the checkpoint loads; what it raises must be an AssayError, also when it is asked something."""
    with refusals():
        lm = assay.load(str(folder), doctor=doctor)
        for ask in (
            lambda: lm.generate(TEXT, max_tokens=2),
            lambda: lm.chat("Hello", "Be kind.", answer="Yes"),
            lambda: lm.run(lm.chat("Hello")),
            lambda: lm.sweep(TEXT, [assay.zero("z", layer=0, position=-1)], targets=[" Rome"], progress=False),
        ):
            with refusals():
                ask()
        assert mx.isfinite(lm.run([5, 6, 7]).logits).all()
        return True
    return False


@contextmanager
def refusals() -> Iterator[None]:
    """Ends where an AssayError is raised, which must be one sentence."""
    try:
        yield
    except AssayError as error:
        message = str(error)
        assert message
        assert message.splitlines() == [message]
        assert len(message) < 1500


# ---------------------------------------------------------------------------------------------------- what stands there

LARGE = [2**31, 2**63, 10**30]
WORDS = """
    gelu silu relu default linear dynamic yarn llama3 longrope su full_attention sliding_attention auto bfloat16 llama gemma2
    affine mxfp4
"""
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 4, 8, 16, 30, 64, 1023, 4096, *LARGE]) | st.integers(-9, 99) | st.floats()
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(WORDS.split()), st.text(max_size=3))
ROPES = st.dictionaries(
    st.sampled_from(ROPE_KEYS.split()), SCALARS | st.lists(st.floats(), min_size=8, max_size=8), max_size=5
)
PACKED = st.dictionaries(
    st.sampled_from(["bits", "group_size", "mode", "quant_method", "lm_head", "model.embed_tokens"]), SCALARS
)
JSON = st.recursive(
    SCALARS | ROPES | PACKED | st.lists(st.sampled_from(["full_attention", "sliding_attention"]), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)

TEMPLATES = r"""
{% for %}
{{ messages[7].content }}
{{ messages[0].content + 1 }}
{{ 1 / 0 }}
{{ undefined_function() }}
{{ raise_exception('no') }}
{% if messages[0].role == 'system' %}{{ raise_exception('System role\nnot supported') }}{% endif %}hi
{% if messages[0].role == 'system' %}{{ messages[0].content + 1 }}{% endif %}{{ messages[0].content }}
{{ messages }}
{{ messages | tojson }}
{{ strftime_now('%Y') }}
{{ strftime_now(5) }}
{{ bos_token * 3 }}
{% for m in messages %}{{ m.content }}{% endfor %}
{{ messages[0]['content'].nothing.at_all }}
{{ ''.__class__.__mro__ }}
{% for i in range(10 ** 9) %}x{% endfor %}
{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}
{% generation %}
{{ 'a' | int + [] }}
{% include 'x' %}
{{ messages[0].content.encode() }}
""".splitlines()
"""The first of them is empty."""

NAMED = st.fixed_dictionaries(
    {"name": st.sampled_from(["default", "tool", ""]), "template": st.sampled_from(TEMPLATES)}
)
TOKEN = JSON | st.sampled_from(
    ["<s>", "</s>", "", "<|nothing|>", {"content": "<s>"}, {"content": 5}, {"__type": "AddedToken", "content": "a"}]
)
CLASSES = ["PreTrainedTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", "GemmaTokenizer", "BertTokenizer", "Nonsense"]
OTHERS = """
    extra_special_tokens model_max_length clean_up_tokenization_spaces added_tokens_decoder add_bos_token add_eos_token
    add_prefix_space legacy auto_map tokenizer_file vocab_file padding_side model_input_names chat_template_type processor_class
    tool_parser_type name_or_path special_tokens_map_file backend is_local local_files_only
"""
SETTINGS: dict[str, st.SearchStrategy] = {
    "chat_template": st.sampled_from(TEMPLATES) | st.lists(NAMED, max_size=2) | JSON,
    **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), TOKEN),
    "additional_special_tokens": st.lists(TOKEN, max_size=2) | JSON,
    "tokenizer_class": st.sampled_from(CLASSES) | JSON,
    **dict.fromkeys(OTHERS.split(), JSON),
}
"""Entries of tokenizer_config.json."""

PARTS = {
    "normalizer": ["Lowercase", "NFC", "Prepend", "Replace", "Sequence", "Strip", "Precompiled"],
    "pre_tokenizer": ["ByteLevel", "Metaspace", "Whitespace", "Digits", "Split", "Sequence", "BertPreTokenizer"],
    "post_processor": ["ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "Sequence"],
    "decoder": ["ByteLevel", "Metaspace", "ByteFallback", "Fuse", "WordPiece", "Sequence", "Strip"],
    "model": ["BPE", "Unigram", "WordPiece", "WordLevel", "Nonsense"],
    "truncation": ["Right"],
    "padding": ["Right"],
    "added_tokens": ["AddedToken"],
}
"""Parts of tokenizer.json, and types that they can have."""

FIELDS = """
    type add_prefix_space trim_offsets use_regex replacement prepend_scheme split pattern behavior invert individual_digits prefix
    content normalizers pretokenizers processors decoders single pair special_tokens sep cls vocab merges unk_token unk_id
    byte_fallback fuse_unk ignore_merges dropout id lstrip special max_length direction strategy stride
"""
"""Fields of these parts."""

BESIDE = """
    generation_config.json special_tokens_map.json added_tokens.json chat_template.jinja chat_template.json
    model.safetensors.index.json tokenizer.model vocab.json merges.txt gguf.json hf_quant_config.json
"""
"""Files that a checkpoint can do without."""

ENTRIES = ["eos_token_id", "bos_token", "eos_token", "chat_template", "weight_map", "file", "sha256", "quantised"]


# ------------------------------------------------------------------------------------------------------ what is changed


@st.composite
def other_entries(draw: st.DrawFn, keys: st.SearchStrategy[str], values: st.SearchStrategy) -> Callable[[dict], dict]:
    """A change of one or two entries of a JSON object, or their removal."""
    changes = draw(st.dictionaries(keys, values, min_size=1, max_size=2))
    gone = draw(st.sets(keys, max_size=1))
    return lambda value: {key: entry for key, entry in {**value, **changes}.items() if key not in gone}


@st.composite
def other_parts(draw: st.DrawFn) -> Callable[[dict], dict]:
    """A change of a part of tokenizer.json: of a field, of a third of the vocabulary, or of the whole part."""
    part, how = draw(st.sampled_from(list(PARTS))), draw(st.sampled_from(["field", "new", "json", "vocabulary"]))
    field, value = draw(st.sampled_from(FIELDS.split())), draw(JSON)
    new = {
        "type": draw(st.sampled_from(PARTS[part])),
        **draw(st.dictionaries(st.sampled_from(FIELDS.split()), JSON, max_size=3)),
    }

    def change(tokenizer: dict) -> dict:
        if how == "field" and isinstance(old := tokenizer.get(part), dict):
            return {**tokenizer, part: {**old, field: value}}
        if how == "vocabulary":
            vocab = {token: id for token, id in tokenizer["model"]["vocab"].items() if id % 3}
            return {**tokenizer, "model": {**tokenizer["model"], "vocab": {**vocab, field: value}}}
        return {**tokenizer, part: new if how == "new" else value}

    return change


@st.composite
def other_bytes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of some bytes at one place."""
    place, removed, put = draw(st.floats(0, 1)), draw(st.integers(0, 9)), draw(st.binary(max_size=9))

    def change(raw: bytes) -> bytes:
        at = int(place * len(raw))
        return raw[:at] + put + raw[at + removed :]

    return change


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def changes_of(name: str, family: str) -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Changes of one file."""
    on_json = {
        "config.json": other_entries(st.sampled_from([*answers(family), "new_key"]), JSON)
        | other_entries(st.sampled_from([*SIZES, "head_dim", "rope_theta", "sliding_window", "rms_norm_eps"]), NUMBERS)
        | other_entries(st.sampled_from(["rope_scaling", "rope_parameters"]), ROPES),
        "tokenizer_config.json": st.sampled_from(list(SETTINGS)).flatmap(
            lambda key: other_entries(st.just(key), SETTINGS[key])
        ),
        "tokenizer.json": other_parts(),
    }
    return on_json[name].map(lambda change: lambda raw: written(change(json.loads(raw)))) | other_bytes()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@repeated
@given(data=st.data())
def test_a_changed_file(whole, name, data):
    family = data.draw(st.sampled_from(FAMILIES), label="family")
    change = data.draw(changes_of(name, family), label="change")
    folder = whole(family)
    with changed(folder, {name: change((folder / name).read_bytes())}) as copy:
        works(copy, doctor=name == "config.json")


CONTENTS = st.one_of(
    st.binary(max_size=9),
    JSON.map(written),
    st.sampled_from(TEMPLATES).map(str.encode),
    st.dictionaries(st.sampled_from(ENTRIES), JSON).map(written),
)


@repeated
@given(
    family=st.sampled_from(FAMILIES),
    files=st.dictionaries(st.sampled_from(BESIDE.split()), CONTENTS, min_size=1, max_size=2),
)
def test_a_file_beside(whole, family, files):
    with changed(whole(family), files) as copy:
        works(copy)


@repeated
@given(family=st.sampled_from(FAMILIES), change=other_bytes())
def test_changed_weights(whole, family, change):
    folder = whole(family)
    with changed(folder, {"model.safetensors": change((folder / "model.safetensors").read_bytes())}) as copy:
        works(copy)
