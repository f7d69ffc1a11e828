"""The in-context tasks: what the file holds, how it is split, and files in the authors' form."""

import json

import pytest
from breaking import GONE, broken, complains

from assay.data import tasks as module
from assay.data import two_hop
from assay.data.files import SPLITS
from assay.data.tasks import read_task, task, tasks
from assay.errors import DataError

GROUPS = {
    "nouns": ["singular-plural", "english-french", "english-spanish", "english-german"],
    "adjectives": ["antonym", "comparative"],
    "verbs": ["present-past", "present-gerund"],
    "countries": ["country-capital", "country-currency"],
}
NAMES = [name for group in GROUPS.values() for name in group] + ["capitalize"]


def test_there_are_eleven_tasks_of_64_pairs_or_more():
    assert sorted(each.name for each in tasks()) == sorted(NAMES)
    assert min(len(each.pairs) for each in tasks()) >= 64


@pytest.mark.parametrize("group", GROUPS)
def test_the_tasks_of_a_group_know_the_same_inputs(group):
    inputs = [[given for given, _ in task(name).pairs] for name in GROUPS[group]]
    assert all(other == inputs[0] for other in inputs)


def test_capitalize_knows_words_of_three_groups():
    known = {given for given, _ in task("capitalize").pairs}
    for group in ("nouns", "adjectives", "verbs"):
        assert len(known & {given for given, _ in task(GROUPS[group][0]).pairs}) >= 20
    assert all(output == given.capitalize() for given, output in task("capitalize").pairs)


def test_an_output_says_which_task_it_is():
    for given in {given for each in tasks() for given, _ in each.pairs}:
        outputs = [output for each in tasks() for known, output in each.pairs if known == given]
        assert len({given, *outputs}) == 1 + len(outputs), given


def test_no_two_tasks_share_an_output():
    outputs = [{output for _, output in each.pairs} for each in tasks()]
    assert sum(map(len, outputs)) == len(set().union(*outputs))


@pytest.mark.parametrize("name", NAMES)
def test_the_splits_are_half_a_fifth_and_the_rest(name):
    shares = [len(task(name).split(split)) / len(task(name).pairs) for split in SPLITS]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
    assert sorted(sum((task(name).split(split) for split in SPLITS), ())) == sorted(task(name).pairs)


def test_an_input_is_in_the_same_split_in_every_task():
    split_of = {}
    for each in tasks():
        for (given, _), split in zip(each.pairs, each.splits, strict=True):
            assert split_of.setdefault(given, split) == split


def test_capitals_and_currencies_agree_with_the_two_hop_facts():
    relations = two_hop.load()["relations"]
    for name, relation in (("country-capital", "capital_of_country"), ("country-currency", "currency_of_country")):
        facts = relations[relation]["facts"]
        known = {given: output for given, output in task(name).pairs if given in facts}
        assert known == {given: facts[given] for given in known}
        assert len(known) >= 55


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("singular-plural", ("mouse", "mice")),
        ("english-french", ("key", "clé")),
        ("english-spanish", ("bird", "pájaro")),
        ("english-german", ("door", "Tür")),
        ("antonym", ("shallow", "deep")),
        ("comparative", ("good", "better")),
        ("present-past", ("choose", "chose")),
        ("present-gerund", ("stop", "stopping")),
        ("capitalize", ("mouse", "Mouse")),
        ("country-capital", ("Australia", "Canberra")),
        ("country-currency", ("Japan", "yen")),
    ],
)
def test_one_pair_of_each_task(name, pair):
    assert pair in task(name).pairs


def test_tasks_come_in_the_order_asked_for():
    assert [each.name for each in tasks(["present-past", "antonym"])] == ["present-past", "antonym"]


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown task 'antonyms'\. Did you mean antonym\?"):
        task("antonyms")
    with pytest.raises(DataError, match="unknown task 'capital'"):
        tasks(["antonym", "capital"])
    with pytest.raises(DataError, match="unknown split 'dev'"):
        task("antonym").split("dev")


SOUND = {
    "splits": {"train": ["hot"], "valid": ["big"], "test": []},
    "tasks": {"antonym": {"hot": "cold", "big": "small"}, "comparative": {"hot": "hotter", "big": "bigger"}},
}


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("tasks", GONE, "needs the tables splits and tasks"),
        ("splits.train", {}, "splits needs a list"),
        ("splits.test", ["hot"], "in the splits 'hot' occurs 2 times"),
        ("splits.test", ["hut"], "'hut' is in a split and nowhere else; did you mean hot?"),
        ("splits.valid", [], "'big' is in no split"),
        ("tasks.antonym", ["hot"], "task 'antonym' needs a table of texts"),
        ("tasks.antonym.hot", " cold", "task 'antonym' needs a table of texts"),
        ("tasks.antonym.hot", "", "task 'antonym' needs a table of texts"),
        ("tasks.antonym.hot", 7, "task 'antonym' needs a table of texts"),
        ("tasks.antonym.hot", "hotter", "among 'hot' and its outputs, 'hotter' occurs 2 times"),
        ("tasks.antonym.hot", "hot", "among 'hot' and its outputs, 'hot' occurs 2 times"),
    ],
)
def test_a_malformed_built_in_file(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)


def authors_file(folder, entries, name="rhyme.json"):
    (folder / name).write_text(json.dumps(entries), encoding="utf-8")
    return folder / name


def test_a_file_in_the_authors_form(tmp_path):
    entries = [{"output": f"out {i}", "input": f"in {i} "} for i in range(40)]
    read = read_task(authors_file(tmp_path, entries))
    assert read.name == "rhyme"
    assert read.pairs == tuple((f"in {i}", f"out {i}") for i in range(40))
    assert [len(read.split(split)) for split in SPLITS] == [20, 8, 12]
    again = read_task(str(authors_file(tmp_path, entries[::-1], "other.json")), name="mine")
    assert again.name == "mine"
    assert set(again.split("test")) == set(read.split("test"))


def test_an_input_with_two_outputs_is_in_one_split(tmp_path):
    entries = [{"input": f"in {i % 20}", "output": f"out {i}"} for i in range(40)]
    read = read_task(authors_file(tmp_path, entries))
    places = [{given for given, _ in read.split(split)} for split in SPLITS]
    assert sum(map(len, places)) == 20


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], "needs a list"),
        ({"hot": "cold"}, "needs a list"),
        ([{"input": "hot", "output": "cold"}, ["big", "small"]], "entry 2 is not"),
        ([{"input": "hot"}], "entry 1 is not"),
        ([{"input": "hot", "output": 7}], "entry 1 is not"),
        ([{"input": " ", "output": "cold"}], "entry 1 is not"),
        ([{"input": "hot", "output": "cold"}, {"input": "hot", "output": "cold "}], "('hot', 'cold') occurs 2 times"),
    ],
)
def test_a_malformed_file_of_the_authors_form(tmp_path, entries, says):
    complains(entries, module._check_authors_form, tmp_path, says)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json: not a readable JSON file"):
        read_task(tmp_path / "nowhere.json")
