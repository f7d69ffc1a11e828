"""The behaviours: 60 and 40 questions each, letters and views balanced, no near-duplicates, new topics and wordings in test."""

import json
import re
from collections import Counter
from itertools import combinations

import pytest
from breaking import GONE, broken, complains

from assay.data import behaviours as module
from assay.data import given, own
from assay.data.behaviours import exported, names, questions
from assay.errors import DataError

SEVEN = ("sycophancy", "coordination", "corrigibility", "hallucination", "myopic_reward", "survival", "refusal")
TABLES = json.loads(module.FILE.read_text(encoding="utf-8"))["behaviours"]
NEAR = {"one split": 0.66, "two splits": 0.25, "two behaviours": 0.3}
"""The largest share of words that two questions may have in common."""


@pytest.fixture(autouse=True)
def built_in_again():
    yield
    given.take_back()


def words(text):
    return frozenset(re.findall(r"[^\W_]+", text.lower())) - {"a", "b"}


def shared(a, b):
    """Jaccard index of two sets of words."""
    return len(a & b) / len(a | b)


def test_there_are_seven_with_60_and_40_questions():
    assert names() == SEVEN
    assert {(len(questions(name, "train")), len(questions(name, "test"))) for name in SEVEN} == {(60, 40)}
    everything = [item for name in SEVEN for item in questions(name)]
    assert len({item.id for item in everything}) == len({item.prompt for item in everything}) == 700
    assert questions("refusal", "valid") == ()


@pytest.mark.parametrize("name", SEVEN)
def test_letters_are_balanced_in_each_wording(name):
    for split in ("train", "test"):
        letters = Counter((item.id.rpartition("/")[2], item.matches) for item in questions(name, split))
        assert len(letters) == 10
        assert len(set(letters.values())) == 1


def test_the_user_holds_either_view_equally_often_in_each_wording_and_letter():
    held = Counter()
    for item in questions("sycophancy"):
        texts = dict(
            zip(TABLES["sycophancy"]["slots"], TABLES["sycophancy"][item.split]["topics"][item.topic], strict=True)
        )
        view = item.options["AB".index(item.matches)]
        assert [item.prompt.count(text) for text in item.options] == [
            2,
            2,
        ]  # said by the user or another, and an option
        assert {view, *item.options} == {texts["view"], texts["other"]}
        held[item.split, item.id.rpartition("/")[2], item.matches, view == texts["view"]] += 1
    assert {key[0]: count for key, count in held.items()} == {"train": 3, "test": 2}
    assert len(held) == 2 * 5 * 2 * 2


def test_the_view_stands_before_the_other_in_some_wordings_and_behind_it_in_some():
    for split in ("train", "test"):
        first = Counter(
            wording[0].index("{view}") < wording[0].index("{other}")
            for wording in TABLES["sycophancy"][split]["wordings"]
        )
        assert sorted(first.values()) == [2, 3]


@pytest.mark.parametrize("name", SEVEN)
def test_neither_the_longer_option_nor_yes_is_the_matching_one(name):
    yes = Counter()
    for split in ("train", "test"):
        pairs = [item.options if item.matches == "A" else item.options[::-1] for item in questions(name, split)]
        assert 0.3 < sum(len(matching) > len(rest) for matching, rest in pairs) / len(pairs) < 0.7
        yes.update(i for pair in pairs for i in (0, 1) if pair[i].startswith("Yes"))
    assert set(yes) in (set(), {0, 1})


@pytest.mark.parametrize("name", [name for name in SEVEN if name != "sycophancy"])
def test_the_matching_option_is_that_of_its_wording(name):
    for item in questions(name):
        table = TABLES[name]
        slots = dict(zip(table["slots"], table[item.split]["topics"][item.topic], strict=True))
        text, matching, rest = (
            part.format(**slots) for part in table[item.split]["wordings"][int(item.id.rpartition("/")[2]) - 1]
        )
        assert item.open_ended == text
        assert item.options == ((matching, rest) if item.matches == "A" else (rest, matching))


@pytest.mark.parametrize("name", SEVEN)
def test_topics_and_wordings_of_the_test_are_not_those_of_train(name):
    train, test = TABLES[name]["train"], TABLES[name]["test"]
    assert not {item.topic for item in questions(name, "train")} & {item.topic for item in questions(name, "test")}
    assert not {tuple(one) for one in train["wordings"]} & {tuple(one) for one in test["wordings"]}
    assert Counter(item.topic for item in questions(name, "train")) == dict.fromkeys(train["topics"], 3)
    assert Counter(item.topic for item in questions(name, "test")) == dict.fromkeys(test["topics"], 2)


@pytest.mark.parametrize("name", SEVEN)
def test_no_two_questions_are_nearly_the_same(name):
    items = [(item, words(item.prompt)) for item in questions(name)]
    for (one, a), (two, b) in combinations(items, 2):
        limit = NEAR["one split" if one.split == two.split else "two splits"]
        assert shared(a, b) <= limit, f"{one.id} and {two.id}"


def test_no_question_of_one_behaviour_is_nearly_one_of_another():
    items = [(item, words(item.prompt)) for name in SEVEN for item in questions(name)]
    for (one, a), (two, b) in combinations(items, 2):
        assert one.behaviour == two.behaviour or shared(a, b) <= NEAR["two behaviours"], f"{one.id} and {two.id}"


@pytest.mark.parametrize("name", SEVEN)
def test_what_fills_the_slots_is_different_in_every_topic(name):
    """Half of the words of a topic or more are not those of another."""
    topics = [
        (topic, words(" ".join(texts)))
        for split in ("train", "test")
        for topic, texts in TABLES[name][split]["topics"].items()
    ]
    assert len(topics) == 40
    for (one, a), (two, b) in combinations(topics, 2):
        assert shared(a, b) <= 1 / 3, f"{one} and {two}"


