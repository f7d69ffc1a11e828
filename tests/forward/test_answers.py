"""Answers and continuations under every kind of tokenizer, against the `tokenizers` library on whole texts."""

import kinds
import mlx.core as mx
import numpy as np
import pytest
import tiny
from hypothesis import assume, given
from hypothesis import strategies as st
from kinds import KINDS, PREFIXED
from plain import plain

from assay.errors import AssayError, EditError, PromptError
from assay.forward.answers import habits, until
from assay.forward.edits import zero
from assay.forward.generate import Generation
from assay.forward.positions import Prompt
from assay.methods.lens import logit_lens

FRANCE = "The capital of France is"
CITIES = (" Paris", " Rome", " Oslo")
NOTHING = zero("z", layer=0, position=-1)

every = pytest.mark.parametrize("kind", KINDS)
prefixed = pytest.mark.parametrize("kind", PREFIXED)
WORDS = st.lists(st.sampled_from([*kinds.WORDS, "Zürich", "1", "Q:", "(a)", "東京"]), min_size=1, max_size=5)
PROMPTS = st.builds(lambda words, end: " ".join(words) + end, WORDS, st.sampled_from(["", "", ":", "\n", " ", "."]))
ANSWERS = st.builds(lambda space, words: space + " ".join(words), st.sampled_from(["", " ", " ", "\n", "  "]), WORDS)


def whole(kind: str, text: str) -> list[int]:
    """The tokens of a text by the tokenizer itself: with its BOS, without the end token that it appends."""
    return [i for i in kinds.plain(kind).encode(text).ids if i != kinds.plain(kind).token_to_id("</s>")]


def decoded(kind: str, tokens) -> str:
    return kinds.plain(kind).decode(list(tokens), skip_special_tokens=False)


def log_probs(lm, text: str) -> mx.array:
    logits = plain(lm.model, list(lm.prompt(text).tokens))[-1]
    return logits - mx.logsumexp(logits)


def test_the_kinds_are_what_they_are_called():
    """Alone, three answers begin alike with the prefix of Llama 2; and the prefixed kinds write "Paris" as " Paris"."""
    for kind in ("prepend", "prepend, end"):
        assert len({kinds.lm(kind)._hf.encode(city, add_special_tokens=False)[0] for city in CITIES}) == 1
    assert [kind for kind in KINDS if whole(kind, "is is")[-1] == whole(kind, "is")[-1]] == PREFIXED
    assert [kind for kind in KINDS if habits(kinds.lm(kind)._hf).prefix] == PREFIXED
    assert [kind for kind in KINDS if kinds.plain(kind).encode("a").tokens[-1] == "</s>"] == [
        kind for kind in KINDS if habits(kinds.lm(kind)._hf).appended
    ]


@every
def test_three_targets_give_three_log_probabilities(kind):
    lm = kinds.lm(kind)
    sweep = lm.sweep(FRANCE, [[], NOTHING], targets=CITIES)
    tokens = [whole(kind, FRANCE + city)[len(lm.prompt(FRANCE))] for city in CITIES]
    assert len(set(tokens)) == len(set(sweep.target_log_probs[0])) == len(set(sweep.target_log_probs[1])) == 3
    np.testing.assert_allclose(sweep.target_log_probs[0], log_probs(lm, FRANCE)[mx.array(tokens)], atol=1e-4)


@every
def test_the_lens_and_the_gradient_read_the_same_tokens(kind):
    lm = kinds.lm(kind)
    expected = lm.run(FRANCE).log_probs()[0]
    for city in CITIES:
        token = whole(kind, FRANCE + city)[len(lm.prompt(FRANCE))]
        assert logit_lens(lm, FRANCE).probs(city)[-1] == pytest.approx(mx.exp(expected[token]).item(), rel=1e-4)
        _, by_text = lm.gradients(FRANCE, sites="resid_post.1", target=city)
        _, by_id = lm.gradients(FRANCE, sites="resid_post.1", target=token)
        assert tiny.same(by_text["resid_post", 1], by_id["resid_post", 1])


def test_a_gradient_follows_each_prompt_of_its_batch():
    """After "1" the answer "Paris" is in the midst of a text; after a special token Llama 2 puts a space before it."""
    lm, prompts = kinds.lm("prepend"), ["and 1", "and [INST]"]
    tokens = [whole("prepend", f"{prompt}Paris")[len(lm.prompt(prompt))] for prompt in prompts]
    assert tokens[0] != tokens[1]
    _, grads = lm.gradients(prompts, sites="resid_post.2", target="Paris")
    for row, (prompt, token) in enumerate(zip(prompts, tokens, strict=True)):
        _, alone = lm.gradients(prompt, sites="resid_post.2", target=token)
        last = len(lm.prompt(prompt)) - 1
        assert tiny.agree(grads["resid_post", 2][row, last], alone["resid_post", 2][0, last])


