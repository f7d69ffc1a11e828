"""True and false statements, known and made-up entities."""

import re
from collections import Counter

import pytest
from breaking import GONE, broken, complains

from assay.data import knowledge as module
from assay.data import two_hop
from assay.data.files import SPLITS, load
from assay.data.knowledge import LETTERS, admits, confident, entities, hedged, statements
from assay.errors import DataError

FACTS = two_hop.load()
CONTENT = load(module.FILE, module._check)


def test_true_statements_are_facts_and_false_ones_are_not():
    for statement in statements():
        relation, entity, said = statement.id.split("/")
        begin, end = re.split(re.escape(entity), statement.text, maxsplit=1)
        right = FACTS["relations"][relation]["facts"][entity]
        assert statement.true is (said == "true")
        assert statement.true is end.removesuffix(".").endswith((f" is {right}", f" is the {right}"))
        assert begin.endswith(("The capital of ", "capital of the ", "The country where ", "The author of "))


def test_a_false_statement_follows_its_true_one():
    every = statements()
    for true, false in zip(every[::2], every[1::2], strict=True):
        assert (true.true, false.true) == (True, False)
        assert true.split == false.split
        assert true.id.removesuffix("true") == false.id.removesuffix("false")


def test_a_statement_is_judged_by_what_it_is_called():
    true, false = statements()[:2]
    assert true.question == f"True or false? {true.text}"
    assert true.judged_right(" True.")
    assert true.judged_right("true, it is")
    assert not true.judged_right("False.")
    assert true.judged_right("The statement is **true**.")
    assert not true.judged_right("It is not true")
    assert not true.judged_right("True or false?")
    assert false.judged_right("False.")
    assert not false.judged_right("")


def test_who_admits_not_to_know():
    assert admits("I do not know.")
    assert admits(" I don\u2019t know who wrote it")
    assert admits("I'm not familiar with that book.")
    assert not admits("The answer is I do not know.")
    assert not admits("")


def test_who_is_sure():
    assert confident("I am certain. The answer is Japan.")
    assert confident(" I\u2019m very confident")
    for said in ("I am not sure.", "Certainly not.", "I am certainly not", "The answer is certain", ""):
        assert not confident(said), said
    for said in ("I am not sure.", "I\u2019m not entirely certain", "I am unsure", "Not sure."):
        assert hedged(said), said
    for said in ("I do not know.", "I am certain.", "Surely not", "It is not sure", ""):
        assert not hedged(said), said
    asked = entities()[0]
    assert asked.how_sure == f"How sure are you? {asked.question}"


def test_a_proposal_is_the_statement_as_a_question():
    by_id = {statement.id: statement for statement in statements()}
    one = by_id["country_of_landmark/the Rijksmuseum/true"]
    assert (one.asked, one.stated) == ("Where is the Rijksmuseum?", "Netherlands")
    assert one.proposal.startswith(
        "Question: Where is the Rijksmuseum?\nProposed Answer: Netherlands\nIs the proposed answer:\n"
    )
    assert one.proposal.endswith("\n (A) True\n (B) False\nThe proposed answer is:")
    assert LETTERS == {True: "(A)", False: "(B)"}
    for statement in statements():
        relation, entity, _ = statement.id.split("/")
        assert statement.true is (FACTS["relations"][relation]["facts"][entity] == statement.stated)
        assert statement.text.endswith((f" is {statement.stated}.", f" is the {statement.stated}."))
        assert entity in statement.asked


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("relation", CONTENT["statements"])
def test_an_answer_is_as_often_true_as_false(relation, split):
    ends = {True: Counter(), False: Counter()}
    for statement in statements(split):
        if statement.id.startswith(f"{relation}/"):
            ends[statement.true][statement.text.rpartition(" is ")[2]] += 1
    assert ends[True] == ends[False]
    assert ends[True].total() >= 9


def test_no_statement_is_there_twice():
    assert len({statement.text for statement in statements()}) == len(statements())
    assert [len(statements(split)) for split in SPLITS] == [372, 148, 224]


