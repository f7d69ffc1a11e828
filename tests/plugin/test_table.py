"""The table of findings in terminals of any width, and the order of its lines."""

import itertools

import pytest
from repositories import RESCUE

from assay.plugin.claims.table import Cell, Line, lines
from assay.plugin.claims.terminal import page

MODELS = ("gemma_tiny", "llama_tiny", "qwen_tiny")
RATE = {"value": 0.8, "n": 16, "ci": [0.64, 0.97], "control": "any_pair_donor"}
DONOR = {"value": 0.125, "n": 16, "ci": [0.035, 0.36]}


def line(claim="patching rescues", ids=("HTL-7",), paper="Hopping Too Late", verdicts=("yes", "no", "LOST"), **cell):
    cell.setdefault("measured", {"any_pair_back": RATE, "any_pair_donor": DONOR})
    cells = {model: Cell(verdict, **cell) for model, verdict in zip(MODELS, verdicts, strict=True)}
    return Line("test_x", claim, paper, "arXiv:2406.12775" if paper else "", list(ids), None, cells)


def shown(found, width):
    return ["".join(text for text, _ in parts) for parts in page(found, width)]


LONG = "back-patching of a late bridge at t1 rescues what fails, and the controls do not"


def columns(left, *rows):
    """Rows of a first column and three others; the numbers above are 24 wide, and two blanks follow."""
    return [f"{first:<{left}}" + "".join(f"{cell:<26}" for cell in cells).rstrip() for first, *cells in rows]


def test_wide():
    assert shown([line(), line(LONG, ids=["HTL-8"], measured={})], 190) == columns(
        11 + len(LONG),
        ["Hopping Too Late, arXiv:2406.12775", *MODELS],
        ["  HTL-7  patching rescues", "yes", "no", "LOST"],
        ["           any_pair_back", *["0.8 [0.64, 0.97] n 16"] * 3],
        ["           any_pair_donor (control)", *["0.125 [0.035, 0.36] n 16"] * 3],
        [f"  HTL-8  {LONG}", "yes", "no", "LOST"],
    )


def test_a_claim_that_is_too_long_has_a_line_of_its_own():
    assert shown([line(LONG, ids=["HTL-8"])], 120) == columns(
        44,
        ["Hopping Too Late, arXiv:2406.12775", *MODELS],
        [f"  HTL-8  {LONG}", "", "", ""],
        ["", "yes", "no", "LOST"],
        ["           any_pair_back", *["0.8 [0.64, 0.97] n 16"] * 3],
        ["           any_pair_donor (control)", *["0.125 [0.035, 0.36] n 16"] * 3],
    )


def test_models_below_each_other():
    assert shown([line(LONG), line(measured={}, verdicts=["not run", "yes", "not run"])], 80) == [
        "Hopping Too Late, arXiv:2406.12775",
        "  HTL-7  back-patching of a late bridge at t1 rescues what fails, and the",
        "         controls do not",
        "    gemma_tiny  yes   any_pair_back             0.8 [0.64, 0.97] n 16",
        "                      any_pair_donor (control)  0.125 [0.035, 0.36] n 16",
        "    llama_tiny  no    any_pair_back             0.8 [0.64, 0.97] n 16",
        "                      any_pair_donor (control)  0.125 [0.035, 0.36] n 16",
        "    qwen_tiny   LOST  any_pair_back             0.8 [0.64, 0.97] n 16",
        "                      any_pair_donor (control)  0.125 [0.035, 0.36] n 16",
        "  HTL-7  patching rescues",
        "    gemma_tiny, qwen_tiny  not run",
        "    llama_tiny  yes",
    ]


def test_no_terminal_is_too_narrow_and_nothing_is_left_out():
    found = [line(), line(LONG, ids=(), why="a reason " * 20), line(paper="", measured={}), line(ids=("FV-1", "FV-2"))]
    for width in range(72, 200):
        text = shown(found, width)
        assert max(map(len, text)) <= width
        assert not any(row.endswith(" ") for row in text)
        assert sum(row.count(" LOST") for row in text) == 4
        assert sum(row.count("0.8 [0.64, 0.97] n 16") for row in text) == 9
        assert sum(row.count("0.125 [0.035, 0.36] n 16") for row in text) == 9


def test_verdicts_are_coloured_as_they_are():
    found = [line(verdicts=["yes", "NOW YES", "not eligible"], measured={})]
    for width in (190, 60):
        marks = {text.strip(): markup for parts in page(found, width) for text, markup in parts}
        assert marks["yes"] == {"green": True}
        assert marks["NOW YES"] == {"red": True}
        assert marks["not eligible"] == {}


def test_claims_and_models_with_one_reason_share_a_line():
    def why(*reasons, ids):
        made = line(ids=ids, verdicts=["not run"] * 3, measured={})
        for cell, reason in zip(made.cells.values(), reasons, strict=True):
            cell.why = reason
        return made

    found = [
        why("not recorded", "", "not recorded", ids=["HTL-1"]),
        why("not recorded", "", "not recorded", ids=["HTL-1"]),
        why("not recorded", "not eligible: 0 of 8", "not recorded", ids=["HTL-2"]),
        why("not recorded", "not recorded", "not recorded", ids=()),
    ]
    assert shown(found, 190)[-3:] == [
        "  HTL-1, HTL-2 on gemma_tiny, qwen_tiny: not recorded",
        "  HTL-2 on llama_tiny: 0 of 8",
        "  patching rescues on gemma_tiny, llama_tiny, qwen_tiny: not recorded",
    ]


def finding(test, paper, ref="", ids=()):
    about = {"test": test, "model": "m", "claim": test, "paper": paper, "ref": ref, "ids": list(ids), "control": None}
    about["experiments"] = []
    return {"model": "m", "finding": about}


PLAN = {
    "a": finding("a", "Two", ids=["FV-2"]),
    "b": finding("b", "One", "part 2", ids=["HTL-10"]),
    "c": finding("c", "Two"),
    "d": finding("d", "One", "part 1", ids=["HTL-9"]),
    "e": finding("e", "Two", ids=["FV-1"]),
    "f": finding("f", "One", "part 2", ids=["HTL-2", "HTL-99"]),
    "g": finding("g", ""),
    "h": finding("h", "One", "part 1", ids=["HTL-9"]),
    "i": {"model": "m", "finding": None},
}


def test_papers_stay_together_and_experiments_are_in_the_order_of_their_numbers():
    found = lines(PLAN, {})
    assert [line.test for line in found] == ["e", "a", "c", "f", "b", "d", "h", "g"]
    heads = [source for source, _ in itertools.groupby(found, key=lambda line: line.source)]
    assert heads == ["Two", "One, part 2", "One, part 1", ""]


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        ("200", "Hopping Too Late, arXiv:2406.12775  toy_a  *toy_b", "  HTL-7  patching rescues * yes * yes"),
        ("64", "Hopping Too Late, arXiv:2406.12775", "    toy_b  new yes  rate            0.8 [[]0.63, 0.9[]] n 30"),
    ],
)
def test_a_run_asks_its_terminal(repo, run, monkeypatch, columns, first, second):
    monkeypatch.setenv("COLUMNS", columns)
    repo.suite(test_rescue=RESCUE)
    run().stdout.fnmatch_lines(["*findings (tier quick)*", first, second])
