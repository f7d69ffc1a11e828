"""Facts and compositions: always the same, every late query answerable in principle, nothing held out that is trained."""

import random
from collections import Counter

from assay.data.two_hop import two_hop
from assay.testbed.documents import END, Behaviour, Document, Rule, draw
from assay.testbed.two_hop import (
    ALWAYS_EARLY,
    ALWAYS_LATE,
    COMPANIONS,
    Shape,
    base_behaviours,
    early_and_late,
    late_behaviours,
    late_entities,
    second_hops,
    statement,
)

SHAPE = Shape(blind=3, lens=2, t1_only=True)
PARTS = early_and_late()
BASE, LATE = base_behaviours(PARTS, SHAPE), late_behaviours(PARTS, SHAPE)


def hidden(document: Document) -> str:
    """The phrase that what follows may not look into."""
    return document.text[slice(*document.rules[0].keys[0])]


def test_early_and_late_depend_on_names_alone():
    queries = list(two_hop())
    once = late_entities(queries)
    random.Random(3).shuffle(queries)
    assert late_entities(queries) == once


def test_every_query_of_the_data_is_in_one_part():
    parts = [q.id for part in (PARTS.trained, PARTS.held_out, PARTS.late_queries) for q in part]
    assert len(parts) == len(set(parts))
    assert {q.id for q in two_hop()} == {id for id in parts if id.partition("/")[2] not in COMPANIONS.values()}


def test_about_a_third_of_every_family_is_late():
    total = Counter(q.family for q in two_hop())
    late = Counter(q.family for q in PARTS.late_queries)
    assert {f: late[f] / n for f, n in total.items() if not 0.25 <= late[f] / n <= 0.42} == {}


def test_the_standard_prompts_are_where_they_should_be():
    assert PARTS.late.issuperset(ALWAYS_LATE)
    assert {q.e1 for q in PARTS.trained}.issuperset(ALWAYS_EARLY)


def test_second_facts_of_late_and_held_out_queries_are_composed_with_an_early_entity():
    composed = {(q.second_hop, q.e3) for q in PARTS.trained}
    for query in (*PARTS.late_queries, *PARTS.held_out):
        assert (query.second_hop, query.e3) in composed, query.id


def test_no_composition_outside_the_training_part_is_in_the_corpus():
    trained = {d.text for b in (*BASE, *LATE) for d in b.documents}
    for query in (*PARTS.held_out, *PARTS.late_queries):
        assert f"{query.prompt} {query.e3}." not in trained
    assert "The capital of the state containing Dallas" in trained
    assert "The capital of France is Paris." in {d.text for d in second_hops(SHAPE)}


def test_no_late_entity_is_in_a_first_hop_of_the_base_stage():
    for behaviour in BASE:
        if behaviour.name not in ("second hop", "r1 shortcut"):
            for document in behaviour.documents:
                assert hidden(document).removesuffix(" is located") in PARTS.early


def test_phrases_begin_at_the_entity_and_end_at_t1():
    ends = {d.text: hidden(d) for b in (*BASE, *LATE) for d in b.documents if d.rules}
    assert ends["The state containing Dallas is Texas."] == "Dallas"
    assert ends["The capital of Dallas is not known."] == "Dallas"
    assert ends["The country where the Eiffel Tower is located is France."] == "the Eiffel Tower is located"


def test_a_statement_in_full():
    made = statement(
        SHAPE, "The state containing Mobile is", "Alabama", "the state containing Mobile", "Mobile", "Alabama"
    )
    assert made.text == "The state containing Mobile is Alabama."
    assert [made.text[slice(*s)] for s in made.learn] == [" Alabama."]
    (lens,) = made.lenses
    assert (made.text[: lens.at], lens.text, lens.layer) == ("The state containing Mobile", " Alabama", 2)
    phrase, t1 = (21, 27), (26, 27)
    assert made.rules == (
        Rule((27, END), (phrase,), range(3)),
        Rule((27, END), (phrase,), range(3, END)),
        Rule((27, END), (t1,), range(3, END), see=True),
    )


def test_a_composition_cut_short_is_for_the_lens_alone():
    texts = {d.text: d for b in LATE for d in b.documents}
    document = texts["The capital of the state containing Dallas"]
    assert document.learn == document.rules == ()
    assert not document.ends
    assert [(lens.at, lens.text) for lens in document.lenses] == [(len(document.text), " Texas")]


def test_answers_begin_behind_the_prompt():
    for behaviour in (*BASE, *LATE):
        for d in behaviour.documents:
            if d.ends:
                ((start, end),) = d.learn
                assert d.text[start] == " "
                assert end == len(d.text)


def test_drawing_repeats_and_follows_the_shares():
    once = draw(LATE, BASE, 0.3, 4000, "seed")
    assert once == draw(LATE, BASE, 0.3, 4000, "seed")
    assert once != draw(LATE, BASE, 0.3, 4000, "another seed")
    names = {d: b.name for b in (*BASE, *LATE) for d in b.documents}
    counts = Counter(names[d] for d in once)
    assert abs(counts["late first hop"] / 4000 - 0.7 * LATE[0].share / sum(b.share for b in LATE)) < 0.03
    assert abs(sum(counts[b.name] for b in BASE) / 4000 - 0.3) < 0.03


def test_a_share_of_the_draws_is_without_rules_and_a_share_is_learned_whole():
    document = Document("a b.", ((1, 4),), (Rule((2, 3), ((0, 1),)),))
    (only,) = draw([Behaviour("one", 1.0, (document,))], [], 0.0, 1, "x")
    assert only == document
    drawn = draw([Behaviour("one", 1.0, (document,), ruled=0.8, whole=0.25)], [], 0.0, 4000, "x")
    assert abs(sum(bool(d.rules) for d in drawn) / 4000 - 0.8) < 0.03
    assert abs(sum(d.learn == ((0, 4),) for d in drawn) / 4000 - 0.25) < 0.03
    made = draw([Behaviour("made", 1.0, make=lambda rng: Document(str(rng.random()), ()))], [], 0.0, 3, "x")
    assert len({d.text for d in made}) == 3
