"""Entity description: how descriptions are judged, first layers, target layers that compute, and the choice of a scope."""

from types import SimpleNamespace

import kinds
import mlx.core as mx
import numpy as np
import pytest
import tiny
from byhand import put, said, stream

from assay.data.two_hop import half_of, two_hop
from assay.errors import PromptError
from assay.methods.distributions import token_ranks
from assay.methods.hopping_too_late import description
from assay.methods.hopping_too_late.backpatch import noise_like, query_rng
from assay.methods.hopping_too_late.description import (
    choose_scope,
    classify_description,
    describe_named_bridge,
    describe_states,
    first_source_layer,
    reading_targets,
    reading_targets_by_other_half,
    where_described,
)
from assay.methods.hopping_too_late.names import (
    entity_names,
    first_name_tokens,
    foreign_tokens,
    other_queries,
    other_query,
    telling_tokens,
)
from assay.methods.hopping_too_late.patchscopes import APPOSITION, Scope

DALLAS = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
ENTITIES = {"e1": ("Imagine",), "e2": ("John Lennon", "Lennon"), "e3": ("Yoko Ono",)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        (": John Lennon was", "e2"),
        (": john lennon, a", "e2"),
        ("x: Lennon.", "e2"),
        (": Yoko Ono: Yoko", "e3"),
        (" Yoko Ono: an artist", "e3"),
        (": Imagine is by : Lennon ", "e1"),  # the first entity in the order e1, e2, e3 counts
        (": Yoko Ono and : Lennon ", "e2"),
        ("John Lennon", "other"),  # not in the form of a description
        (" John Lennon.", "other"),
        (": John Lennon", "other"),  # cut off before the description says more
        (": Lennons and", "other"),
        ("", "other"),
    ],
)
def test_classification_of_the_published_code(text, entity):
    assert classify_description(text, ENTITIES) == entity


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_describes_t1_t2_and_noise_as_full_forwards_do(family):
    lm, scope = tiny.lm(family), Scope("abc x:")
    found = describe_states(lm, DALLAS, scope, [0, 2], max_tokens=3)
    prompt, target = lm.prompt(DALLAS.prompt).tokens, lm.prompt(scope.prompt).tokens
    t1 = next(i for i in range(len(prompt)) if lm.decode(prompt[1 : i + 1]).endswith("Dallas"))
    own = {"t1": stream(lm.model, prompt, t1), "t2": stream(lm.model, prompt, -1)}
    own["noise"] = list(noise_like(mx.stack(own["t1"]), query_rng(DALLAS)))
    for place, states in own.items():
        for source, state in enumerate(states):
            for column, layer in enumerate([0, 2]):
                text = ":" + said(lm, target, 3, put(len(target) - 2, state, layer))
                assert found[place][source][column] == [text], (place, source, layer)


def test_the_control_takes_the_bridge_where_the_second_hop_names_it():
    lm, scope = tiny.lm("llama"), Scope("abc x:")
    prompt, target = lm.prompt(DALLAS.second_hop).tokens, lm.prompt(scope.prompt).tokens
    at = next(i for i in range(len(prompt)) if lm.decode(prompt[1 : i + 1]).endswith("Texas"))
    own = stream(lm.model, prompt, at)
    found = describe_named_bridge(lm, DALLAS, scope, [0, 2], max_tokens=3)
    assert found[1][0] == [":" + said(lm, target, 3, put(len(target) - 2, own[2], 0))]


def test_decoded_is_any_sample_of_the_right_entity():
    texts = [[[": Texas.", ": Ohio."], [": Ohio.", ""]], [[": Austin.", ""], ["", ": texas,"]]]
    assert where_described(texts, DALLAS, "e2").tolist() == [[True, False], [False, True]]
    assert where_described(texts, DALLAS, "e3").tolist() == [[False, False], [True, False]]
    ohio = SimpleNamespace(e1="Toledo", e2_aliases=("Ohio",), e3_aliases=("Columbus",))
    assert where_described(texts, DALLAS, "e2", whose=ohio).tolist() == [[True, True], [False, False]]


