"""The two-hop queries: what the file may hold, what the prompts look like, and how queries are chosen."""

import json
import subprocess
import sys
from collections import Counter

import pytest
from breaking import GONE, broken, complains

from assay.data import two_hop as module
from assay.data.two_hop import STANDARD, answers, half_of, load, standard, two_hop
from assay.errors import DataError

EVERY = two_hop()
FAMILIES = list(dict.fromkeys(query.family for query in EVERY))
BY_PROMPT = {query.prompt: query for query in EVERY}


@pytest.mark.parametrize(
    ("prompt", "bridge", "answer"),
    [
        ("The capital of the state containing Dallas is", "Texas", "Austin"),
        ("The spouse of the performer of Imagine is", "John Lennon", "Yoko Ono"),
        ("The currency of the country where the Eiffel Tower is located is", "France", "Euro"),
        ("The language spoken in the country that hosts Oktoberfest is", "Germany", "German"),
    ],
)
def test_the_standard_prompts_are_verbatim(prompt, bridge, answer):
    assert (BY_PROMPT[prompt].e2, BY_PROMPT[prompt].e3) == (bridge, answer)


def test_the_prompts_of_one_query():
    query = BY_PROMPT["The capital of the state containing Dallas is"]
    assert query.id == "state_capital/Dallas"
    assert query.first_hop == "The state containing Dallas is"
    assert query.second_hop == "The capital of Texas is"
    assert query.e1_shortcut == "The capital of Dallas is"
    assert query.r1_shortcut == "The capital of the state is"
    assert query.t1_text == query.r1_phrase == "the state containing Dallas"


def test_a_bridge_takes_its_article_in_a_prompt_and_not_in_its_name():
    query = BY_PROMPT["The currency of the country containing Rotterdam is"]
    assert query.e2 == "Netherlands"
    assert query.second_hop == "The currency of the Netherlands is"


@pytest.mark.parametrize("query", [BY_PROMPT["The spouse of the performer of Imagine is"]])
def test_aliases_begin_with_the_label(query):
    assert query.e2_aliases == ("John Lennon", "Lennon")
    assert query.e3_aliases == ("Yoko Ono", "Ono")


def test_no_prompt_gives_its_bridge_or_answer_away():
    leaks = [query.id for query in EVERY if leaks_any(query)]
    assert leaks == []


def leaks_any(query):
    """Even as a part of a word."""
    return any(alias.lower() in query.prompt.lower() for alias in query.e2_aliases + query.e3_aliases)


def test_bridge_and_answer_are_told_apart():
    """A text that names one of them must not count as the other; a language may be named after its country."""
    mixed = [
        query.id
        for query in EVERY
        if not query.family.endswith("_language")
        if answers(query.e2, query.e3_aliases) or answers(query.e3, query.e2_aliases)
    ]
    assert mixed == []


def test_no_bridge_is_an_answer():
    assert [query.id for query in EVERY if answers(query.e2, query.e3_aliases)] == []


def test_names_are_long_enough_and_not_listed_twice():
    for query in EVERY:
        for aliases in (query.e2_aliases, query.e3_aliases):
            assert min(map(len, aliases)) >= 3, query.id
            assert len(set(aliases)) == len(aliases), query.id


def test_prompts_have_no_stray_spaces_or_braces():
    fields = ("prompt", "first_hop", "second_hop", "e1_shortcut", "r1_shortcut")
    for query in EVERY:
        for text in (getattr(query, field) for field in fields):
            assert text == " ".join(text.split()), query.id
            assert text[0].isupper() or text[0].isdigit(), query.id
            assert text.endswith(" is"), query.id
            assert "{" not in text, query.id


def test_t1_text_is_found_once_in_the_prompt():
    assert [query.id for query in EVERY if query.prompt.count(query.t1_text) != 1] == []


def test_ids_and_prompts_are_unique():
    assert len({query.id for query in EVERY}) == len(EVERY)
    assert len(BY_PROMPT) == len(EVERY)


def test_there_are_enough_queries_in_every_family():
    counts = Counter(query.family for query in EVERY)
    assert len(EVERY) >= 600
    assert min(counts.values()) >= 20, counts


def test_bridges_are_shared_and_many():
    bridges = {query.e2 for query in EVERY}
    assert len(bridges) >= 200
    countries = Counter(query.e2 for query in EVERY if query.family == "landmark_capital")
    assert len(countries) >= 35
    assert min(countries.values()) >= 2, countries


def test_both_halves_of_the_split_have_queries_of_every_family():
    for family in FAMILIES:
        halves = Counter(half_of(query) for query in EVERY if query.family == family)
        assert min(halves["select"], halves["report"]) >= sum(halves.values()) // 3, (family, halves)


def test_the_split_goes_by_bridge():
    halves = {(query.e2, half_of(query)) for query in EVERY}
    assert len(halves) == len({query.e2 for query in EVERY})


def test_the_choice_is_the_same_in_every_process():
    program = "from assay.data.two_hop import *; print([(q.id, half_of(q)) for q in two_hop(limit=40, seed=3)])"
    here = [(query.id, half_of(query)) for query in two_hop(limit=40, seed=3)]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == str(here)


