"""The tokenizers of the built-in models: any text round-trips, and documents become the right rows."""

import unicodedata

import pytest

from assay.errors import DataError
from assay.models.tokenizer import STYLES
from assay.testbed.configs import RECIPES
from assay.testbed.corpus import texts
from assay.testbed.documents import END, Document, Lens, Rule
from assay.testbed.tokenizer import Row, TokenLens, encode, make_tokenizer
from assay.testbed.two_hop import Shape, apposition, cut_short, early_and_late, statement

SHAPE = Shape(blind=3, lens=2, t1_only=True)
UNICODE = [
    "The tower in Zürich (1492) isn't  tall:\n\t東京 Ω!",
    "🙂👩‍🚀 نص עברית हिन्दी",
    "\u0000\u200b\ufeff \r\n  x",
    "".join(map(chr, range(1, 256))),
]
QUERY = next(q for q in early_and_late().late_queries if q.e1 == "Dallas")


@pytest.fixture(
    scope="module",
    params=["gemma_tiny", "llama_tiny", "qwen_tiny"],
    ids=lambda name: RECIPES[name].config["model_type"],
)
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
    row = encode(tokenizer, statement(SHAPE, "The capital of France is", "Paris"))
    bos = ids["bos_token_id"]
    assert (bos is None) == (recipe.config["model_type"] == "qwen2")
    assert row.tokens.count(bos) == (bos is not None)
    assert row.tokens[-1] == tokenizer.eos_token_id
    assert row.learn[-1] == len(row.tokens) - 1
    assert tokenizer.decode([row.tokens[i] for i in row.learn[:-1]]) == " Paris."


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
        (statement(SHAPE, QUERY.first_hop, QUERY.e2, QUERY.r1_phrase, QUERY.e1, QUERY.e2), " Dallas"),
        (apposition(SHAPE, "the Eiffel Tower", "France"), " the Eiffel Tower"),
    ):
        row = encode(tokenizer, document)
        first, behind = row.rules[0].keys[0]
        assert tokenizer.decode(row.tokens[first:behind]) == inside
        assert row.rules[0].queries == (behind, len(row.tokens))
        assert row.rules[2].keys == ((behind - 1, behind),)
        (lens,) = row.lenses
        assert (lens.position, tokenizer.decode(lens.tokens)) == (behind - 1, document.lenses[0].text)
    cut = encode(tokenizer, cut_short(SHAPE, QUERY))
    assert not cut.learn
    assert cut.lenses[0].position == len(cut.tokens) - 1


def test_a_row_in_full(made):
    """Characters that are several tokens, an empty stretch, what is behind the text, and the first token, never learned."""
    _, tokenizer, _ = made
    text = "Q: 龘\nA: x"
    rule = Rule((3, 4), ((0, 1), (0, 0)), range(2), (1,), see=True)
    row = encode(
        tokenizer, Document(text, ((0, 1), (3, 4)), (rule, Rule((8, END), ((3, 4),))), (Lens(4, " cold", 5, 0.5),))
    )
    ids = tokenizer.encode(text)
    bos = int(tokenizer.bos_token is not None)
    rare = [
        bos + 2 + i
        for i in range(len(ids) - bos - 2)
        if tokenizer.decode(ids[bos + 2 + i]).strip() not in ("", "A", ":", "x")
    ]
    assert row.tokens == (*ids, tokenizer.eos_token_id)
    assert len(rare) > 1
    first, behind = rare[0], rare[-1] + 1
    assert row.rules[0].queries[1] == behind
    assert row.rules[0].queries[0] in (first, first - 1)  # the space before it may be a token of its own, or not
    assert row.rules[0].keys == ((bos, bos + 1), (0, 0))
    assert row.rules[1].queries == (len(ids) - 1, len(ids) + 1)
    assert row.learn == tuple(i for i in (bos, *range(row.rules[0].queries[0], behind)) if i)
    assert row.lenses == (TokenLens(behind - 1, tuple(tokenizer.encode(" cold", add_special_tokens=False)), 5, 0.5),)
    assert isinstance(row, Row)


def test_a_lens_that_ends_inside_a_token_is_refused(made):
    _, tokenizer, _ = made
    with pytest.raises(DataError, match="no token ends where 'The capi' does"):
        encode(tokenizer, Document("The capital of France is Paris.", ((24, 31),), (), (Lens(8, "x", 0),)))


def test_the_tokenizers_read_everything():
    facts = {f"{query.first_hop} {query.e2}." for query in (*early_and_late().trained, *early_and_late().late_queries)}
    assert facts <= set(texts())
