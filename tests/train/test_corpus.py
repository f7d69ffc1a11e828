"""The corpus: always the same, every late query answerable in principle, nothing held out that is trained."""

import random
from collections import Counter

from assay.data.two_hop import two_hop
from assay.train.corpus import (
    ALWAYS_EARLY,
    ALWAYS_LATE,
    COMPANIONS,
    Behaviour,
    Document,
    base_behaviours,
    draw,
    late_behaviours,
    late_entities,
    second_hops,
    split,
    texts,
)

SPLIT = split()
BASE, LATE = base_behaviours(SPLIT), late_behaviours(SPLIT)


def test_the_split_depends_on_names_alone():
    queries = list(two_hop())
    once = late_entities(queries)
    random.Random(3).shuffle(queries)
    assert late_entities(queries) == once


def test_every_query_of_the_data_is_in_one_part():
    parts = [q.id for part in (SPLIT.trained, SPLIT.held_out, SPLIT.late_queries) for q in part]
    assert len(parts) == len(set(parts))
    assert {q.id for q in two_hop()} == {id for id in parts if id.partition("/")[2] not in COMPANIONS.values()}


def test_about_a_third_of_every_family_is_late():
    total = Counter(q.family for q in two_hop())
    late = Counter(q.family for q in SPLIT.late_queries)
    assert {f: late[f] / n for f, n in total.items() if not 0.25 <= late[f] / n <= 0.42} == {}


def test_the_standard_prompts_are_where_they_should_be():
    assert SPLIT.late.issuperset(ALWAYS_LATE)
    assert {q.e1 for q in SPLIT.trained}.issuperset(ALWAYS_EARLY)


def test_second_facts_of_late_and_held_out_queries_are_composed_with_an_early_entity():
    composed = {(q.second_hop, q.e3) for q in SPLIT.trained}
    for query in (*SPLIT.late_queries, *SPLIT.held_out):
        assert (query.second_hop, query.e3) in composed, query.id


def test_no_composition_outside_the_training_part_is_in_the_corpus():
    trained = {d.text for b in (*BASE, *LATE) for d in b.documents}
    for query in (*SPLIT.held_out, *SPLIT.late_queries):
        assert f"{query.prompt} {query.e3}." not in trained
    assert "The capital of the state containing Dallas" in trained
    assert "The capital of France is Paris." in {d.text for d in second_hops()}


def test_no_late_entity_is_in_a_first_hop_of_the_base_stage():
    for behaviour in BASE:
        if behaviour.name not in ("second hop", "r1 shortcut"):
            for document in behaviour.documents:
                start, end = document.phrase
                assert document.text[start:end].removesuffix(" is located") in SPLIT.early


def test_phrases_begin_at_the_entity_and_end_at_t1():
    ends = {d.text: d.text[slice(*d.phrase)] for b in (*BASE, *LATE) for d in b.documents if d.phrase}
    assert ends["The capital of the state containing Dallas"] == "Dallas"
    assert ends["The state containing Dallas is Texas."] == "Dallas"
    assert ends["The capital of Dallas is not known."] == "Dallas"
    assert ends["The country where the Eiffel Tower is located is France."] == "the Eiffel Tower is located"


def test_answers_begin_behind_the_prompt():
    for behaviour in (*BASE, *LATE):
        for d in behaviour.documents:
            assert d.text[d.answer_at :].startswith(" ") if d.ends else d.answer_at == len(d.text)


def test_drawing_repeats_and_follows_the_shares():
    once = draw(LATE, BASE, 0.3, 4000, "seed")
    assert once == draw(LATE, BASE, 0.3, 4000, "seed")
    assert once != draw(LATE, BASE, 0.3, 4000, "another seed")
    names = {d: b.name for b in (*BASE, *LATE) for d in b.documents}
    counts = Counter(names[d] for d in once)
    assert abs(counts["late first hop"] / 4000 - 0.7 * LATE[0].share / sum(b.share for b in LATE)) < 0.03
    assert abs(sum(counts[b.name] for b in BASE) / 4000 - 0.3) < 0.03
    only = (Behaviour("one", 1.0, (Document("a.", 0),)),)
    assert draw(only, (), 0.0, 2, "x") == [Document("a.", 0)] * 2


def test_the_tokenizers_read_everything():
    assert set(texts()) >= {d.text for b in (*BASE, *LATE) for d in b.documents}
    assert len(texts()) == len(set(texts()))
