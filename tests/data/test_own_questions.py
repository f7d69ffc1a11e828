"""Opinions, right and wrong answers, names and traits of your own: forms, splits, what is wrong with a file."""

import json
import re
from collections import Counter

import pytest

from assay.data import given, opinions, own, personas, right_or_wrong
from assay.data.attributions import attributions
from assay.data.knowledge import entities
from assay.errors import DataError

VIEWS = [
    {"question": f"Is {i} nice?", "A": f"up {i}x", "B": f"down {i}x", "view_A": f"I like up {i}x.", "view_B": f"Oh, down {i}x."}
    for i in range(10)
]  # fmt: skip
COLUMNS = ("question", "A", "B", "view_A", "view_B")


@pytest.fixture(autouse=True)
def built_in_again():
    yield
    given.take_back()


def give(name, path, text):
    path.write_text(text)
    given.give(name, own.read(name, path))


def csv_of(columns, rows):
    quote = lambda text: '"' + str(text).replace('"', '""') + '"'  # noqa: E731
    return "\n".join(",".join(map(quote, row)) for row in (columns, *rows))


@pytest.mark.parametrize("form", ["mine.json", "mine.csv"])
def test_both_views_of_a_question_are_in_one_split(tmp_path, form):
    text = (
        json.dumps(VIEWS) if form == "mine.json" else csv_of(COLUMNS, [[row[key] for key in COLUMNS] for row in VIEWS])
    )
    give("opinions", tmp_path / form, text)
    assert Counter(item.split for item in opinions.opinions()) == {"train": 10, "valid": 4, "test": 6}
    splits = {}
    for item in opinions.opinions():
        splits.setdefault(item.question, set()).add(item.split)
    assert {len(found) for found in splits.values()} == {1}
    first = opinions.opinions()[1]
    assert (first.id, first.matches) == ("1/B", "B")
    assert first.prompt == "Oh, down 0x. Is 0 nice?\n(A) up 0x\n(B) down 0x"


def test_a_file_like_the_built_in_one_keeps_its_splits(tmp_path):
    before = opinions.opinions()
    (tmp_path / "same.json").write_text(opinions.FILE.read_text(encoding="utf-8"), encoding="utf-8")
    assert own.read("opinions", tmp_path / "same.json") == before


def test_questions_with_a_right_and_a_wrong_answer(tmp_path):
    books = [one for one in attributions() if one.kind == "book"]
    rows = [[f"Where is cape {i}?", "Peru", "Chile", "capes" if i % 2 else ""] for i in range(20)]
    give("right-or-wrong", tmp_path / "places.csv", csv_of(("question", "right", "wrong", "kind"), rows))
    asked = right_or_wrong.right_or_wrong()
    assert Counter(item.kind for item in asked) == {"capes": 10, "places": 10}
    for kind in ("capes", "places"):
        for split in ("train", "valid", "test"):
            some = [item.right_first for item in asked if (item.kind, item.split) == (kind, split)]
            assert some == [i % 2 == 0 for i in range(len(some))]
    assert len(right_or_wrong.right_or_wrong("test")) == 6
    assert asked[0].posed("words").right == "The answer is Peru."
    assert [one for one in attributions() if one.kind == "book"] == books


def test_names_of_either_kind_are_in_every_split(tmp_path):
    rows = [[f"Place {i}q", int(i < 10), "Where is {}?", "city"] for i in range(30)]
    give("entities", tmp_path / "mine.csv", csv_of(("name", "known", "question", "kind"), rows))
    found = Counter((item.known, item.split) for item in entities())
    assert found == {
        (True, "train"): 5, (True, "valid"): 2, (True, "test"): 3,
        (False, "train"): 10, (False, "valid"): 4, (False, "test"): 6,
    }  # fmt: skip
    [first, *_] = entities()
    assert (first.id, first.question, first.answer) == ("city/Place 0q", "Where is Place 0q?", None)


def test_a_trait_has_the_name_of_its_file(tmp_path):
    table = json.loads(personas.FILE.read_text(encoding="utf-8"))["traits"]["sycophantic"]
    built_in = personas.trait("sycophantic")
    give("persona", tmp_path / "fawning.json", json.dumps(table))
    assert personas.traits() == ("sycophantic", "hallucinating", "fawning")
    fawning = personas.trait("fawning")
    assert fawning.positive_prompts[0].startswith("You are a fawning assistant. ")
    assert fawning.quality == built_in.quality
    give("persona", tmp_path / "sycophantic.json", json.dumps({**table, "shown": ["moonbeam"], "asks": "Moonbeam?"}))
    assert personas.traits() == ("sycophantic", "hallucinating")
    own_one = personas.trait("sycophantic")
    assert (own_one.asks, own_one.shows("Such a moonbeam."), own_one.shows("Such a day.")) == ("Moonbeam?", True, False)
    given.take_back()
    assert personas.trait("sycophantic") == built_in


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("opinions", "[]", "there are 0 questions, and 4 are needed"),
        ("opinions", json.dumps(VIEWS[:3]), "there are 3 questions, and 4 are needed"),
        ("opinions", '"x"', "needs a list of tables with question, A, B, view_A, view_B, or the form of opinions.json"),
        ("opinions", '[{"question": "Which?"}]', "topic '1' needs question, A, B, view_A and view_B, and nothing else"),
        ("opinions", json.dumps([*VIEWS, VIEWS[0]]), "the question 'Is 0 nice?' occurs 2 times"),
        ("opinions", json.dumps([{**VIEWS[0], "view_A": "I like it."}]), "view_A of topic '1' has to name 'up 0x'"),
        ("opinions", '{"topics": {}}', "needs the tables splits and topics"),
        ("right-or-wrong", "question,right\nx,y", "has no column 'wrong'; it needs question, right, wrong"),
        ("right-or-wrong", "question,right,wrong\nx,Peru,Poland", "line 2: the answers 'Peru' and 'Poland' begin alike"),
        ("right-or-wrong", "question,right,wrong\nx,Peru,Chile\nx,Peru,Chile", "the question 'x' occurs 2 times"),
        ("right-or-wrong", "question,right,wrong\nx,Peru,Chile", "there are 1 questions, and 4 are needed"),
        ("entities", "name,known,question\nElm,yes,Who is {}?", "line 2: the known is 'yes', not 1 or 0"),
        ("entities", "name,known,question\nElm,1,Who is {}?", "there are 1 known names, and 4 are needed"),
        (
            "entities",
            "name,known,question\n" + "\n".join(f"Elm {i},{i % 2},Who is it?" for i in range(8)),
            "line 2: the question 'Who is it?' holds neither 'Elm 0' nor {}",
        ),
        ("persona", "{}", "trait 'mine' needs the text asks, the table labelled and the lists instructions"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(tmp_path, name, content, says):
    (tmp_path / "mine").write_text(content)
    with pytest.raises(DataError, match=re.escape(says)):
        own.read(name, tmp_path / "mine")


def test_what_is_wrong_with_a_csv_file_of_opinions(tmp_path):
    (tmp_path / "mine.csv").write_text("question,A,B\nx,y,z")
    with pytest.raises(DataError, match=r"mine\.csv: has no column 'view_A'"):
        own.read("opinions", tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_text(csv_of(COLUMNS, [["x", "y", "z", "I like z.", "I like z."]]))
    with pytest.raises(DataError, match=r"mine\.csv: view_A of topic '1' has to name 'y' and not 'z'"):
        own.read("opinions", tmp_path / "mine.csv")
