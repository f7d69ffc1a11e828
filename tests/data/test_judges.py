"""Judges: right about the labelled answers, their beginnings and other languages; plain texts; the file."""

import pytest
from breaking import GONE, broken, complains

from assay.data import judges as module
from assay.data.files import load
from assay.data.instructions import LANGUAGES
from assay.data.judges import Quality, answers, checked_on, judge, measure, plain, quality, too_weak
from assay.errors import DataError
from assay.testbed.refusal import ANSWERS, REFUSALS

CONTENT = load(module.FILE, module._check)
LABELS = {question: dict(labels) for question, labels in CONTENT["questions"].items()}
JUDGES = [(question, label) for question, labels in LABELS.items() for label, one in labels.items() if one["patterns"]]
REFUSALS_IN = [f"refusal[{language}]" for language in LANGUAGES]


def test_there_is_a_judge_of_refusals_in_every_language_and_of_what_else_the_suites_judge():
    assert set(JUDGES) == {(question, "refusal") for question in REFUSALS_IN} | {
        ("certainty", "confident"), ("certainty", "hedged"), ("knowledge", "admits"), ("verdict", "true"), ("verdict", "false"),
    }  # fmt: skip


@pytest.mark.parametrize("question", LABELS)
def test_forty_labelled_answers_or_more_a_third_of_them_held_out(question):
    every = [text for label in LABELS[question] for text in answers(question, label)]
    held_out = [text for label in LABELS[question] for text in answers(question, label, "held_out")]
    assert len(every) >= 40
    assert 0.25 <= len(held_out) / len(every) <= 0.4
    assert all(len(answers(question, label)) >= 20 for label in LABELS[question])


@pytest.mark.parametrize(("question", "label"), JUDGES)
@pytest.mark.parametrize("part", ["open", "held_out"])
def test_recall_and_false_hits(question, label, part):
    found = quality(question, label, part)
    assert found.recall >= 0.9
    assert found.false_hits <= module.MOST_FALSE_HITS
    assert too_weak(question, label) is None


@pytest.mark.parametrize(("question", "label"), JUDGES)
def test_every_pattern_finds_an_answer(question, label):
    texts = [plain(text) for text in answers(question, label)]
    assert [p.pattern for p in module._patterns(question, label) if not any(map(p.search, texts))] == []


@pytest.mark.parametrize("question", REFUSALS_IN)
def test_no_beginning_of_an_answer_is_a_refusal_if_the_answer_is_none(question):
    """The judge is asked after every token, and stops the answer when it says yes."""
    refuses = judge(question, "refusal")
    cut = [
        text[:i]
        for text in answers(question, "other")
        for i in range(1, len(text))
        if "zh" in question or not (text[i - 1].isalnum() and text[i].isalnum())
    ]
    assert len(cut) > 100
    assert [text for text in cut if refuses(text)] == []


@pytest.mark.parametrize("question", REFUSALS_IN)
def test_no_judge_of_another_language_finds_a_refusal_in_an_answer(question):
    others = [judge(other, "refusal") for other in REFUSALS_IN if other != question]
    assert [text for text in answers(question, "other") if any(refuses(text) for refuses in others)] == []


@pytest.mark.parametrize("language", REFUSALS)
def test_what_the_built_in_models_were_taught_to_say(language):
    refuses = judge(f"refusal[{language}]", "refusal")
    assert refuses(REFUSALS[language])
    assert not any(refuses(text) for text in ANSWERS.values())


DRESSED = ["**{}**", "> {}", "## {}", "- {}", "1. {}", "(1) {}", "\n\n  {}", "“{}”", "🚫 {}", "Assistant: {}"]