def test_near_duplicates_would_be_found():
    [item, *_] = questions("survival", "test")
    assert shared(words(item.prompt), words(item.prompt.replace("technician", "mechanic"))) > NEAR["one split"]


def test_the_prompt_has_the_form_of_the_paper():
    for name in SEVEN:
        for item in questions(name):
            assert re.fullmatch(r"[^\n]+\n \(A\) [^\n]+\n \(B\) [^\n]+", item.prompt), item.id
            assert not re.search(r"[{}]|  ", item.prompt), item.id


def test_exported_questions_are_read_again(tmp_path):
    items = questions("refusal", "train")
    form = exported(items)
    assert set(form[0]) == {"question", "answer_matching_behavior", "answer_not_matching_behavior"}
    (tmp_path / "refusal.json").write_text(json.dumps(form))
    given.give("behaviour", own.read("behaviour", tmp_path / "refusal.json"))
    again = questions("refusal")
    assert sorted((one.prompt, one.matches) for one in again) == sorted((one.prompt, one.matches) for one in items)
    assert names() == SEVEN
    assert [len(questions("refusal", split)) for split in ("train", "valid", "test")] == [30, 12, 18]
    assert len(questions("survival")) == 100


def test_one_more_behaviour(tmp_path):
    twenty = [
        {"question": f"Number {i}?\n\nChoices:\n (A) {x}\n (B) {y}", "answer_matching_behavior": letter}
        for i in range(10)
        for x, y, letter in (("up", "down", "(A)"), ("down", "up", "(B)"))
    ]
    (tmp_path / "haste.json").write_text(json.dumps(twenty))
    given.give("behaviour", own.read("behaviour", tmp_path / "haste.json"))
    assert names() == (*SEVEN, "haste")
    assert [len(questions("haste", split)) for split in ("train", "valid", "test")] == [10, 4, 6]
    for split in ("train", "test"):  # a question and its twin with exchanged options are in one split
        assert Counter(item.matches for item in questions("haste", split))["A"] * 2 == len(questions("haste", split))
    [first, *_] = questions("haste")
    assert (first.open_ended, first.options) == ("Number 0?", ("up", "down"))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], "needs a list of"),
        ([{"question": "Which? (A) x (B) y"}], "entry 1 needs a question and answer_matching_behavior"),
        ([{"question": "Which? (A) x (B) y", "answer_matching_behavior": "(C)"}], 'answer_matching_behavior, "(A)" or "(B)"'),
        (["Which?"], "entry 1 needs a question"),
        ([{"question": "Which? (A) x", "answer_matching_behavior": "(A)"}], "has to end in (A), a text, (B), a text"),
        ([{"question": "Which? (A) (B) y", "answer_matching_behavior": "(A)"}], "has to end in (A), a text, (B), a text"),
        ([{"question": "(A) x (B) y", "answer_matching_behavior": "(A)"}], "has to end in (A), a text, (B), a text"),
        (
            [{"question": "Which? (A) x (B) y", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(A)"}],
            "entry 1: (A) matches, so the other answer is (B), not '(A)'",
        ),
        ([{"question": "Which? (A) x (B) y", "answer_matching_behavior": "(A)"}] * 2, "occurs 2 times"),
        ([{"question": f"{i}? (A) x (B) y", "answer_matching_behavior": "(B)"} for i in "12"], "(B) matches in every question"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_of_your_own(tmp_path, entries, says):
    (tmp_path / "mine.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match=re.escape(says)):
        own.read("behaviour", tmp_path / "mine.json")


def test_unknown_names():
    with pytest.raises(DataError, match="unknown behaviour 'survivel'"):
        questions("survivel")
    with pytest.raises(DataError, match="unknown split 'dev'"):
        questions("survival", "dev")


def split(n):
    return {"wordings": [["Is {x} nice?", "Yes.", "No."]], "topics": {f"{n}{i}": [f"{n} {i}"] for i in range(4)}}


SOUND = {"behaviours": {"joy": {"slots": ["x"], "exchanged": [], "train": split("train"), "test": split("test")}}}
SOUND["behaviours"]["joy"]["test"]["wordings"] = [["Do you like {x}?", "Yes.", "No."]]


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("behaviours", GONE, "needs the table behaviours"),
        ("behaviours.joy.slots", GONE, "behaviour 'joy' needs the lists slots and exchanged"),
        ("behaviours.joy.test", [], "behaviour 'joy' needs the lists slots and exchanged, and the tables train and test"),
        ("behaviours.joy.exchanged", ["x", "y"], "exchanges two of its slots or none, not ['x', 'y']"),
        ("behaviours.joy.train.topics", GONE, "behaviour 'joy', train: needs the list wordings and the table topics"),
        ("behaviours.joy.train.wordings.0", ["Is {x} nice?", "Yes."], "a wording is a question, the matching option"),
        ("behaviours.joy.train.wordings.0.0", "Is {y} nice?", "unknown slot 'y'; the slots are x"),
        ("behaviours.joy.train.topics.train1", ["one", "two"], "topic 'train1' needs a text for each of x"),
        ("behaviours.joy.train.topics.train1", [" one"], "topic 'train1' needs a text for each of x"),
        ("behaviours.joy.train.topics.train1", GONE, "9 questions in 1 wordings"),
        ("behaviours.joy.test.wordings.0", ["Is {x} nice?", "Yes.", "No."], "the wording ('Is {x} nice?', 'Yes.', 'No.') occurs"),
        ("behaviours.joy.test.topics", split("train")["topics"], "behaviour 'joy': the topic 'train0' occurs 2 times"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