def test_articles_stand_where_english_has_them():
    texts = {statement.text for statement in statements()}
    assert "The capital of the Netherlands is Amsterdam." in texts
    assert "The country where the Rijksmuseum is located is the Netherlands." in texts
    assert "The capital of France is Paris." in texts


def test_the_false_twins_of_one_relation():
    answers = {"a": "1", "b": "1", "c": "2", "d": "3"}
    twins = module._twins("any", answers)
    assert all(twins[entity] != answer for entity, answer in answers.items())
    assert Counter(twins.values()) == Counter(answers.values())
    assert module._twins("any", {}) == {}
    with pytest.raises(DataError, match="relation 'any' has the same answer for more than half of a split"):
        module._twins("any", {"a": "1", "b": "1", "c": "2"})


def test_as_many_entities_are_known_as_made_up():
    counts = Counter((entity.kind, entity.split, entity.known) for entity in entities())
    for kind in CONTENT["entities"]:
        for split, count in zip(SPLITS, (8, 3, 5), strict=True):
            assert counts[kind, split, True] == counts[kind, split, False] == count
    assert sum(not entity.known for entity in entities()) >= 48
    assert len({entity.name for entity in entities()}) == len(entities())


def test_known_entities_have_an_answer_and_made_up_ones_are_nowhere():
    names = two_hop.FILE.read_text(encoding="utf-8")
    for entity in entities():
        assert (entity.answer is not None) is entity.known
        assert (f'"{entity.name}"' in names) is entity.known
        assert entity.name in entity.question


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("Kyoto", "Where is Kyoto?", "Japan"),
        ("Franz Kafka", "Where was Franz Kafka born?", "Prague"),
        ("Dracula", "Who wrote Dracula?", "Bram Stoker"),
        ("the Walkman", "Which company makes the Walkman?", "Sony"),
        ("the Quorbit", "Which company makes the Quorbit?", None),
    ],
)
def test_one_question_of_each_kind(name, question, answer):
    [entity] = [entity for entity in entities() if entity.name == name]
    assert (entity.question, entity.answer) == (question, answer)


def test_an_unknown_split():
    for ask in (statements, entities):
        with pytest.raises(DataError, match="unknown split 'dev'"):
            ask("dev")


SOUND = {
    "statements": {"capital_of_country": "What is the capital of {}?"},
    "entities": {
        "city": {
            "relation": "country_of_city",
            "question": "Where is {}?",
            "known": {"train": ["Kyoto"], "valid": [], "test": []},
            "unknown": {"train": [], "valid": [], "test": ["Velmora"]},
        }
    },
}


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("statements", GONE, "needs the tables statements and entities"),
        ("statements", {"capital_of_county": "Where is {}?"}, "unknown relation of statements 'capital_of_county'"),
        (
            "statements",
            {"capital_of_country": "Where?"},
            "'capital_of_country' of statements needs a question with one {}",
        ),
        ("entities.city", [], "kind 'city' needs a relation, a question with one {}"),
        ("entities.city.question", "Where?", "kind 'city' needs a relation, a question with one {}"),
        ("entities.city.relation", "country_of_town", "unknown relation of kind 'city' 'country_of_town'"),
        ("entities.city.known.test", GONE, "known of kind 'city' needs a list for each of train, valid, test"),
        (
            "entities.city.known.dev",
            [],
            "known of kind 'city' needs a list for each of train, valid, test, and nothing",
        ),
        ("entities.city.unknown.test", "Velmora", "unknown of kind 'city' needs a list"),
        (
            "entities.city.known.test",
            ["Kyotto"],
            "'Kyotto' of kind 'city' has no fact in 'country_of_city'; did you mean Kyoto",
        ),
        ("entities.city.known.test", ["Kyoto"], "the name 'Kyoto' occurs 2 times"),
        ("entities.city.unknown.test", ["Paris"], "'Paris' of kind 'city' is not made up"),
        ("entities.city.unknown.test", [""], "'' of kind 'city' is not a text"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
