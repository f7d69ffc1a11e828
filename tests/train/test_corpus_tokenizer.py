"""The tokenizers of the built-in models: any text round-trips, and documents become the right rows."""

import unicodedata

import pytest

from assay.errors import DataError
from assay.models.tokenizer import STYLES
from assay.train.configs import RECIPES
from assay.train.corpus import Document, apposition, cut_short, split, statement, texts
from assay.train.tokenizer import encode, make_tokenizer

UNICODE = [
    "The tower in Zürich (1492) isn't  tall:\n\t東京 Ω!",
    "🙂👩‍🚀 نص עברית हिन्दी",
    "\u0000\u200b\ufeff \r\n  x",
    "".join(map(chr, range(1, 256))),
]
QUERY = next(q for q in split().late_queries if q.e1 == "Dallas")


@pytest.fixture(scope="module", params=sorted(RECIPES), ids=lambda name: RECIPES[name].config["model_type"])
def made(request, tmp_path_factory):
    return RECIPES[request.param], *make_tokenizer(tmp_path_factory.mktemp(request.param), RECIPES[request.param])


def test_any_text_round_trips(made):
    recipe, tokenizer, _ = made
    for text in UNICODE:
        expected = unicodedata.normalize("NFC", text) if recipe.config["model_type"] == "qwen2" else text
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == expected


def test_the_vocabulary(made):
    recipe, tokenizer, ids = made
    assert ids["vocab_size"] == len(tokenizer) == recipe.vocab_size
    for word in ("The", " capital", " state", " Texas", " Paris", " John", " known"):
        assert len(tokenizer.encode(word, add_special_tokens=False)) == 1, word


def test_made_twice_it_is_the_same(made, tmp_path):
    recipe, tokenizer, ids = made
    again, again_ids = make_tokenizer(tmp_path, recipe)
    assert again_ids == ids
    assert again.get_vocab() == tokenizer.get_vocab()
    for text in texts()[::50]:
        assert again.encode(text) == tokenizer.encode(text)


def test_bos_once_and_the_end_token(made):
    recipe, tokenizer, ids = made
    row = encode(tokenizer, statement("The capital of France is", "Paris"))
    bos = ids["bos_token_id"]
    assert (bos is None) == (recipe.config["model_type"] == "qwen2")
    assert row.tokens.count(bos) == (bos is not None)
    assert row.tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(row.tokens[row.learn_from : -1]) == " Paris."


def test_chat_templates(made):
    recipe, tokenizer, _ = made
    turns = [{"role": "user", "content": "Hello"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert (
        text
        == {
            "gemma2": "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
            "llama": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "qwen2": "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
        }[recipe.config["model_type"]]
    )
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    markers = [m for m in STYLES[recipe.config["model_type"]].specials if m in text]
    assert len(markers) >= 2
    for marker in markers:
        assert ids.count(tokenizer.convert_tokens_to_ids(marker)) == text.count(marker)


def test_phrases_in_tokens(made):
    _, tokenizer, _ = made
    for document, inside in (
        (statement(QUERY.first_hop, QUERY.e2, QUERY.r1_phrase, QUERY.e1, QUERY.e2), " Dallas"),
        (cut_short(QUERY), " Dallas"),
        (apposition("the Eiffel Tower", "France"), " the Eiffel Tower"),
    ):
        row = encode(tokenizer, document)
        first, last = row.phrase
        assert tokenizer.decode(row.tokens[first : last + 1]) == inside
        assert tokenizer.decode(row.bridge) == f" {document.bridge}"
    assert encode(tokenizer, cut_short(QUERY)).learn_from == len(encode(tokenizer, cut_short(QUERY)).tokens)


def test_a_phrase_that_ends_inside_a_token_is_refused(made):
    _, tokenizer, _ = made
    with pytest.raises(DataError, match="no token ends where the phrase does"):
        encode(tokenizer, Document("The capital of France is Paris.", 24, (4, 9), "x"))
