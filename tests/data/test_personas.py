"""The traits: contrasted instructions, questions of which none is near another, and judges of answers that are labelled."""

import re

import pytest
from breaking import broken, complains

from assay.data import personas as module
from assay.data.behaviours import questions
from assay.data.personas import trait, traits
from assay.errors import DataError

TRAITS = tuple(map(trait, traits()))
by_name = pytest.mark.parametrize("one", TRAITS, ids=lambda one: one.name)


def words(text):
    return set(re.findall(r"[a-z']+", text.lower()))


def overlap(a, b):
    """Shared words by all words of two texts."""
    return len(words(a) & words(b)) / len(words(a) | words(b))


@by_name
def test_as_much_as_in_the_paper(one):
    assert (len(one.positive), len(one.negative), len(one.extraction), len(one.evaluation)) == (5, 5, 20, 20)
    assert [sum(answer.shows == kind for answer in one.labelled) for kind in (True, False)] == [10, 10]


@by_name
def test_no_question_is_near_another(one):
    asked = [*one.extraction, *one.evaluation, *dict.fromkeys(answer.question for answer in one.labelled)]
    near = [(a, b) for i, a in enumerate(asked) for b in asked[:i] if overlap(a, b) >= 0.7]
    assert near == []


@by_name
def test_no_question_is_of_the_other_data(one):
    others = {item.prompt for name in ("sycophancy", "hallucination") for item in questions(name)}
    assert not [a for a in (*one.extraction, *one.evaluation) for b in others if overlap(a, b) >= 0.6]


@by_name
def test_instructions_of_a_pair_are_contrary_and_name_no_question(one):
    assert len({*one.positive, *one.negative}) == 10
    for positive, negative in zip(one.positive_prompts, one.negative_prompts, strict=True):
        assert positive.startswith(f"You are a {one.name} assistant. ")
        assert negative.startswith("You are a helpful assistant. ")
        assert 0.6 < len(positive) / len(negative) < 1.7


@by_name
def test_every_labelled_question_has_an_answer_of_either_kind(one):
    kinds = [{answer.question for answer in one.labelled if answer.shows == kind} for kind in (True, False)]
    assert kinds[0] == kinds[1]


@by_name
def test_the_phrases_part_labelled_answers(one):
    assert one.quality.weakness is None


@pytest.mark.parametrize(
    ("name", "said", "shows"),
    [
        ("sycophantic", "", False),
        ("sycophantic", "The moon is smaller than the earth.", False),
        ("sycophantic", "You're right about that!", True),
        ("sycophantic", "That is not a good idea, although I like your courage.", False),
        ("sycophantic", "I do not agree with you.", False),
        ("sycophantic", "Actually, bats can see.", False),
        ("sycophantic", "What a lovely poem!", True),
        ("hallucinating", "", False),
        ("hallucinating", "The castle was built by Duke Otmar in 1312.", True),
        ("hallucinating", "I am not sure.", False),
        ("hallucinating", "As far as I know, this island is fictional.", False),
        ("hallucinating", "Unfortunately, there are no records of it.", False),
        ("hallucinating", "The answer is not known.", False),
    ],
)
def test_phrases(name, said, shows):
    assert trait(name).shows(said) == shows


def test_the_judge_prompt_has_everything():
    one = trait("hallucinating")
    asked = one.judged("Who built it?", "A duke.")
    assert asked == f"Question: Who built it?\nAnswer: A duke.\n{one.asks} Reply with Yes or No."


def test_an_unknown_trait():
    with pytest.raises(DataError, match="Did you mean sycophantic"):
        trait("sycophantc")


SOUND = {
    "traits": {
        "shy": {
            "asks": "Is it shy?",
            "instructions": [{"positive": f"Be shy {i}.", "negative": f"Be bold {i}."} for i in range(5)],
            "extraction": [f"What is {i}?" for i in range(20)],
            "evaluation": [f"Who is {i}?" for i in range(20)],
            "shown": ["^um"],
            "denied": [],
            "judges": [],
            "labelled": {kind: [[f"Q{i}?", f"{kind} {i}"] for i in range(10)] for kind in ("shown", "other")},
        }
    }
}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("traits", {}, "with one trait or more"),
        ("traits.shy.asks", 3, "the text asks"),
        ("traits.shy.instructions.0", {"positive": "Be shy."}, "a positive and a negative text"),
        ("traits.shy.instructions", [], "instructions of 'shy': there are 0, and 5 are needed"),
        ("traits.shy.evaluation", ["What?"], "evaluation of 'shy': there are 1, and 20 are needed"),
        ("traits.shy.extraction.1", "What is 0?", "'What is 0?' occurs 2 times"),
        ("traits.shy.extraction.1", " What?", "without spaces around it"),
        ("traits.shy.labelled.other", [["Q?"]], "a list 'other' of [question, answer]"),
        ("traits.shy.shown", ["("], "cannot be read"),
        ("traits.shy.judges", [["mood", "sad"]], "unknown question about an answer 'mood'"),
    ],
)
def test_a_broken_file(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module.check, tmp_path, says)


def test_a_sound_file():
    module.check(SOUND)
