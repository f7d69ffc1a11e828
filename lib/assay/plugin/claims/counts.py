"""Counts at the end of a run: how many verdicts of each word, and how many yes are to be expected by chance.

    84 verdicts: 61 yes, 9 no, 8 undecided, 6 not eligible
    74 rest on intervals: if no claim were true, at most 1.9 of them would be a yes by chance; so of 57 yes at most 3% are false

`by_chance` of assay.record.judgement says how. Identities are not counted: chance does not make them true.
"""

from collections import Counter

from assay.plugin.claims.marks import NO_NULL
from assay.plugin.claims.table import Cell, Line
from assay.record.judgement import by_chance

ORDER = ("yes", "new yes", "no", "new no", "undecided", "not eligible")
NOT_COUNTED = ("not run", "ERROR")
NULL_LIMIT = 0.05
"""In the null world at most this share of the claims may be a yes."""


def lines(found: list[Line]) -> list[str]:
    """The two lines; [] where nothing was judged."""
    cells = _cells(found)
    words = Counter(cell.verdict for cell in cells)
    judged = {word: n for word, n in words.items() if word not in NOT_COUNTED}
    if not judged:
        return []
    known = [word for word in ORDER if word in judged] + sorted(judged.keys() - set(ORDER))
    text = [f"{sum(judged.values())} verdicts: " + ", ".join(f"{judged[word]} {word}" for word in known)]
    resting = [cell for cell in cells if cell.rests == "intervals"]
    if chance := by_chance(len(resting), sum("yes" in cell.verdict.lower() for cell in resting)):
        text.append(chance)
    if bare := sum(cell.rests == "assertion" for cell in cells):
        text.append(f"{bare} rest on a bare assertion: no interval and no control says how sure they are")
    return text


def of_null_world(found: list[Line]) -> list[str]:
    """What a run with `--null` found: how many claims say yes though nothing is there, and which; which have no null world."""
    claims = _in_null_world(found)
    words = Counter(cell.verdict for cell in claims.values())
    text = [
        f"null world: {len(claims)} claims: "
        + ", ".join(f"{words[word]} {word}" for word in ("yes", "no", "undecided"))
    ]
    if claims:
        text[0] += f"; {words['yes'] / len(claims):.1%} yes, and {NULL_LIMIT:.0%} are the most"
    text += [f"  yes by chance: {claim}" for claim, cell in claims.items() if cell.verdict == "yes"]
    if identities := sum(cell.rests == "identity" for cell in _cells(found)):
        text.append(f"  not counted: {identities} identities")
    without = dict.fromkeys(line.claim for line in found for cell in line.cells.values() if cell.why == NO_NULL)
    return text + [f"  has no null world: {claim}" for claim in without]


def too_many_by_chance(found: list[Line]) -> bool:
    """Do more claims than `NULL_LIMIT` hold in the null world?"""
    claims = _in_null_world(found)
    return sum(cell.verdict == "yes" for cell in claims.values()) > NULL_LIMIT * len(claims)


def _in_null_world(found: list[Line]) -> dict[str, Cell]:
    return {
        f"{line.claim} ({line.test}) on {model}": cell
        for line in found
        for model, cell in line.cells.items()
        if cell.rests != "identity" and cell.verdict in ("yes", "no", "undecided")
    }


def _cells(found: list[Line]) -> list[Cell]:
    return [cell for line in found for cell in line.cells.values()]
