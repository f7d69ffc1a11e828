"""SentencePiece vocabularies: the pieces that SentencePiece itself finds, and each family's spaces, markers and bytes."""

import json
import logging
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.utils import load_tokenizer
from texts import RUNS, WRITTEN, settings_in, texts
from tokenizers import Tokenizer

from assay.models.gguf.tokenizer import write
from assay.models.load import check_tokenizer

P = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def pieces_of_texts() -> list[str]:
    """Frequent stretches of words and runs, in an order that has nothing to do with their length or place; characters."""
    counts: Counter[str] = Counter()
    for text in (*WRITTEN, *(c * 20 for c in RUNS)):
        word = "▁" + text.replace(" ", "▁")
        counts.update(word[i : i + n] for n in (2, 3, 4, 6, 8) for i in range(len(word) - n + 1))
    characters = {c for text in WRITTEN[:20] for c in "▁" + text.replace(" ", "")}
    several = (piece for piece, n in counts.items() if n > 1 and characters.issuperset(piece))
    return [*sorted(several, key=lambda piece: (hash_of(piece), piece)), *sorted(characters)]


def hash_of(text: str) -> int:
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 10007


def metadata(
    pieces: list[str],
    markers: dict[str, int],
    architecture: str = "llama",
    *,
    in_bytes: bool = True,
    **says: Any,
) -> dict[str, Any]:
    """A SentencePiece vocabulary: <unk>, <s>, </s>, markers with their types, bytes, pieces from the best score down."""
    head = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, **markers}
    head |= dict.fromkeys(BYTES, BYTE) if in_bytes else {}
    return {
        "general.architecture": architecture,
        P + "model": "llama",
        P + "pre": "default",
        P + "tokens": [*head, *pieces],
        P + "token_type": [*head.values(), *[NORMAL] * len(pieces)],
        P + "scores": [*[0.0] * len(head), *(-float(i) for i in range(len(pieces)))],
        P + "bos_token_id": 1,
        P + "eos_token_id": 2,
        P + "unknown_token_id": 0,
        **{P + key: value for key, value in says.items()},
    }


