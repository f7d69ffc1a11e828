"""Parts of a query are found by text, whatever the tokenizer makes of it, and a query without one is dropped and counted."""

from dataclasses import replace

import pytest
import tiny

import assay
from assay.data.two_hop import two_hop
from assay.errors import PositionError
from assay.forward.positions import Prompt, resolve
from assay.methods.hopping_too_late.knockout import ARROW, FILLER_PAIRS
from assay.methods.hopping_too_late.parts import (
    PROMPT_PARTS,
    e1_phrase,
    ends_in_entity,
    first_hop_parts,
    locate_queries,
    part_positions,
    query_parts,
    second_hop_parts,
)
from assay.methods.portions import spread

BUILTIN = ["gemma_tiny", "llama_tiny", "qwen_tiny"]
TOWER = next(q for q in two_hop("landmark_language") if q.e1 == "the Eiffel Tower")
DALLAS = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")


def ends(text, found):
    """The text up to the end of each part; the last token is a number."""
    return {name: part.text if not isinstance(part, int) else text for name, part in found.items()}


def test_parts_of_a_phrase_that_goes_on_after_its_entity():
    assert ends(TOWER.prompt, query_parts(TOWER)) == {
        "r2": "The language spoken",
        "after_r2": "The language spoken in",
        "the": "The language spoken in the",
        "r1": "The language spoken in the country",
        "after_r1": "The language spoken in the country where",
        "e1": "The language spoken in the country where the Eiffel Tower is located",
        "last": "The language spoken in the country where the Eiffel Tower is located is",
    }
    assert ends(TOWER.first_hop, first_hop_parts(TOWER))["e1"] == "The country where the Eiffel Tower is located"
    assert ends(TOWER.first_hop, first_hop_parts(TOWER))["the"] == "The"
    assert ends(TOWER.second_hop, second_hop_parts(TOWER))["the"] == "The"
    assert ends(TOWER.second_hop, second_hop_parts(TOWER))["e2"] == "The language spoken in France"


@pytest.mark.parametrize("name", BUILTIN, ids=["gemma2", "llama", "qwen2"])
def test_queries_of_all_families_are_found_in_every_tokenizer(name):
    lm, queries = assay.load(name, doctor=False), two_hop(per_bridge=1)
    found, dropped = locate_queries(lm, queries)
    assert not dropped
    assert len({query.family for query in found}) == 15
    for query in found[::20]:
        for prompt, find in PROMPT_PARTS.items():
            text, tokens = getattr(query, prompt), lm.prompt(getattr(query, prompt))
            for part, at in part_positions(lm, text, find(query)).items():
                end = len(text) if part == "last" else len(find(query)[part].text)
                assert tokens.spans[at][0] < end <= tokens.spans[at][1], (query.id, prompt, part)


def test_t1_is_a_token_of_the_entity_except_in_the_landmark_families():
    assert ends_in_entity(DALLAS)
    assert not ends_in_entity(TOWER)
    elsewhere = {query.family for query in two_hop() if not ends_in_entity(query)}
    assert elsewhere == {"landmark_capital", "landmark_currency", "landmark_language"}


def test_the_words_after_the_relations():
    assert ends(DALLAS.prompt, query_parts(DALLAS))["after_r1"] == "The capital of the state containing"
    assert ends(DALLAS.prompt, query_parts(DALLAS))["after_r2"] == "The capital of"
    assert ends(DALLAS.first_hop, first_hop_parts(DALLAS))["after_r1"] == "The state containing"
    assert ends(DALLAS.second_hop, second_hop_parts(DALLAS))["after_r2"] == "The capital of"
    alone = replace(
        DALLAS, r1_phrase="the state", prompt="The capital of the state", r1_shortcut="The capital of the state is"
    )
    with pytest.raises(PositionError, match="no word follows 'The capital of the state'"):
        query_parts(alone)


