"""Prompt sets of your own: the forms of files, what is wrong with one, and that they stand in for the built-in ones."""

import json
from pathlib import Path

import pytest

from assay.data import given, own
from assay.data.instructions import instructions
from assay.data.knowledge import statements
from assay.data.two_hop import half_of, two_hop
from assay.errors import DataError

QUERY = {
    "id": "7", "e1_label": "Imagine", "e2_label": "John Lennon", "e3_label": "Yoko Ono", "r1_template": "the performer of {}",
    "r2_template": "the spouse of {}", "e2_aliases": "['Lennon', 'J']", "e3_aliases": "['Ono']", "source_prompt": "",
}  # fmt: skip


def table(path, *rows):
    quote = lambda text: '"' + text.replace('"', '""') + '"'  # noqa: E731
    path.write_text("\n".join(",".join(map(quote, row)) for row in (rows[0].keys(), *(row.values() for row in rows))))
    return path


@pytest.fixture(autouse=True)
def built_in_again():
    yield
    given.take_back()


def test_a_two_hop_query_has_all_its_prompts(tmp_path):
    (query,) = own.read("two-hop", table(tmp_path / "x.csv", QUERY))
    assert query.prompt == "The spouse of the performer of Imagine is"
    assert (query.first_hop, query.second_hop) == ("The performer of Imagine is", "The spouse of John Lennon is")
    assert (query.e1_shortcut, query.r1_shortcut) == ("The spouse of Imagine is", "The spouse of the performer is")
    assert query.e2_aliases == ("John Lennon", "Lennon")
    assert query.id == "7"
    assert half_of(query) in ("select", "report")
    (other,) = own.read(
        "two-hop", table(tmp_path / "y.csv", QUERY | {"source_prompt": "the spouse of the performer of Imagine"})
    )
    assert other.prompt == "the spouse of the performer of Imagine is"


def test_statements_about_one_thing_are_in_one_split(tmp_path):
    rows = [
        {"statement": f"{i} is {word}.", "label": label, "number": str(i)}
        for i in range(40)
        for word, label in (("one", "1"), ("two", "0"))
    ]
    items = own.read("statements", table(tmp_path / "numbers.csv", *rows))
    assert len({item.entity for item in items}) == 40
    assert {item.relation for item in items} == {"numbers"}
    assert all(len({item.split for item in items if item.entity == one}) == 1 for one in {i.entity for i in items})
    assert {item.split for item in items} == {"train", "valid", "test"}


def test_they_stand_in_for_the_built_in_ones_until_taken_back(tmp_path):
    before = len(instructions("harmless")), len(statements()), len(two_hop())
    (tmp_path / "a.json").write_text(json.dumps([f"Name {i} rivers." for i in range(20)]))
    given.give("harmless", own.read("harmless", tmp_path / "a.json"))
    given.give("two-hop", own.read("two-hop", table(tmp_path / "x.csv", QUERY)))
    given.give("statements", own.read("statements", table(tmp_path / "n.csv", {"statement": "It is.", "label": "1"})))
    assert instructions("harmless")[0].text == "Name 0 rivers."
    assert len(instructions("harmless", split="test")) == 6
    assert len(instructions("harmless", "de")) == before[0]
    assert [query.e1 for query in two_hop()] == ["Imagine"]
    assert [item.text for item in statements()] == ["It is."]
    given.take_back()
    assert (len(instructions("harmless")), len(statements()), len(two_hop())) == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("harmful", "[]", "needs a list of"),
        ("harmful", '["a", {"request": "b"}]', r'entry 2 is neither \{"instruction": text\} nor a text'),
        ("harmful", '["a", "a"]', "the request 'a' occurs 2 times"),
        ("statements", "statement,label\nIt is.,true", "line 2: the label is 'true', not 1 or 0"),
        ("statements", "statement\nIt is.", "has no column 'label'; it needs statement, label"),
        ("statements", "statement,label\n", "has no rows"),
        ("statements", "statement,label\n ,1", "line 2: statement is empty"),
        (
            "two-hop",
            "e1_label,e2_label,e3_label,r1_template,r2_template\na,b,c,the x,y of {}",
            "the template 'the x' needs one {}",
        ),
        (
            "two-hop",
            "e1_label,e2_label,e3_label,r1_template,r2_template,e2_aliases\na,b,c,the x of {},the y of {},b c",
            "e2_aliases of 'b' is no list of texts: 'b c'",
        ),
        (
            "two-hop",
            "e1_label,e2_label,e3_label,r1_template,r2_template,source_prompt\na,b,c,the x of {},the y of {},Who",
            "the prompt 'Who is' does not hold 'the x of a'",
        ),
        ("opinion", "", "unknown prompt set 'opinion'. Did you mean opinions"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(tmp_path, name, text, message):
    (tmp_path / "mine").write_text(text)
    with pytest.raises(DataError, match=message):
        own.read(name, tmp_path / "mine")


def test_a_file_that_is_not_there():
    with pytest.raises(DataError, match=r"nowhere\.csv: not a readable CSV file"):
        own.read("two-hop", Path("nowhere.csv"))