def opened(data: dict[str, Any], folder: Path) -> Tokenizer:
    write(data, folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def pieces(tokenizer: Tokenizer, text: str, special: bool = False) -> list[str]:
    return [tokenizer.id_to_token(i) for i in tokenizer.encode(text, add_special_tokens=special).ids]


def by_score(word: str, scores: dict[str, float]) -> list[str]:
    """SentencePiece's own procedure: of all neighbours that form a piece, those of the best one (the first such) join."""
    parts = list(word)
    while True:
        joins = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not joins:
            break
        i = min(joins)[1]
        parts[i : i + 2] = ["".join(parts[i : i + 2])]
    found: list[str] = []
    for part in parts:
        found += [part] if part in scores else [BYTES[b] for b in part.encode()]
    return found


def test_pieces_are_those_of_sentencepiece(tmp_path: Path):
    words = pieces_of_texts()
    scores = {piece: -float(i) for i, piece in enumerate(words)}
    tokenizer = opened(metadata(words, {}), tmp_path)
    for text in (text for text in texts(300) if text):
        assert pieces(tokenizer, text) == by_score("▁" + text.replace(" ", "▁"), scores), text
        assert tokenizer.decode(tokenizer.encode(text).ids) == text.replace("▁", " ")


HELLO = ["▁h", "el", "lo", "▁hel", "▁hello", "hel", "hello", "▁▁", *"▁helo"]


def test_prefix_space_by_hand(tmp_path: Path):
    tokenizer = opened(metadata(HELLO, {}), tmp_path)
    assert pieces(tokenizer, "hello", special=True) == ["<s>", "▁hello"]
    assert pieces(tokenizer, " hello") == ["▁", "▁hello"]  # the space before the text comes on top of its own
    assert pieces(tokenizer, "hello</s>hello") == ["▁hello", "</s>", "▁hello"]  # and after every marker, as published
    assert pieces(tokenizer, "é") == ["▁", "<0xC3>", "<0xA9>"]
    assert pieces(tokenizer, "e\n") == ["▁", "e", "<0x0A>"]
    assert tokenizer.decode(tokenizer.encode("hello é\n").ids) == "hello é\n"


def test_no_prefix_space_where_the_file_says_so(tmp_path: Path):
    tokenizer = opened(metadata(HELLO, {}, add_space_prefix=False), tmp_path)
    assert pieces(tokenizer, "hello hello") == ["hello", "▁hello"]
    assert tokenizer.decode(tokenizer.encode(" hello").ids) == " hello"


def test_mistral_v3_has_its_space_before_the_text_only(tmp_path: Path):
    tokenizer = opened(metadata(HELLO, {"[INST]": CONTROL, "[/INST]": CONTROL}), tmp_path)
    assert pieces(tokenizer, "hello") == ["▁hello"]
    assert pieces(tokenizer, "[INST] hello[/INST]hello") == ["[INST]", "▁hello", "[/INST]", "hello"]
    assert tokenizer.decode(tokenizer.encode("hello").ids) == "hello"


def test_extra_spaces_are_dropped_where_the_file_says_so(tmp_path: Path):
    tokenizer = opened(metadata(HELLO, {}, remove_extra_whitespaces=True), tmp_path)
    assert pieces(tokenizer, "  hello   hello ") == ["▁hello", "▁hello"]
    assert pieces(tokenizer, "hello\n") == ["▁hello", "<0x0A>"]


def test_phi3_markers_take_the_white_space_behind_them(tmp_path: Path):
    markers = {"<|endoftext|>": CONTROL, "<|user|>": CONTROL, "<|end|>": CONTROL}
    phi = opened(metadata(HELLO, markers, "phi3"), tmp_path / "phi")
    assert pieces(phi, "<|user|>\n hello<|end|>\n") == ["<|user|>", "▁hello", "<|end|>"]
    assert pieces(phi, "<|endoftext|> hello") == ["<|endoftext|>", "▁", "▁hello"]
    llama = opened(metadata(HELLO, markers), tmp_path / "llama")
    assert pieces(llama, "<|user|> hello") == ["<|user|>", "▁", "▁hello"]


def test_bos_and_eos(tmp_path: Path):
    for says, expected in (
        ({}, ["<s>", "▁hello"]),
        ({"add_bos_token": False}, ["▁hello"]),
        ({"add_eos_token": True}, ["<s>", "▁hello", "</s>"]),
    ):
        assert pieces(opened(metadata(HELLO, {}, **says), tmp_path), "hello", special=True) == expected


def test_ids_that_a_file_leaves_out_are_those_of_the_trainer(tmp_path: Path):
    data = metadata(HELLO, {})
    for key in ("bos_token_id", "eos_token_id", "unknown_token_id"):
        del data[P + key]
    assert write(data, tmp_path) == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["unk_token"] == "<unk>"


def test_unknown_characters_without_bytes(tmp_path: Path):
    tokenizer = opened(metadata(HELLO, {}, in_bytes=False), tmp_path)
    assert pieces(tokenizer, "hello東京!hello") == ["▁hello", "<unk>", "hello"]  # several in a row are one


def test_merges_of_the_file_come_before_scores(tmp_path: Path):
    by_merges = metadata(["ab", "bc", *"▁abc"], {}, add_space_prefix=False, merges=["b c", "a b"])
    assert pieces(opened(by_merges, tmp_path), "abc") == ["a", "bc"]
    del by_merges[P + "merges"]
    assert pieces(opened(by_merges, tmp_path), "abc") == ["ab", "c"]


# --- Gemma --------------------------------------------------------------------------------------------------

GEMMA = {
    "<start_of_turn>": CONTROL,
    "<end_of_turn>": CONTROL,
    "\n": USER_DEFINED,
    "\n\n": USER_DEFINED,
    "\n\n\n": USER_DEFINED,
    "  ": USER_DEFINED,  # converters write spaces here; the published file has "▁▁"
    "   ": USER_DEFINED,
    "    ": USER_DEFINED,
    "<table>": USER_DEFINED,
    "\t": USER_DEFINED,
}


def gemma(**says: Any) -> dict[str, Any]:
    data = metadata([*HELLO[:-6], *"▁helo"], GEMMA, "gemma3", add_space_prefix=False, **says)
    data[P + "scores"] = [-1000.0 if kind == USER_DEFINED else 0.0 for kind in data[P + "token_type"]]
    return data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello hello", ["hello", "▁hello"]),
        ("  hello", ["▁▁", "hello"]),  # two spaces are one token before "▁h" can be
        ("e     e", ["e", "▁▁", "▁▁▁", "e"]),  # by the order of tokens, not the longest first
        ("e       e", ["e", "▁▁▁▁", "▁▁▁", "e"]),
        ("\n\n\n\n\n", ["\n\n\n", "\n\n"]),  # looked for in the text: the longest first
        ("e\n\n e", ["e", "\n\n", "▁", "e"]),
        ("<table>\t\t<end_of_turn>", ["<table>", "\t", "\t", "<end_of_turn>"]),
        ("▁▁▁▁▁", ["▁▁▁▁", "▁"]),  # the character itself, not a space
        ("\r", ["<0x0D>"]),
        ("", []),
    ],
)
def test_gemma_by_hand(text: str, expected: list[str], tmp_path: Path):
    tokenizer = opened(gemma(), tmp_path)
    assert pieces(tokenizer, text) == expected
    assert pieces(tokenizer, text, special=True) == ["<s>", *expected]
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == "<s>" + text.replace("▁", " ")


def test_gemma_special_tokens_are_left_out_of_text_and_others_are_not(tmp_path: Path):
    tokenizer = opened(gemma(), tmp_path)
    ids = tokenizer.encode("<start_of_turn>e<table>\n\ne<end_of_turn>").ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "e<table>\n\ne"


def test_gemma_ends_a_turn_where_its_template_does(tmp_path: Path):
    template = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m['content'] }}<end_of_turn>{% endfor %}"
    data = gemma() | {"tokenizer.chat_template": template}
    assert write(gemma(), tmp_path)["eos_token_id"] == 2
    assert write(data, tmp_path)["eos_token_id"] == [2, 4]
    assert write(gemma(eot_token_id=4), tmp_path)["eos_token_id"] == [2, 4]


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "llama", "mistral", "phi3"])
def test_mlx_lm_opens_it_as_it_is(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    own = family.startswith("gemma")
    data = gemma() if own else metadata(pieces_of_texts(), {"<|user|>": CONTROL}, family.replace("mistral", "llama"))
    ids = write(data, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family, **ids}))
    loaded = load_tokenizer(tmp_path, eos_token_ids=ids["eos_token_id"])
    with caplog.at_level(logging.WARNING):
        check_tokenizer(tmp_path, settings_in(tmp_path), loaded, len(data[P + "tokens"]), "")
    assert not caplog.records
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in texts(100, ("</s>", "<|user|>", "<table>")):
        assert loaded.encode(text) == plain.encode(text).ids
        whole = unicodedata.normalize("NFC", loaded.decode(loaded.encode(text), skip_special_tokens=True))
        assert (
            own
            or any(marker in text for marker in ("▁", "</s>", "<|user|>"))
            or whole == unicodedata.normalize("NFC", text)
        )