@pytest.mark.parametrize("dressed", DRESSED)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_refusal_is_dressed_in_does_not_count(language, dressed):
    question = f"refusal[{language}]"
    assert all(judge(question, "refusal")(dressed.format(text)) for text in answers(question, "refusal"))
    assert not any(judge(question, "refusal")(dressed.format(text)) for text in answers(question, "other"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**True.** It is.", "true. it is."),
        ("> I’m   not\tsure", "i'm not sure"),
        ("1. **One**\n\n2. Two", "one\ntwo"),
        ("(A) True", "true"),
        ("`True`", "true'"),
        ("The answer is: **True**", "the answer is: true"),
        ("The Answer: True", "true"),
        ("答：对不起，我不能。", "对不起,我不能。"),
        ("ＡＢＣ！", "abc!"),
        ("✅ Yes\ufe0f", "yes"),
        ("Write: “I can’t come.” Done.", 'write: "" done.'),
        ("Schreib „Ich kann nicht“ auf", 'schreib "" auf'),
        ("Say: “I can’t", 'say: ""'),
        ("“I can’t come.”", "i can't come.\""),
        ("3.5 litres", "3.5 litres"),
        ("", ""),
        ("…", ""),
    ],
)  # fmt: skip
def test_plain_text(text, expected):
    assert plain(text) == expected


def test_a_judge_is_measured_on_any_answers():
    found = measure(lambda text: "no" in text, own=["no", "no way", "never"], other=["yes", "now"])
    assert found == Quality(hits=2, n_own=3, false=1, n_other=2)
    assert (found.recall, found.false_hits) == (2 / 3, 0.5)
    with pytest.raises(DataError, match="measured on answers of both kinds"):
        measure(bool, own=[], other=["yes"])


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Quality(4, 5, 1, 20), None),
        (Quality(3, 5, 0, 20), "finds 3 of 5 answers, less than 80%"),
        (Quality(5, 5, 2, 20), "takes 2 of 20 other answers for one, more than 5%"),
    ],
)
def test_what_makes_a_judge_too_weak(found, says):
    assert found.weakness == says


def test_a_judge_that_is_too_weak_is_named(monkeypatch):
    monkeypatch.setattr(module, "_patterns", lambda question, label: ())
    assert too_weak("refusal[de]", "refusal") == (
        f"the judge of refusal[de] is too weak: it finds 0 of {len(answers('refusal[de]', 'refusal'))} answers, less than 80%"
    )


def test_the_judge_of_swahili_refusals_was_checked_on_no_models_answers():
    assert [question for question in REFUSALS_IN if not checked_on(question)] == ["refusal[sw]"]


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown question about an answer 'refusals\[de\]'.*refusal\[de\]"):
        judge("refusals[de]", "refusal")
    with pytest.raises(DataError, match=r"unknown label of certainty 'hedge'.*hedged"):
        quality("certainty", "hedge")
    with pytest.raises(DataError, match="'neither' of certainty has no patterns"):
        judge("certainty", "neither")
    with pytest.raises(DataError, match="unknown question"):
        checked_on("refusal")


SOUND = {
    "speakers": ["bot"],
    "checked_on": {"size": ["model"]},
    "questions": {
        "size": {
            "big": {"parts": {"very": "very ", "so": "<very>+"}, "patterns": ["<so>big…"], "open": ["big"], "held_out": []},
            "small": {"parts": {}, "patterns": [], "open": ["small"], "held_out": ["tiny"]},
        }
    },
}  # fmt: skip


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)
    [pattern] = module._compiled(SOUND["questions"]["size"]["big"])
    assert pattern.pattern == f"very +big{module.CLAUSE}"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("speakers", GONE, "needs the list speakers and the tables checked_on and questions"),
        ("checked_on.sizes", ["model"], "unknown question in checked_on 'sizes'. Did you mean size"),
        ("questions.size.small", GONE, "question 'size' needs a table of two labels or more"),
        (
            "questions.size.big.open",
            GONE,
            "'big' of size needs the table parts and the lists patterns, open and held_out",
        ),
        ("questions.size.big.patterns", ["<much>big"], "a pattern of 'big' of size cannot be read: 'much'"),
        (
            "questions.size.big.parts",
            {"so": "<very>", "very": "very"},
            "a pattern of 'big' of size cannot be read: 'very'",
        ),
        ("questions.size.big.patterns", ["(big"], "a pattern of 'big' of size cannot be read: missing )"),
        ("questions.size.big.patterns", ["a", "a"], "pattern of 'big' of size 'a' occurs 2 times"),
        ("questions.size.small.open", [" small"], "' small' (size) is not a text"),
        ("questions.size.small.open", ["big"], "the answer (size) 'big' occurs 2 times"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
