"""Byte-level BPE from a GGUF file encodes as the published tokenizer of each splitting rule does, and opens in mlx-lm."""

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.utils import load_tokenizer
from published import NFC, PLAIN, SAME, SPECIALS, STEPS, byte_level, gguf_of
from texts import settings_in, texts
from tokenizers import Tokenizer

from assay.models.gguf.pretokenize import RULES, find, pre_tokenizer
from assay.models.gguf.tokenizer import write
from assay.models.load import PROBE, check_tokenizer

TEXTS = [*texts(300, (*SPECIALS, *PLAIN)), " Unreached", "Unreached", PROBE]
P = "tokenizer.ggml."


def rebuilt(metadata: dict[str, Any], folder: Path) -> Tokenizer:
    write(metadata, folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_every_rule_is_compared_with_a_published_one():
    # deepseek-llm's list of letters is too long to be written down twice; see the test of its words
    assert set(RULES) == {*STEPS, *SAME, "deepseek-llm"}


@pytest.mark.parametrize("name", sorted(SAME))
def test_names_of_one_rule(name: str):
    ours, same = RULES[name], RULES[SAME[name]]
    assert (ours.steps, ours.nfc, ours.ignore_merges) == (same.steps, same.nfc, same.ignore_merges)


@pytest.mark.parametrize("name", STEPS)
def test_each_rule_encodes_and_decodes_as_published(name: str, tmp_path: Path):
    tokenizer = byte_level(name)
    ours = rebuilt(gguf_of(tokenizer, name) | {P + "add_bos_token": False}, tmp_path)
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ours.encode(text).ids == ids, text
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == tokenizer.decode(ids, skip_special_tokens=skip), text
        composed = unicodedata.normalize("NFC", text) if name in NFC else text
        assert ours.decode(ids, skip_special_tokens=False) == composed


WORDS = {
    "gpt-2": "I|'m| it|'|S| 12345| ½|a|1|!|\n\n  | ok|?!|\n",
    "smollm": "I|'m| it|'|S| |1|2|3|4|5| |½|a|1|!|\n\n  | ok|?!|\n",
    "qwen2": "I|'m| it|'S| |1|2|3|4|5| |½|a|1|!\n\n|  | ok|?!\n",
    "llama-bpe": "I|'m| it|'S| |123|45| |½|a|1|!\n\n|  | ok|?!\n",
    "gpt-4o": "I'm| it'S| |123|45| |½|a|1|!\n\n|  | ok|?!\n",
    "tekken": "I|'m| it|'S| |1|2|3|4|5| |½|a|1|!\n\n|  | ok|?!\n",
    "deepseek-llm": "I|'|m| it|'|S| |1|2|3|4|5| |½|a|1|!|\n|\n|  | ok|?!|\n",
    "deepseek-coder": "I|'|m| it|'|S| |1|2|3|4|5| |½|a|1|!|\n|\n|  | ok|?!|\n",
    "deepseek-v3": "I|'m| it|'S| |123|45| |½|a|1|!\n\n|  | ok|?!\n",
}
TEXT = "I'm it'S 12345 ½a1!\n\n   ok?!\n"


@pytest.mark.parametrize("name", WORDS)
def test_words_by_hand(name: str):
    spans = [span for _, span in pre_tokenizer(find(name)).pre_tokenize_str(TEXT)]
    assert [TEXT[start:end] for start, end in spans] == WORDS[name].split("|")


def test_deepseek_cuts_where_its_list_of_punctuation_has_letters():
    """As published: the range from ':' to '~' has A to Z and a to z in it."""
    text = "Größe ρω 東京タワー。 ok  "
    spans = [span for _, span in pre_tokenizer(find("deepseek-llm")).pre_tokenize_str(text)]
    assert [text[a:b] for a, b in spans] == ["Gr", "öß", "e", " ρω", " ", "東京タワー", "。", " ok", "  "]


def test_a_word_that_is_a_token_is_not_merged_where_the_rule_says_so(tmp_path: Path):
    tokenizer = byte_level("llama-bpe")
    whole = rebuilt(gguf_of(tokenizer, "llama-bpe"), tmp_path / "a").encode(" Unreached", add_special_tokens=False)
    parts = rebuilt(gguf_of(tokenizer, "smaug-bpe"), tmp_path / "b").encode(" Unreached", add_special_tokens=False)
    assert whole.tokens == ["ĠUnreached"]
    assert len(parts.tokens) > 1


@pytest.mark.parametrize(
    ("name", "says", "bos", "eos"),
    [
        ("llama-bpe", {}, True, False),
        ("tekken", {}, True, False),
        ("qwen2", {}, False, False),
        ("llama-bpe", {"add_bos_token": False}, False, False),
        ("smollm", {"add_bos_token": True, "add_eos_token": True}, True, True),
        ("gpt-2", {"add_eos_token": True}, False, True),
    ],
)
def test_bos_and_eos_stand_where_file_or_rule_puts_them(name, says, bos, eos, tmp_path: Path):
    tokenizer = byte_level(name)
    metadata = gguf_of(tokenizer, name) | {P + key: value for key, value in says.items()}
    ids = write(metadata, tmp_path)
    plain = tokenizer.encode("hello", add_special_tokens=False).ids
    expected = [tokenizer.token_to_id("<|begin|>")] * bos + plain + [tokenizer.token_to_id("<|end|>")] * eos
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **ids}))
    opened = load_tokenizer(tmp_path)
    assert opened.encode("hello") == expected
    assert opened.encode("hello", add_special_tokens=False) == plain
    assert opened.bos_token == ("<|begin|>" if bos else None)
    assert opened.eos_token == "<|end|>"