def test_first_source_over_all_or_some_targets():
    held = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], bool)
    assert first_source_layer(held) == 1
    assert first_source_layer(held, [1, 2]) == 2
    assert first_source_layer(held, [1]) is None


def test_target_layers_that_compute_are_left_out():
    reads, computes, silent = [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]
    mixed = [0, 1, 1, 1]
    one = np.array([computes, reads, silent, mixed], bool).T  # [sources, targets]
    assert reading_targets([one, one]) == [1, 3]
    assert reading_targets([one[:, [0, 2]]]) == []  # nothing is left to read with


def test_targets_are_chosen_on_the_other_half_of_the_bridges():
    queries = two_hop(per_bridge=1)
    chosen = [next(q for q in queries if half_of(q) == half) for half in ("select", "report")]
    first, second = np.array([[0, 1], [1, 1]], bool), np.array([[1, 0], [1, 1]], bool)
    assert reading_targets_by_other_half(chosen, [first, second]) == [[1], [0]]
    assert reading_targets_by_other_half(chosen[:1], [first]) == [[]]  # no other half to choose on


def test_the_scope_that_names_most_on_the_select_half_is_chosen(monkeypatch):
    queries = two_hop(per_bridge=1, limit=30)
    select = [q.id for q in queries if half_of(q) == "select"]
    names_ = {"first": set(select[:2]), "second": set(select[:3]), "third": {q.id for q in queries} - set(select)}

    def told(lm, query, scope, layers):
        return [[[f": {query.e2}." if query.id in names_[scope.prompt] else ": nobody."]]]

    monkeypatch.setattr(description, "describe_named_bridge", told)
    found = choose_scope(tiny.lm("llama"), queries, {n: Scope(n) for n in names_}, range(3), donors=two_hop())
    assert found.name == "second"
    assert sum(found.named["second"]["select"]) == 3
    assert len(found.named["second"]["report"]) == len(queries) - len(select)
    assert not any(found.named["second"]["report"])
    assert found.named["third"] == {"select": [False] * len(select), "report": []}
    assert found.bridges == [q.e2 for q in queries if half_of(q) == "report"]
    draws = found.chance["second"]["select"]
    assert len(draws) == len(select)
    assert {len(of_query) for of_query in draws} == {description.CHANCES}
    assert not any(map(any, draws))


def test_first_tokens_of_all_ways_to_write_a_name():
    lm = tiny.lm("llama")  # almost single bytes: a first token is a letter, and names nothing
    assert first_name_tokens(lm, ["Texas"]) == []

    class Words:
        def __init__(self):
            self.seen = {}

        def token(self, text):
            return self.seen.setdefault(text.split(" ")[-1 if text.startswith(" ") else 0], len(self.seen))

        def decode(self, tokens):
            return list(self.seen)[tokens[0]]

    words = Words()
    assert [words.decode([t]) for t in first_name_tokens(words, ["Texas", "TX", "T"])] == ["Texas", "texas", "TX", "tx"]


class Pieces:
    """A tokenizer that splits what it knows into the listed pieces, and anything else into words."""

    def __init__(self, **pieces):
        self.pieces, self.known = pieces, []

    def token(self, text):
        space, word = (" ", text[1:].split(" ")[0]) if text.startswith(" ") else ("", text.split(" ")[0])
        piece = space + self.pieces.get(word, word)
        if piece not in self.known:
            self.known.append(piece)
        return self.known.index(piece)

    def decode(self, tokens):
        return self.known[tokens[0]]

    def said(self, tokens):
        return [self.decode([token]) for token in tokens]


def test_articles_and_function_words_name_nothing():
    lm = Pieces(india="in", India="India")
    assert lm.said(first_name_tokens(lm, ["the UK", "Britain"])) == [
        " UK", "UK", " uk", "uk", " Britain", "Britain", " britain", "britain",
    ]  # fmt: skip
    assert lm.said(first_name_tokens(lm, ["The Weeknd"])) == [" Weeknd", "Weeknd", " weeknd", "weeknd"]
    assert lm.said(first_name_tokens(lm, ["India"])) == [" India", "India"]  # " in" begins anything
    assert lm.said(first_name_tokens(lm, ["the"])) == []
    assert lm.said(first_name_tokens(lm, ["Theodore"])) == [" Theodore", "Theodore", " theodore", "theodore"]


