"""Small tokenizers in each family's style: any text survives, BOS and turns are where the family has them."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer

from assay.errors import CheckpointError
from assay.models.load import PROBE
from assay.models.registry import FAMILIES
from assay.models.tokenizer import STYLES, write_tokenizer

# The fixtures are of the module: nothing is shared between examples that an example changes.
QUICK = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp(family)
    ids = write_tokenizer(path, family)
    # transformers chooses the tokenizer's class by the model type
    (path / "config.json").write_text(json.dumps({"model_type": family, "vocab_size": 32768, **ids}))
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    ids = json.loads((folder / "config.json").read_text())["eos_token_id"]
    return load_tokenizer(folder, eos_token_ids=ids)


def test_every_supported_family_has_a_style():
    assert set(STYLES) == set(FAMILIES)


@settings(QUICK, max_examples=100)
@given(text=st.text())
@example(text="")
@example(text=" ")
@example(text=" two  spaces\t\r\n\n end ")
@example(text="e\u0301 Å 東京 🏳️‍🌈 \x00\x7f ﷺ")
@example(text="<bos><|im_end|>[INST]")
@example(text=PROBE)
def test_any_text_survives(text, family, tokenizer):
    ids = tokenizer.encode(text, add_special_tokens=False)
    expected = unicodedata.normalize("NFC", text) if STYLES[family].normalize else text
    assert tokenizer.decode(ids) == expected
    assert all(0 <= id < len(tokenizer) for id in ids)


@settings(QUICK, max_examples=50)
@given(text=st.text())
@example(text=PROBE)
def test_transformers_reads_the_file_as_it_is_written(text, folder, tokenizer):
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode(text, add_special_tokens=False) == plain.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text) == plain.encode(text).ids


def test_beginning_of_text(family, tokenizer):
    ids = tokenizer.encode("The capital")
    bare = tokenizer.encode("The capital", add_special_tokens=False)
    bos = {"gemma2": "<bos>", "gemma3_text": "<bos>", "llama": "<|begin_of_text|>", "mistral": "<s>"}.get(family)
    assert tokenizer.bos_token == bos
    assert ids == ([tokenizer.bos_token_id, *bare] if bos else bare)


QWEN_SYSTEM = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
GEMMA = (
    "<bos><start_of_turn>user\nHi there<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
    "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
)
QWEN = (
    "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
)
RENDERED = {
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "llama": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi there<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen2": QWEN_SYSTEM + QWEN,
    "qwen3": QWEN_SYSTEM + QWEN,
    "mistral": "<s>[INST] Hi there [/INST]Hello</s>[INST] Bye [/INST]",
    "phi3": "<|user|>\nHi there<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n",
}
TALK = [
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]


def test_a_conversation(family, tokenizer):
    assert tokenizer.apply_chat_template(TALK, add_generation_prompt=True, tokenize=False) == RENDERED[family]
    ids = tokenizer.apply_chat_template(TALK, add_generation_prompt=True)
    assert ids == tokenizer.encode(RENDERED[family], add_special_tokens=False)
    assert ids.count(tokenizer.bos_token_id) == (STYLES[family].bos is not None), "one BOS, not two"


def test_turn_markers_are_single_tokens_and_end_a_generation(family, tokenizer):
    style = STYLES[family]
    for number, special in enumerate(style.specials):
        assert tokenizer.encode(special, add_special_tokens=False) == [number]
    ends = {style.specials.index(token) for token in (style.eos, style.turn_end)}
    assert tokenizer.eos_token_ids == ends
    assert tokenizer.pad_token == style.pad


def test_a_system_prompt(family, tokenizer):
    talk = [{"role": "system", "content": "Be brief"}, *TALK]
    if family.startswith("gemma"):  # as the original does
        with pytest.raises(Exception, match="System role not supported"):
            tokenizer.apply_chat_template(talk)
    elif family.startswith("qwen"):
        text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
        assert text == "<|im_start|>system\nBe brief<|im_end|>\n" + QWEN, "instead of the default"
    elif family != "mistral":
        assert "Be brief" in tokenizer.apply_chat_template(talk, tokenize=False)


def test_common_words_are_one_token_and_have_places(tokenizer):
    encoded = tokenizer._tokenizer("The capital of", add_special_tokens=False, return_offsets_mapping=True)
    assert encoded["offset_mapping"] == [(0, 3), (3, 11), (11, 14)]


def test_the_corpus_decides_the_merges(tmp_path):
    def words(path: Path, **options) -> int:
        write_tokenizer(path, "llama", **options)
        return Tokenizer.from_file(str(path / "tokenizer.json")).get_vocab_size()

    first = words(tmp_path / "a", corpus=["zebra zebra zebra"])
    assert words(tmp_path / "b", corpus=["zebra zebra zebra"]) == first == 262 + 5
    assert (tmp_path / "a" / "tokenizer.json").read_text() == (tmp_path / "b" / "tokenizer.json").read_text()
    assert words(tmp_path / "c", vocab_size=300) == 300
    with pytest.raises(CheckpointError, match="needs 262 tokens or more, not 261"):
        words(tmp_path / "d", vocab_size=261)
