"""The table of findings on a terminal, at most as wide as the terminal.

Models stand side by side where they fit; a claim that is too long for the first column then has a line of its own:

    Hopping Too Late, arXiv:2406.12775  gemma2b                llama3b
      HTL-7  back-patching rescues      yes                    no
               rescue_rate              0.6 [0.42, 0.75] n 30  0.1 [0.04, 0.2] n 41
      HTL-9  back-patching leaves right answers as they are
                                        yes                    yes

and below each other where they do not:

    Hopping Too Late, arXiv:2406.12775
      HTL-7  back-patching rescues
        gemma2b  yes  rescue_rate          0.6 [0.42, 0.75] n 30
                      null_rate (control)  0.07 [0.02, 0.2] n 30
        llama3b  no   rescue_rate          0.1 [0.04, 0.2] n 41

The page is lines of parts; a *part* is a text and how the terminal marks it.
"""

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from assay.plugin.claims.table import Cell, Line, models, reasons, rests_on, to_paste
from assay.record.metric import number

Part = tuple[str, dict[str, bool]]

COLOURS = {
    "yes": {"green": True},
    "new yes": {"green": True},
    "no": {"yellow": True},
    "undecided": {"cyan": True},
    "not eligible": {},
    "not run": {},
    "": {},
}
"""The colour of a verdict; a verdict that is not here is red."""
GAP = 2
"""Blanks between two columns."""
LONGEST_VERDICT = len("NOW UNDECIDED")
LEAST = 20
"""The width of the first column when no claim rests on a metric."""


def write(terminal: Any, found: list[Line], tier: str) -> None:
    """Writes the table, and below it the reasons and the lines to paste, to pytest's terminal reporter."""
    for line in [*page(found, terminal._tw.fullwidth), *_to_paste(found, tier)]:
        for text, markup in line:
            terminal.write(text, **markup)
        terminal.write("\n")


def page(found: list[Line], width: int) -> Iterator[list[Part]]:
    """The table and the reasons, for a terminal of `width` columns."""
    columns = {model: _column(found, model) for model in models(found)}
    sources = [list(claims) for _, claims in groupby(found, key=lambda line: line.source)]
    labels = [f"{'':{_indent(s) + 2}}{label}" for s in sources for line in s for label in rests_on(line).values()]
    claims = [f"{'':{_indent(s)}}{line.claim}" for s in sources for line in s]
    natural = max(map(len, [*labels, *claims, *(line.source for line in found)])) + GAP
    left = min(natural, width - sum(columns.values()) + GAP)  # the labels must fit, the claims need not
    side_by_side = left >= min(natural, max(map(len, labels), default=LEAST) + GAP)
    for source in sources:
        yield from _beside(source, columns, left, width) if side_by_side else _below(source, width)
    for reason in reasons(found):
        yield from _wrapped(reason, "  ", "    ", width)


def _to_paste(found: list[Line], tier: str) -> Iterator[list[Part]]:
    for test, mark in to_paste(found, tier):
        yield [(f"  {test}: a first measurement that does not hold. Say why, above the test:", {})]
        yield [(f"    {mark}", {"bold": True})]  # never wrapped, since users copy it


def _indent(source: list[Line]) -> int:
    """The column where the claims of a paper begin, behind the longest id."""
    ids = max(len(" ".join(line.ids)) for line in source)
    return 2 + (ids + GAP if ids else 0)


def _column(found: list[Line], model: str) -> int:
    """Width of a model's column with the gap behind it."""
    rows = [row for line in found if model in line.cells for row in line.cells[model].measured.values()]
    return max(len(model), LONGEST_VERDICT, *(len(number(row)) for row in rows)) + GAP


# --- side by side


def _beside(source: list[Line], columns: dict[str, int], left: int, width: int) -> Iterator[list[Part]]:
    indent = _indent(source)
    heads: list[Part] = [(model, {"bold": True}) for model in columns]
    yield from _entry([(source[0].source, {"bold": True})], _cells(heads, columns), left)
    for line in source:
        cells = [line.cells.get(model, Cell("")) for model in columns]
        claim = _claim(line, indent, width)
        yield from claim[:-1]
        yield from _entry(claim[-1], _cells([(cell.verdict, _colour(cell)) for cell in cells], columns), left)
        for name, label in rests_on(line).items():
            numbers: list[Part] = [(number(cell.measured.get(name, {})), {}) for cell in cells]
            yield from _entry([(f"{'':{indent + 2}}{label}", {})], _cells(numbers, columns), left)


def _entry(first: list[Part], cells: list[Part], left: int) -> Iterator[list[Part]]:
    """A line of the table; two when `first` does not fit into its column."""
    length = sum(len(text) for text, _ in first)
    if length + GAP > left:
        yield first
        first, length = [], 0
    yield [*first, (" " * (left - length), {}), *cells] if cells else first


def _cells(parts: list[Part], columns: dict[str, int]) -> list[Part]:
    """Padded to the columns, without blanks at the end of the line."""
    while parts and not parts[-1][0]:
        parts = parts[:-1]
    padded = [(f"{text:<{width}}", markup) for (text, markup), width in zip(parts, columns.values(), strict=False)]
    return padded[:-1] + parts[-1:]


# --- below each other


def _below(source: list[Line], width: int) -> Iterator[list[Part]]:
    if source[0].source:
        yield [(source[0].source, {"bold": True})]
    for line in source:
        yield from _claim(line, _indent(source), width)
        labels = rests_on(line)
        measured = [(model, cell) for model, cell in line.cells.items() if cell.measured]
        wide = max(map(len, labels.values()), default=0) + GAP
        first = max((len(model) for model, _ in measured), default=0) + GAP
        second = max((len(cell.verdict) for _, cell in measured), default=0) + GAP
        for model, cell in measured:
            numbers = [f"{labels[name]:<{wide}}{number(row)}" for name, row in cell.measured.items()]
            verdict = f"{cell.verdict:<{second}}"
            yield [(f"    {model:<{first}}", {}), (verdict, _colour(cell)), (numbers[0], {})]
            yield from ([(f"{'':{4 + first + second}}{text}", {})] for text in numbers[1:])
        yield from _alike([(model, cell) for model, cell in line.cells.items() if not cell.measured], width)


def _alike(cells: list[tuple[str, Cell]], width: int) -> Iterator[list[Part]]:
    """One line for all models that have the same verdict and no metrics."""
    for verdict in dict.fromkeys(cell.verdict for _, cell in cells):
        those = ", ".join(model for model, cell in cells if cell.verdict == verdict)
        *others, last = _wrapped(those, "    ", "    ", width - GAP - len(verdict))
        yield from others
        yield [*last, (" " * GAP, {}), (verdict, _colour(Cell(verdict)))]


# --- both


def _claim(line: Line, indent: int, width: int) -> list[list[Part]]:
    return _wrapped(line.claim, f"{'  ' + ' '.join(line.ids):<{indent}}", " " * indent, width)


def _wrapped(text: str, first: str, rest: str, width: int) -> list[list[Part]]:
    """`text` in lines that begin with `first`, then `rest`."""
    wrapped = textwrap.wrap(text, max(width, 40), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return [[(part, {})] for part in wrapped]


def _colour(cell: Cell) -> dict[str, bool]:
    return COLOURS.get(cell.verdict, {"red": True})