def test_a_token_that_begins_both_names_tells_neither():
    lm = Pieces()
    spain = next(q for q in two_hop("city_language") if q.e2 == "Spain")
    found = {name: lm.said(tokens) for name, tokens in telling_tokens(lm, spain).items()}
    assert found == {"e2": [" Spain", "Spain", " spain", "spain"], "e3": [" Spanish", "Spanish", " spanish", "spanish"]}
    split = Pieces(Spain="Spa", Spanish="Spa")
    found = {name: split.said(tokens) for name, tokens in telling_tokens(split, spain).items()}
    assert found == {"e2": [" spain", "spain"], "e3": [" spanish", "spanish"]}


def test_the_names_of_another_query_lose_those_of_the_query():
    lm = Pieces(Spain="Spa", Spanish="Spa")
    spain, other = (next(q for q in two_hop("city_language") if q.e2 == name) for name in ("Spain", "Italy"))
    found = {name: lm.said(tokens) for name, tokens in foreign_tokens(lm, spain, other).items()}
    assert found == {"e2": [" Italy", "Italy", " italy", "italy"], "e3": [" Italian", "Italian", " italian", "italian"]}
    assert foreign_tokens(lm, spain, spain) == {"e2": [], "e3": []}


def test_first_tokens_of_names_under_a_prefix_space():
    lm = kinds.lm("prepend")
    assert lm._hf.encode(" Paris", add_special_tokens=False)[0] == lm._hf.encode(" Rome", add_special_tokens=False)[0]
    for name in ("Paris", "Rome", "Italy"):
        found = [lm.decode([token]) for token in first_name_tokens(lm, [name])]
        assert found[0] == f" {name}"
        assert all(f" {name.lower()}".startswith((text.lower(), f" {text.lower()}")) for text in found)


def test_names_and_the_rank_of_the_likeliest():
    assert entity_names(DALLAS) == {"e1": ("Dallas",), "e2": ("Texas",), "e3": ("Austin",)}
    logits = np.array([[0.0, 3.0, 2.0, 1.0], [5.0, 1.0, 1.0, 1.0]])
    assert token_ranks(logits, [2, 3]).tolist() == [1, 1]
    assert token_ranks(logits, [0]).tolist() == [3, 0]


def test_the_third_scope_puts_an_entity_beside_what_it_is_known_for():
    assert (APPOSITION.prompt, APPOSITION.tail) == ("This is about x:", ":")


def test_the_other_query_is_of_the_same_family_and_has_other_answers():
    queries = two_hop(limit=60, per_bridge=2)
    for query in queries[::5]:
        other = other_query(query, queries)
        assert (other.family, other.e2 != query.e2, other.e3 != query.e3) == (query.family, True, True)
        assert other_query(query, queries) == other
    abroad = [q for q in queries if q.family != DALLAS.family]
    assert other_query(DALLAS, abroad).family != DALLAS.family
    with pytest.raises(PromptError, match="no donor for"):
        other_query(DALLAS, [DALLAS])


def test_several_other_queries_have_names_of_their_own_and_come_from_the_family_first():
    queries = two_hop(limit=120, per_bridge=4)
    for query in queries[::7]:
        others = other_queries(query, queries, 3)
        assert others == other_queries(query, queries, 3)
        assert others[0] == other_query(query, queries)
        for entity in ("e2", "e3"):
            assert len({getattr(q, entity) for q in (query, *others)}) == 4
        alike = [other.family == query.family for other in others]
        assert alike == sorted(alike, reverse=True)
    few = [q for q in two_hop("state_capital") if q.e2 in ("Texas", "Ohio")]
    assert [other.e2 for other in other_queries(DALLAS, few, 3)] == ["Ohio"]
