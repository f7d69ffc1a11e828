"""Cross-prompt patching: the prompts with an "x", and the sweep against full forwards in plain mlx."""

from dataclasses import replace

import pytest
import tiny
from byhand import put, said, stream

from assay.data.two_hop import two_hop
from assay.errors import PositionError
from assay.methods.hopping_too_late import cross_patch as module
from assay.methods.hopping_too_late.cross_patch import cross_patch, cross_patch_prompts, from_later

DALLAS, BUFFALO = (next(q for q in two_hop("state_capital") if q.e1 == name) for name in ("Dallas", "Buffalo"))
TOWER = next(q for q in two_hop("landmark_language") if q.e1 == "the Eiffel Tower")


def test_the_prompts_of_a_query():
    assert {name: (part, prompt, x.text) for name, (part, prompt, x) in cross_patch_prompts(DALLAS).items()} == {
        "e1 to composition": (
            "e1",
            "The capital of the state containing x is",
            "The capital of the state containing x",
        ),
        "e1 to second hop": ("e1", "The capital of x is", "The capital of x"),
        "r2 to composition": ("r2", "The x of the state containing Dallas is", "The x"),
    }
    assert [prompt for _, prompt, _ in cross_patch_prompts(TOWER).values()] == [
        "The language spoken in the country where x is located is",
        "The language spoken in x is",
        "The language x in the country where the Eiffel Tower is located is",
    ]


def test_an_entity_that_is_not_in_its_phrase_is_an_error():
    with pytest.raises(PositionError, match="'Waco' in 'the state containing Dallas' does not occur"):
        cross_patch_prompts(replace(DALLAS, e1="Waco"))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_equals_a_loop_of_full_forwards(family, monkeypatch):
    """Judged by a rule on which random models differ: whether the continuation has an even number of letters."""
    lm, layers = tiny.lm(family), [0, 2]
    judged = lambda text, _: len(text) % 2 == 0  # noqa: E731
    monkeypatch.setattr(module, "answers", judged)
    found = cross_patch(lm, DALLAS, BUFFALO, layers, max_tokens=2)
    assert list(found) == [name + of for name in cross_patch_prompts(DALLAS) for of in ("", " from donor")]
    for name, (part, prompt, _) in cross_patch_prompts(DALLAS).items():
        target = lm.prompt(prompt).tokens
        x = next(i for i in range(len(target)) if lm.decode(target[1 : i + 1]).endswith(" x"))
        for query, suffix in ((DALLAS, ""), (BUFFALO, " from donor")):
            source = lm.prompt(query.prompt).tokens
            end = query.prompt.index(query.r1_phrase) + len(query.r1_phrase) if part == "e1" else len("The capital")
            at = next(i for i in range(len(source)) if len(lm.decode(source[1 : i + 1])) == end)
            own = stream(lm.model, source, at)
            for row, column in ((0, 1), (1, 0)):
                change = put(x, own[layers[row]], layers[column])
                texts = [said(lm, target, n, change) for n in (1, 2)]  # a sweep stops as soon as one is right
                expected = any(judged(text, None) for text in texts)
                assert found[name + suffix][row][column] == expected, (name, suffix, row, column)


def test_a_second_donor_in_the_place_of_the_query(monkeypatch):
    lm = tiny.lm("llama")
    monkeypatch.setattr(module, "answers", lambda text, _: sum(map(ord, text)) % 3 == 0)
    found = cross_patch(lm, DALLAS, BUFFALO, range(3), own=BUFFALO, max_tokens=2)
    own = cross_patch(lm, DALLAS, BUFFALO, range(3), max_tokens=2)
    for name in cross_patch_prompts(DALLAS):
        assert found[name] == found[f"{name} from donor"] == own[f"{name} from donor"]
    assert any(found[name] != own[name] for name in cross_patch_prompts(DALLAS))


def test_patches_from_a_later_into_an_earlier_layer():
    assert from_later([[True] * 3] * 3) == [[False, False, False], [True, False, False], [True, True, False]]
    assert not any(map(any, from_later([[False] * 3] * 3)))