def test_a_sum_over_prompts_is_as_with_a_function():
    lm = tiny.lm("llama")
    prompts = [tiny.TEXT, tiny.TEXT[:20]]
    token = lm.token(" Dallas")
    _, found = lm.gradients(prompts, sites="z", target=token)
    _, expected = lm.gradients(
        prompts, sites="z", target=lambda logits: (logits[:, token] - mx.logsumexp(logits, axis=-1)).sum()
    )
    assert all(tiny.same(found[key], expected[key]) for key in expected)


@every
@given(prompt=PROMPTS, answer=ANSWERS)
def test_prompt_and_answer_are_the_tokens_of_the_whole(kind, prompt, answer):
    lm = kinds.lm(kind)
    before, both = whole(kind, prompt), whole(kind, prompt + answer)
    assert list(lm.prompt(prompt).tokens) == before
    if both[: len(before)] != before:
        with pytest.raises(PromptError, match="change when"):
            lm.token(answer, after=prompt)
    elif len(both) == len(before):
        with pytest.raises(PromptError, match="has no tokens after this prompt"):
            lm.token(answer, after=prompt)
    else:
        assert lm.token(answer, after=prompt) == both[len(before)]
        assert lm.token(answer, after=lm.prompt(prompt)) == both[len(before)]
        if decoded(kind, both) == decoded(kind, before) + answer:
            assert lm.decode(both[len(before) :]) == answer


@every
@given(prompt=PROMPTS, answer=ANSWERS)
def test_a_prompt_of_token_ids_stands_for_its_text(kind, prompt, answer):
    lm = kinds.lm(kind)
    given, text = lm.prompt(prompt), decoded(kind, whole(kind, prompt))
    assume(text.endswith(prompt) and whole(kind, text)[-1] == given.tokens[-1])
    try:
        expected = lm.token(answer, after=given)
    except PromptError:
        assume(False)
    assert lm.token(answer, after=given.tokens) == expected
    assert lm.token(answer, after=Prompt(given.tokens)) == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PREFIXED])
@given(text=ANSWERS)
def test_without_a_prompt_a_text_has_its_own_first_token(kind, text):
    lm = kinds.lm(kind)
    assert lm.token(text) == lm._hf.encode(text, add_special_tokens=False)[0]


@prefixed
def test_without_a_prompt_no_answer_begins_with_the_prefix(kind):
    lm = kinds.lm(kind)
    for answer in (*CITIES, " Austin", "Paris", "is", "1", "019", "(", ":"):
        kept = (
            p
            for p in (FRANCE, "The capital:", "The (")
            if whole(kind, p + answer)[: len(whole(kind, p))] == whole(kind, p)
        )
        assert lm.token(answer) == lm.token(answer, after=next(kept)), answer
    assert len({lm.token(city) for city in CITIES}) == 3


def test_without_a_prompt_a_first_token_that_depends_on_it_is_an_error(monkeypatch):
    lm = kinds.lm("unigram")
    monkeypatch.setattr("assay.forward.answers.BEFORE", ("Th",))
    assert whole("unigram", "The")[:-1] != whole("unigram", "Th")
    with pytest.raises(
        PromptError, match="the first token of 'e' depends on the text before it: say which, with after"
    ):
        lm.token("e")


@pytest.mark.parametrize("kind", ["prepend", "metaspace, first", "unigram"])
def test_continuations_begin_with_their_space(kind):
    lm, seen = kinds.lm(kind), []
    prompt = lm.prompt(FRANCE)
    made = lm.generate(FRANCE, max_tokens=6, stop=lambda text: bool(seen.append(text)))
    every = [decoded(kind, [*prompt.tokens, *made.tokens[:n]]) for n in range(7)]
    assert made.text == every[-1].removeprefix(every[0])
    assert seen == [text.removeprefix(every[0]) for text in every[1:]]
    assert lm.sweep(FRANCE, [[]], max_tokens=6).continuations == [made]
    paris = tuple(whole(kind, f"{FRANCE} Paris.")[len(prompt) :])
    assert Generation(paris, lm.decode(paris)).text == " Paris."
    assert lm.decode(iter(paris)) == " Paris."
    assert lm.decode([]) == ""