@pytest.mark.parametrize("name", BUILTIN, ids=["gemma2", "llama", "qwen2"])
def test_no_control_of_the_knockout_is_the_first_token(name):
    """Without a BOS, as in Qwen, attention rests on the first token: it is no word without information."""
    lm = assay.load(name, doctor=False)
    for query in two_hop(per_bridge=1)[::9]:
        for prompt, find in PROMPT_PARTS.items():
            at = part_positions(lm, getattr(query, prompt), find(query))
            for pair in FILLER_PAIRS[prompt]:
                control = at.pop(pair.split(ARROW)[1])
                assert control > 0, (query.id, prompt, pair)
                assert control not in at.values(), (query.id, prompt, pair)


def test_entities_of_several_tokens_and_a_tokenizer_of_single_bytes():
    lm = tiny.lm("llama")  # 320 tokens: hardly a word is one
    found, dropped = locate_queries(lm, [DALLAS, TOWER])
    assert (len(found), dropped) == (2, [])
    at = part_positions(lm, DALLAS.prompt, query_parts(DALLAS))
    assert at["r2"] < at["the"] < at["r1"] < at["e1"] < at["last"]
    assert len(lm.prompt(DALLAS.prompt)) > 12


def test_the_phrase_is_every_token_from_the_entity_to_t1():
    lm = tiny.lm("llama")
    for query, expected in ((DALLAS, "Dallas"), (TOWER, "the Eiffel Tower is located")):
        prompt = lm.prompt(query.prompt)
        inside = resolve(e1_phrase(query), prompt).prompt
        assert lm.decode([prompt.tokens[i] for i in inside]).strip() == expected
        assert inside[-1] == part_positions(lm, query.prompt, query_parts(query))["e1"]
    again = {"e1": "capital", "r1_phrase": "the state containing capital"}
    twice = replace(DALLAS, **again, prompt="The capital of the state containing capital is")
    after = len(lm.prompt(twice.prompt)) - 1 - resolve(e1_phrase(twice), lm.prompt(twice.prompt)).prompt[-1]
    assert lm.decode(lm.prompt(twice.prompt).tokens[-after:]) == " is"


def test_a_query_whose_text_is_not_found_is_dropped_and_named():
    lm = tiny.lm("llama")
    lost = replace(DALLAS, r1_phrase="the state around Dallas")
    assert locate_queries(lm, [DALLAS, lost, TOWER]) == ([DALLAS, TOWER], [lost])
    with pytest.raises(PositionError, match="'the state around Dallas' does not occur in the prompt 'The capital of"):
        query_parts(lost)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second_hop": "The capital of Kansas is"}, "'Texas' does not occur"),
        ({"second_hop": "Its capital of Texas is"}, "does not begin"),
        ({"r1_shortcut": "The capital of a state is"}, "does not begin with 'a state'"),
        ({"prompt": "the state containing Dallas is"}, "no second relation stands before"),
    ],
)
def test_each_missing_part_is_one_clear_sentence(change, message):
    lost = replace(DALLAS, **change)
    with pytest.raises(PositionError, match=message):
        [find(lost) for find in PROMPT_PARTS.values()]
    assert locate_queries(tiny.lm("llama"), [lost]) == ([], [lost])


def test_two_parts_in_one_token_cannot_be_told_apart():
    class OneToken:
        def prompt(self, text):
            return Prompt((0,), text, ((0, len(text)),))

    assert locate_queries(OneToken(), [DALLAS]) == ([], [DALLAS])


@pytest.mark.parametrize("family", ["state_capital", "song_spouse"])
def test_a_family_that_is_removed_is_only_missing(family):
    rest = [query for query in two_hop() if query.family != family]
    assert len(rest) < len(two_hop())
    located, dropped = locate_queries(assay.load("llama_tiny4", doctor=False), rest)
    assert (len(located), dropped) == (len(rest), [])
    chosen = spread(located, 48)
    assert len(chosen) == 48
    assert family not in {query.family for query in chosen}
