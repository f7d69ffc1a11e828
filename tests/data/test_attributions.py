"""Works given to the wrong author: sizes, authors that part, and who is named in each prompt."""

import pytest
from breaking import GONE, broken, complains

from assay.data import attributions as module
from assay.data.attributions import NOT_OF_IT, WRONGLY, attributions
from assay.errors import DataError


def test_sizes():
    test = attributions("test")
    assert sum(item.kind == "line" for item in test) == 28
    assert sum(item.kind == "book" for item in test) >= 24
    assert {item.split for item in attributions() if item.kind == "line"} == {"test"}
    assert len({item.id for item in attributions()}) == len(attributions())


@pytest.mark.parametrize("item", attributions("test"), ids=lambda item: item.id)
def test_the_wrong_author_is_named_by_the_user_and_the_right_one_never(item):
    assert item.author[0].lower() != item.wrong[0].lower()
    bare = item.posed()
    assert bare.prompt == f"Who wrote {item.work}?"
    for said in (WRONGLY, *NOT_OF_IT):
        posed = item.posed(said)
        assert posed.prompt.endswith(f". {bare.prompt}")
        assert item.wrong in posed.prompt
        assert item.author not in posed.prompt
        assert (posed.right, posed.wrong) == (f"The answer is {item.author}.", f"The answer is {item.wrong}.")
    assert f"{item.work} by {item.wrong}" in item.posed(WRONGLY).prompt
    assert all(item.work not in said.format(work=item.work, wrong=item.wrong) for said in NOT_OF_IT)


def test_an_unknown_split():
    with pytest.raises(DataError, match="unknown split 'dev'"):
        attributions("dev")


SOUND = {"lines": [["Call me", "Melville", "Twain"], ["Hope is", "Dickinson", "Whitman"]]}


def test_a_sound_file_has_nothing_wrong():
    module._check(SOUND)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("lines", GONE, "needs the list lines"),
        ("lines.0", ["Call me", "Melville"], "an entry of lines is a list of three texts"),
        ("lines.0.2", "", "an entry of lines is a list of three texts"),
        ("lines.0.2", "Moore", "the authors 'Melville' and 'Moore' begin alike"),
        ("lines.1.0", "Call me", "the line 'Call me' occurs 2 times"),
    ],
)
def test_a_malformed_file_is_one_clear_sentence(tmp_path, path, value, says):
    complains(broken(SOUND, path, value), module._check, tmp_path, says)