@pytest.mark.parametrize("kind", ["byte-level, end", "prepend, end", "unigram"])
def test_an_appended_end_token_is_left_out(kind):
    lm = kinds.lm(kind)
    end = lm.tokenizer.eos_token_id
    assert kinds.plain(kind).encode(FRANCE).ids[-1] == end
    prompt = lm.prompt(FRANCE)
    assert end not in prompt.tokens
    assert prompt.spans is not None
    assert len(prompt.spans) == len(prompt)
    assert prompt.spans[-1][1] == len(FRANCE)
    assert lm.prompt(f"{FRANCE}</s>").tokens == (*prompt.tokens, end)  # written out, it stays
    assert lm.token(" Paris", after=FRANCE) == whole(kind, f"{FRANCE} Paris")[len(prompt)]


def test_answers_with_the_same_token_are_refused_or_allowed():
    lm = kinds.lm("byte-level")
    answers = [" Paris", " Rome", " Parisian"]
    token = lm.token(" Paris", after=FRANCE)
    with pytest.raises(EditError) as raised:
        lm.sweep(FRANCE, [[]], targets=answers)
    for words in ("' Paris' and ' Parisian' begin with the same token", str(token), "shared='allow'"):
        assert words in str(raised.value)
    with pytest.raises(EditError, match="begin with the same token"):
        lm.plan(FRANCE, [[]], targets=answers)
    found = lm.sweep(FRANCE, [[]], targets=answers, shared="allow").target_log_probs[0]
    assert found[0] == found[2] != found[1]
    for same in (
        [" Paris", " Paris"],
        [token, token],
        [token, " Paris"],
    ):  # one answer twice, and ids, are no two answers
        assert lm.sweep(FRANCE, [[]], targets=same).target_log_probs.shape == (1, 2)
    with pytest.raises(EditError, match=r"targets are a list of texts and token ids, got ' Paris': give \[' Paris'\]"):
        lm.sweep(FRANCE, [[]], targets=" Paris")
    with pytest.raises(EditError, match="shared is 'refuse' or 'allow', got 'yes'"):
        lm.sweep(FRANCE, [[]], targets=answers, shared="yes")  # type: ignore[arg-type]


ERRORS = {
    "a space at the end": ("prepend", f"{FRANCE} ", "Paris", "change when 'Paris' follows"),
    "a word that goes on": ("byte-level", "The capital of France i", "s", "end the prompt without a space, and begin"),
    "nothing": ("prepend", FRANCE, "", "'' has no tokens after this prompt"),
    "spaces that are squeezed": ("unigram, squeezed", FRANCE, "  ", "'  ' has no tokens after this prompt"),
    "half a character": ("byte-level", [5, 231], " Paris", "the tokens of the prompt are not those of its text"),
    "an empty prompt": ("byte-level", "", " Paris", "the prompt is empty"),
    "a token outside": ("byte-level", [640], " Paris", "token id 640 is outside the vocabulary"),
}


@pytest.mark.parametrize(("kind", "prompt", "answer", "words"), ERRORS.values(), ids=ERRORS)
def test_an_answer_without_a_token_is_an_error(kind, prompt, answer, words):
    lm = kinds.lm(kind)
    for ask in (
        lambda: lm.token(answer, after=prompt),
        lambda: lm.sweep(prompt, [[]], targets=[answer]),
        lambda: lm.gradients(prompt, sites="z", target=answer),
    ):
        with pytest.raises(AssayError) as raised:
            ask()
        assert type(raised.value) is PromptError
        assert words in str(raised.value)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300


def test_a_prompt_is_cut_with_its_text():
    lm = kinds.lm("prepend")
    prompt = lm.prompt(FRANCE)
    assert until(prompt, len(prompt) - 1) == prompt
    cut = until(prompt, 3)
    assert (cut, cut.text) == (lm.prompt("The capital of"), "The capital of")
    assert until(Prompt(prompt.tokens), 3) == Prompt(prompt.tokens[:4])
    assert until(prompt, 0).text == ""
    assert lm.token("Paris", after=until(prompt, 0)) == whole("prepend", "Paris")[1]  # where the text begins


def test_the_lens_reads_answers_as_they_follow_its_position():
    lm = kinds.lm("prepend")
    lens = logit_lens(lm, "and [INST] The 1", "[INST]")
    (token,) = whole("prepend", "and [INST]Paris")[-1:]
    assert token != lm.token("Paris")
    assert lens.ranks("Paris").tolist() == lens.ranks(token).tolist()
    before = lm.prompt("a").tokens
    both = [decoded("prepend", [*before, i]) for i in np.argsort(-lens.log_probs[-1])[:20]]
    assert lens.top(20)[-1] == [text.removeprefix(decoded("prepend", before)) for text in both]
    assert any(text.startswith(" ") for text in lens.top(20)[-1])
