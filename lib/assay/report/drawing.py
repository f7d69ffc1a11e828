"""Draws all pictures of a study, on all cores, and only those that changed.

    drawn, cells = draw_all(study, Path("report/figures"))
    drawn["backpatch_t1"][0]           # (picture, path of its SVG)

A picture is drawn again when its numbers, the code that draws it, or matplotlib's version changed: `figures/drawn.json` holds a
digest of each, and where the panels lie in it.
"""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from assay.machine import cores
from assay.record import files
from assay.report import figures
from assay.report.figures import heatmap, pictures
from assay.report.figures.picture import CONTROL, Picture
from assay.report.figures.sheet import boxes, draw, save
from assay.report.library import library
from assay.report.study import Study

FEW = 8
"""So many pictures are drawn in this process: others take longer to start."""
Drawn = dict[str, list[tuple[Picture, Path]]]


def draw_all(study: Study, folder: Path) -> tuple[Drawn, dict[str, Any]]:
    """The pictures of each experiment with their SVG files, and by the stem of each heatmap what lies where (for `page.js`)."""
    planned = {one.name: pictures(one.recorded, one.title) for one in study.experiments}
    known, code = _read(folder / "drawn.json"), _code()
    digests = {picture.stem: _digest(picture, code) for found in planned.values() for picture in found}
    todo = [
        picture
        for found in planned.values()
        for picture in found
        if known.get(picture.stem, {}).get("digest") != digests[picture.stem] or not _there(folder, picture.stem)
    ]
    for picture, where in zip(todo, _draw(todo, folder), strict=True):
        known[picture.stem] = {"digest": digests[picture.stem], "boxes": where}
    kept = {stem: known[stem] for stem in sorted(digests)}
    for path in folder.glob("*.*"):
        if path.suffix in (".svg", ".pdf") and path.stem not in kept:
            path.unlink()  # of an experiment that is gone
    files.replace(folder / "drawn.json", json.dumps(kept, indent=0) + "\n")
    drawn = {name: [(picture, folder / f"{picture.stem}.svg") for picture in found] for name, found in planned.items()}
    every = [picture for found in planned.values() for picture in found]
    return drawn, {p.stem: cells(p, kept[p.stem]["boxes"]) for p in every if p.kind is heatmap.KIND}


def cells(picture: Picture, where: list[list[float]]) -> dict[str, Any]:
    """What lies where in a heatmap: for each panel its box, its numbers, its control's, and the names of rows and columns."""
    panels = []
    for (name, (series,)), box in zip(picture.panels.items(), where, strict=True):
        control = picture.panels.get(f"{name}{CONTROL}")
        rows, columns = heatmap.measured(series.values)
        names = series.names or (range(len(series.values)), range(len(series.values[0])))
        panels.append(
            {
                "model": name, "box": box, "values": _short(series.values, rows, columns), "n": series.n,
                "control": _short(control[0].values, rows, columns) if control else None,
                "names": [[names[0][i] for i in rows], [names[1][j] for j in columns]],
                "named": bool(series.names), "upwards": heatmap.upwards(series),
            }
        )  # fmt: skip
    return {"x": picture.x, "y": picture.y, "panels": panels}


def draw_one(picture: Picture, folder: Path) -> list[tuple[float, float, float, float]]:
    """Draws and saves one picture; returns where its panels lie."""
    figure = draw(picture)
    save(figure, folder, picture.stem)
    return boxes(figure, len(picture.panels))


def _draw(todo: list[Picture], folder: Path) -> list[list[tuple[float, float, float, float]]]:
    folder.mkdir(parents=True, exist_ok=True)
    if len(todo) <= FEW or cores() == 1:
        return [draw_one(picture, folder) for picture in todo]
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(draw_one, todo, [folder] * len(todo), chunksize=4))


def _digest(picture: Picture, code: str) -> str:
    plain = replace(picture, kind=None)  # type: ignore[arg-type]  # its functions have no stable text; `code` covers them
    return hashlib.sha256(f"{code} {picture.kind.name} {plain!r}".encode()).hexdigest()[:16]


def _code() -> str:
    """A digest of everything but the numbers that decides how a picture looks."""
    found = hashlib.sha256(library("matplotlib").__version__.encode())
    for path in sorted(Path(str(figures.__file__)).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}  # everything is drawn again


def _there(folder: Path, stem: str) -> bool:
    return all((folder / f"{stem}{suffix}").exists() for suffix in (".svg", ".pdf"))


def _short(table: Any, rows: list[int], columns: list[int]) -> list[list[float | None]]:
    """The numbers with 4 digits; what was not measured, or is no number, is None."""
    chosen = [[table[i][j] for j in columns] for i in rows]
    return [[None if v is None or v != v else float(f"{v:.4g}") for v in row] for row in chosen]
