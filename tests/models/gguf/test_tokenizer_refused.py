"""What a GGUF file says of its tokenizer and nothing here can do ends in one sentence that names it, and in no file."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import CheckpointError
from assay.models.gguf.tokenizer import write

P = "tokenizer.ggml."


def bpe(**says: Any) -> dict[str, Any]:
    tokens = ["<e>", "a", "b", "c", "ab"]
    data = {"general.architecture": "llama", P + "model": "gpt2", P + "pre": "gpt-2", P + "tokens": tokens}
    data |= {P + "token_type": [3, 1, 1, 1, 1], P + "merges": ["a b"], P + "eos_token_id": 0}
    data |= {key if key.startswith("tokenizer.") else P + key: value for key, value in says.items()}
    return {key: value for key, value in data.items() if value is not None}


def spm(**says: Any) -> dict[str, Any]:
    data = {"model": "llama", "pre": "default", "tokens": ["<unk>", "a", "b", "ab"], "token_type": [2, 1, 1, 1]}
    data |= {"scores": [0.0, -2.0, -3.0, -1.0], "merges": None, "eos_token_id": None, "add_bos_token": False}
    return bpe(**(data | says))


@pytest.mark.parametrize("data", [bpe(), spm()])
def test_what_is_changed_below_is_right_as_it_stands(data, tmp_path: Path):
    write(data, tmp_path / "folder")
    assert {file.name for file in (tmp_path / "folder").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bpe(model="bert"), r"unknown kind of tokenizer \(tokenizer.ggml.model\) 'bert'.* Known: gpt2, llama"),
        (bpe(model="t5"), "unknown kind of tokenizer .* 't5'"),
        (bpe(model="rwkv"), "unknown kind of tokenizer .* 'rwkv'"),
        (bpe(model=None), "unknown kind of tokenizer .* None"),
        (bpe(pre="llama-bpee"), "unknown rule .* 'llama-bpee'. Did you mean llama-bpe.* Known: .*qwen2"),
        (bpe(pre=7), "unknown rule .* 7"),
        (bpe(tokens=None), "no tokens: tokenizer.ggml.tokens is missing"),
        (bpe(tokens=[]), "no tokens"),
        (bpe(tokens=["a", 1, "b", "c", "ab"]), "tokens should be a list of strings"),
        (bpe(tokens="abc"), "tokens should be a list of strings"),
        (bpe(tokens=["<e>", "a", "b", "b", "ab"]), "the token 'b' has two ids, 2 and 3"),
        (bpe(token_type=[3, 1, 1]), "token_type has 3 entries and the vocabulary 5 tokens"),
        (bpe(token_type=[3, 1, 1, 1, 9]), r"token_type has types 1 to 6, and here also \[9\]"),
        (bpe(merges=None), "no tokenizer.ggml.merges"),
        (bpe(merges=["a b", "b c"]), r"merge 1 \('b c'\) needs the token 'bc'"),
        (bpe(merges=["x b"]), r"merge 0 \('x b'\) needs the token 'x'"),
        (bpe(merges=["ab"]), "merge 0 should be two tokens with a space between them, and is 'ab'"),
        (bpe(merges=["a "]), "merge 0 should be two tokens"),
        (bpe(eos_token_id=5), "eos_token_id is 5, and the vocabulary has the ids 0 to 4"),
        (bpe(eos_token_id=-1), "eos_token_id is -1"),
        (bpe(bos_token_id=True), "bos_token_id is True"),
        (bpe(padding_token_id=2**32 - 1), "padding_token_id is 4294967295"),
        (bpe(eot_token_id=5), "eot_token_id is 5"),
        (bpe(unknown_token_id="<e>"), "unknown_token_id is '<e>'"),
        (bpe(add_bos_token=True), "add_bos_token is set and the file does not say which token BOS is"),
        (bpe(pre="llama-bpe"), "add_bos_token is set and the file does not say which token BOS is"),
        (bpe(add_bos_token=1), "add_bos_token should be true or false, and is 1"),
        (bpe(add_sep_token=True), r"a separator is put behind every text \(tokenizer.ggml.add_sep_token\)"),
        (bpe(**{"normalizer.lowercase": True}), "lower case"),
        (bpe(suppress_tokens=[3]), "some tokens are never generated"),
        (
            bpe(add_eos_tokn=True),
            "unknown key of a tokenizer 'tokenizer.ggml.add_eos_tokn'. Did you mean .*add_eos_token",
        ),
        (bpe(**{"tokenizer.chat_template": 3}), "tokenizer.chat_template should be a text, and is int"),
        (spm(scores=None), "neither tokenizer.ggml.scores nor merges"),
        (spm(scores=[0.0]), "scores has 1 entries and the vocabulary 4 tokens"),
        (spm(scores=["x"] * 4), "scores should be a list of numbers"),
        (spm(precompiled_charsmap=[1, 2]), "characters are replaced by a table"),
        (spm(tokens=["<unk>", "▁▁", "  ", "ab"], token_type=[2, 1, 4, 1]), "differ only in ' ' and '▁'"),
    ],
)
def test_refused(data: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match=message) as caught:
        write(data, tmp_path / "folder")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "folder").exists()


def test_keys_that_change_no_text_are_passed_over(tmp_path: Path):
    says = {"fim_pre_token_id": 1, "seperator_token_id": 1, "token_type_count": 1, "add_sep_token": False}
    write(bpe(**says, prefix_token_id=2, precompiled_charsmap=[]), tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