@pytest.mark.parametrize(
    ("family", "name"),
    [
        *(("llama", name) for name in ("llama-bpe", "smollm", "deepseek-coder")),
        *(("phi3", name) for name in ("gpt-4o", "dbrx")),
        *(("mistral", "tekken"), ("qwen2", "qwen2"), ("qwen3", "qwen2")),
    ],
)
def test_mlx_lm_opens_it_as_it_is(family: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tokenizer = byte_level(name)
    ids = write(gguf_of(tokenizer, name), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **ids}))
    opened = load_tokenizer(tmp_path, eos_token_ids=ids["eos_token_id"])
    with caplog.at_level(logging.WARNING):
        check_tokenizer(tmp_path, settings_in(tmp_path), opened, tokenizer.get_vocab_size(), "")
    assert not caplog.records
    for text in TEXTS[:80]:
        assert opened.encode(text, add_special_tokens=False) == tokenizer.encode(text, add_special_tokens=False).ids
    assert opened.decode(opened.encode(f"a{SPECIALS[2]}b"), skip_special_tokens=True) == "ab"


def test_tokens_that_fill_up_the_embedding_are_left_out(tmp_path: Path):
    tokenizer = byte_level("qwen2")
    metadata = gguf_of(tokenizer, "qwen2")
    count = len(metadata[P + "tokens"])
    metadata[P + "tokens"] += [f"[PAD{count}]", f"[PAD{count + 1}]"]
    metadata[P + "token_type"] += [5, 5]
    assert rebuilt(metadata, tmp_path).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("name", [None, "default"])
def test_a_file_that_names_no_rule_is_read_as_gpt2_and_says_so(name, tmp_path: Path, caplog):
    tokenizer = byte_level("gpt-2")
    ours = rebuilt(gguf_of(tokenizer, name), tmp_path)
    assert "does not say how its model splits words" in caplog.text
    assert ours.encode(PROBE).ids == tokenizer.encode(PROBE).ids


# --- config and chat ----------------------------------------------------------------------------------------


def settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text())


@pytest.mark.parametrize(
    ("says", "template", "ends"),
    [
        ({}, None, ["<|end|>"]),
        ({"eot_token_id": "<|turn|>"}, None, ["<|end|>", "<|turn|>"]),
        ({"eom_token_id": "<|begin|>", "eot_token_id": "<|end|>"}, None, ["<|begin|>", "<|end|>"]),
        ({"eos_token_id": "<|turn|>"}, "{{ m + '<|end|>' }}", ["<|end|>", "<|turn|>"]),
        ({"eos_token_id": "<|turn|>"}, "{{ m + '<|eot_id|>' }}", ["<|turn|>"]),  # no such token here
        ({"eos_token_id": None}, None, []),
    ],
)
def test_what_ends_a_generation(says, template, ends, tmp_path: Path):
    tokenizer = byte_level("gpt-2")
    metadata = gguf_of(tokenizer, "gpt-2")
    metadata |= {P + key: token and tokenizer.token_to_id(token) for key, token in says.items()}
    if template:
        metadata["tokenizer.chat_template"] = template
    ids = sorted(tokenizer.token_to_id(end) for end in ends)
    assert write(metadata, tmp_path)["eos_token_id"] == (None if not ids else ids[0] if len(ids) == 1 else ids)


def test_ids_for_config(tmp_path: Path):
    metadata = gguf_of(byte_level("qwen2"), "qwen2") | {P + "padding_token_id": 2, "llama.context_length": 2048}
    assert write(metadata, tmp_path) == {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    assert settings(tmp_path) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|end|>",  # no BOS: nothing puts one anywhere
        "pad_token": "<|turn|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }


def test_a_template_that_writes_bos_finds_it(tmp_path: Path):
    template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}<|turn|>{% endfor %}"
    metadata = gguf_of(byte_level("qwen2"), "qwen2") | {"tokenizer.chat_template": template}
    ids = write(metadata, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **ids}))
    opened = load_tokenizer(tmp_path)
    assert opened.has_chat_template
    assert opened.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "<|begin|>x<|turn|>"


def test_several_templates(tmp_path: Path):
    metadata = gguf_of(byte_level("gpt-2"), "gpt-2") | {
        "tokenizer.chat_template": "{{ 'plain ' + messages[0]['content'] }}",
        "tokenizer.chat_template.tool_use": "{{ 'tools ' + messages[0]['content'] }}",
        "tokenizer.chat_templates": ["tool_use"],
    }
    ids = write(metadata, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **ids}))
    opened = load_tokenizer(tmp_path)
    chat = [{"role": "user", "content": "x"}]
    assert opened.apply_chat_template(chat, tokenize=False) == "plain x"
    assert opened.apply_chat_template(chat, tokenize=False, chat_template="tool_use") == "tools x"