def test_the_seed_decides_which_queries_are_kept():
    assert two_hop(limit=40, seed=0) == two_hop(limit=40)
    assert two_hop(limit=40, seed=0) != two_hop(limit=40, seed=1)
    assert two_hop(seed=1) == EVERY


def test_a_limit_takes_equally_many_from_every_family():
    limit = 3 * len(FAMILIES) + 2
    counts = Counter(query.family for query in two_hop(limit=limit))
    assert sum(counts.values()) == limit
    assert set(counts) == set(FAMILIES)
    assert set(counts.values()) == {3, 4}


def test_a_limit_goes_on_when_a_family_runs_out():
    small = two_hop("song_spouse")
    kept = two_hop(["song_spouse", "state_capital"], limit=2 * len(small) + 20)
    assert Counter(query.family for query in kept) == {"song_spouse": len(small), "state_capital": len(small) + 20}


def test_a_limit_above_the_whole_keeps_everything():
    assert two_hop(limit=10**6) == EVERY


def test_a_limit_takes_as_many_bridges_as_it_can():
    assert len({query.e2 for query in two_hop("state_capital", limit=46)}) == 46


def test_a_cap_per_bridge_holds_within_a_family():
    kept = two_hop(per_bridge=1)
    assert max(Counter((query.family, query.e2) for query in kept).values()) == 1
    assert {(query.family, query.e2) for query in kept} == {(query.family, query.e2) for query in EVERY}


def test_families_are_chosen_by_name_in_the_order_of_the_file():
    assert two_hop("city_language") == [query for query in EVERY if query.family == "city_language"]
    both = ["city_language", "state_capital"]
    assert two_hop(both) == [query for query in EVERY if query.family in both]


def test_an_unknown_family_is_answered_with_the_nearest():
    with pytest.raises(DataError, match=r"unknown query family 'state_capitol'. Did you mean state_capital") as error:
        two_hop(["state_capital", "state_capitol"])
    assert "product_founder" in str(error.value)


@pytest.mark.parametrize("cap", [{"limit": 0}, {"per_bridge": 0}, {"limit": -3}])
def test_a_cap_that_keeps_nothing_is_an_error(cap):
    with pytest.raises(DataError, match="keeps no query"):
        two_hop(**cap)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (" Austin, Texas", True),
        (" AUSTIN", True),
        ("two Austins", True),
        ("It is Saint-Austinville", False),  # a substring of a word, which the paper would take
        ("Austinite", False),
        (" Houston", False),
        ("", False),
    ],
)
def test_an_answer_is_whole_words_whatever_the_case(text, right):
    assert answers(text, ("Austin",)) is right


def test_any_alias_answers():
    assert answers("her name is ono", ("Yoko Ono", "Ono"))
    assert not answers("Austin", ())


FACTS = {  # a small sound file, to be broken in one place
    "relations": {
        "state_of_city": {"phrase": "the state containing {}", "bare": "the state", "facts": {"Dallas": "Texas"}},
        "capital_of_state": {"phrase": "the capital of {}", "bare": "the capital", "facts": {"Texas": "Austin"}},
    },
    "families": {"state_capital": {"first": "state_of_city", "second": "capital_of_state"}},
    "takes_the": [],
    "aliases": {"Texas": ["Lone Star State"]},
}


def test_a_sound_file_loads(tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    assert load(tmp_path / "facts.json") == FACTS


def test_what_is_wrong_with_a_file_is_said_by_its_loader(tmp_path):
    (tmp_path / "facts.json").write_text("[]")
    with pytest.raises(DataError, match=r"facts\.json: needs the tables"):
        load(tmp_path / "facts.json")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("relations", GONE, "needs the tables"),
        ("takes_the", {}, "needs the tables"),
        ("relations.state_of_city", "Texas", "relation 'state_of_city' needs"),
        ("relations.state_of_city.bare", GONE, "relation 'state_of_city' needs"),
        ("relations.state_of_city.phrase", "the state", "relation 'state_of_city' needs a phrase with one {}"),
        ("relations.state_of_city.facts.Dallas", 7, "a fact that is not a text"),
        ("relations.state_of_city.facts.Dallas", "Texsa", "'Dallas' of 'state_of_city' leads to 'Texsa'"),
        ("relations.state_of_city.facts", {}, "family 'state_capital' has no query"),
        ("relations.capital_of_state.facts.Texas", "TX", "'TX', too short"),
        ("relations.capital_of_state.facts.Texas", "dallas", "gives 'dallas' away"),
        ("families.state_capital", {"first": "state_of_city"}, "needs a first and a second relation"),
        ("families.state_capital.second", "capital_of_stat", "Did you mean capital_of_state"),
        ("aliases.Texas", "Lone Star State", "the aliases of 'Texas' are not a list"),
        ("aliases.Texas", ["TX"], "'TX', too short"),
        ("aliases.Texas", ["containing"], "gives 'containing' away"),
        ("aliases.Texsa", [], "did you mean Texas?"),
        ("takes_the", [["Texas"]], "which is in no fact"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(FACTS, path, value), module._check, tmp_path, says)


@pytest.mark.parametrize("content", [[], None, "text"])
def test_a_file_that_is_json_of_another_shape(tmp_path, content):
    complains(content, module._check, tmp_path, "needs the tables")


def test_the_standard_queries_are_all_there():
    assert sorted(query.prompt for query in standard()) == sorted(STANDARD)
