"""Which figures an experiment makes, from the names of its metrics."""

import importlib
import json
import math
import pkgutil
from pathlib import Path

import pytest

from assay.errors import SnapshotError
from assay.record import files
from assay.report import figures
from assay.report.figures import KINDS, kind_of, pictures
from assay.report.figures.picture import model_of
from assay.report.figures.sheet import draw
from assay.report.read import read_snapshots

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def repository():
    """What this repository recorded, each experiment with its pictures."""
    return [(one, pictures(one)) for one in read_snapshots(ROOT / "snapshots", "quick")]


@pytest.fixture
def by_stem(snapshots):
    return {p.stem: p for one in read_snapshots(snapshots, "quick") for p in pictures(one)}


@pytest.mark.parametrize(
    ("name", "draw", "axes"),
    [
        ("heatmap", "heatmap", ("target layer", "source layer")),
        ("heatmap_back", "heatmap", ("target layer", "source layer")),
        ("effect_by_layer_head", "heatmap", ("head", "layer")),
        ("cos_matrix", "heatmap", ("", "")),
        ("kl_by_layer", "curves", ("layer", "")),
        ("accuracy_by_count", "curves", ("number", "")),
        ("stages_right", "boxes", ("layer", "")),
        ("scaling_gap", "scaling", ("weights in memory [GiB]", "")),
    ],
)
def test_names_say_the_kind(name, draw, axes):
    kind, rule = kind_of(name)
    assert (kind.name, (rule.x, rule.y)) == (draw, axes)


@pytest.mark.parametrize(
    "name", ["n_queries", "stages_labels", "kl_by_layer_ci", "cos_matrix_labels", "heatmap_a_axes", "by_layer_x"]
)
def test_other_names_make_no_figure_of_their_own(name):
    assert kind_of(name) is None


def test_models_come_by_size_and_unknown_ones_last(snapshots):
    for one in read_snapshots(snapshots, "quick"):
        assert list(one.models) == ["llama_tiny", "qwen7b", "stranger"]


def test_every_file_with_a_kind_is_in_the_table():
    files = {info.name for info in pkgutil.iter_modules(figures.__path__)}
    modules = [importlib.import_module(f"assay.report.figures.{name}") for name in files]
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    assert len(kinds) > 4
    assert {kind.name for kind in kinds} == {kind.name for kind in KINDS}


def test_every_kind_makes_its_pictures(by_stem):
    assert {stem: picture.kind.name for stem, picture in by_stem.items()} == {
        "patching-heatmap_back": "heatmap",
        "patching-heatmap_donor": "heatmap",
        "patching-numbers": "points",
        "knockout-right_against_right_of_by_layer": "curves",
        "knockout-kl_by_layer": "curves",
        "timeline-stages": "boxes",
        "timeline-stages_lens": "boxes",
        "mixed-effect_by_layer_head": "heatmap",
        "mixed-cos_matrix": "heatmap",
        "mixed-refused_matrix": "heatmap",
        "mixed-heatmap_norms": "heatmap",
        "mixed-accuracy_by_count": "curves",
        "mixed-scaling_gap": "scaling",
        "mixed-numbers_layers": "points",
    }


def test_a_heatmap_and_its_control_have_the_same_colours(by_stem):
    back, donor = by_stem["patching-heatmap_back"], by_stem["patching-heatmap_donor"]
    assert back.span == donor.span == (0.0, 11 / 12)
    assert by_stem["mixed-effect_by_layer_head"].span == (-0.2, 0.2)  # the same on both sides of 0
    assert (by_stem["mixed-heatmap_norms"].x, by_stem["mixed-heatmap_norms"].y) == ("layer", "position")
    assert names_of(by_stem["mixed-cos_matrix"])[0] == (["French", "plural"], ["French", "plural"])
    assert names_of(by_stem["mixed-refused_matrix"])[0] == (["en", "fr"], ["en", "fr", "sw"])


def names_of(picture):
    """The names of rows and columns, panel by panel."""
    return [series[0].names for series in picture.panels.values()]


def test_every_panel_has_the_names_of_its_own_model(tmp_path):
    """Models may know other tasks or languages, and other numbers of them."""
    for model, tasks in (("llama_tiny", ["French"]), ("qwen_tiny", ["plural", "capital"])):
        table = [[1.0] * len(tasks)] * len(tasks)
        rows = {"cos_matrix": {"value": table, "n": 5}, "cos_matrix_labels": {"value": tasks}}
        files.write(tmp_path / model / "mixed.json", {"mixed@quick": rows})
    [one] = read_snapshots(tmp_path, "quick")
    [picture] = [found for found in pictures(one) if found.kind.name == "heatmap"]
    assert names_of(picture) == [(["French"], ["French"]), (["plural", "capital"], ["plural", "capital"])]
    drawn = draw(picture).axes
    assert [[text.get_text() for text in axes.get_yticklabels()] for axes in drawn[:2]] == [
        ["French"],
        ["plural", "capital"],
    ]


def test_curves_with_one_control_are_one_picture(by_stem):
    lines = by_stem["knockout-right_against_right_of_by_layer"].panels["llama_tiny"]
    assert [(one.label, one.control) for one in lines] == [("e1", False), ("r1", False), ("of", True)]
    assert list(lines[0].values) == [0.0, 0.25, 0.5, 0.75]
    assert lines[0].low == [0.0, 0.15, 0.4, 0.65]
    assert list(lines[1].low) == []
    assert by_stem["knockout-kl_by_layer"].y == "nats"
    assert by_stem["knockout-kl_by_layer"].panels["llama_tiny"][0].values[0] is None
    counts = by_stem["mixed-accuracy_by_count"].panels["qwen7b"][0]
    assert (counts.at, counts.values, counts.high) == ([0, 5, 10], [0.1, 0.8, 0.9], [0.2, 0.9, 1.0])


def test_boxes_of_one_instrument_stand_side_by_side(by_stem):
    right, wrong = by_stem["timeline-stages"].panels["llama_tiny"]
    assert (right.label, wrong.label) == ("right", "wrong")
    assert list(right.at) == ["first hop", "second hop"]
    assert right.values == [[0, 1, 1, 2], [3, 3]]


def test_numbers_with_an_interval_are_together_one_mark_for_each_model(by_stem):
    small, *_ = by_stem["patching-numbers"].panels[""]
    assert (small.label, small.at, small.values, small.low) == (
        "llama_tiny",
        ["rescued", "donor"],
        [0.75, 0.1],
        [0.5, 0.02],
    )


def test_only_models_of_a_known_size_are_compared_by_size(by_stem):
    points = by_stem["mixed-scaling_gap"].panels[""]
    assert [(p.label, p.at, p.values) for p in points] == [("llama_tiny", [0.01], [1.0]), ("qwen7b", [3.99], [3.0])]


def test_captions_say_what_of_how_many_and_what_the_bands_are(by_stem):
    assert by_stem["patching-heatmap_back"].caption == (
        "patching: back. heatmap back. Tier quick. llama_tiny: n = 16; qwen7b: n = 16; stranger: n = 16."
    )
    caption = by_stem["knockout-right_against_right_of_by_layer"].caption
    assert caption.startswith("knockout: right. right e1 by layer, right r1 by layer, right of by layer. Tier quick.")
    assert caption.endswith("Bands and bars are 95 % intervals.")


@pytest.mark.parametrize(
    ("name", "words"),
    [("right_e2_at_t1_by_layer", "right e2 at t1"), ("heatmap_back", "back"), ("heatmap", "heatmap")],
)
def test_names_are_read_as_words(name, words):
    assert kind_of(name)[1].words(name) == words


def test_nothing_recorded_is_one_clear_sentence(snapshots, tmp_path):
    with pytest.raises(SnapshotError, match=r"nothing is recorded at tier full in .*snapshots: run `pytest` first"):
        read_snapshots(snapshots, "full")
    with pytest.raises(SnapshotError, match="nothing is recorded at tier quick"):
        read_snapshots(tmp_path / "nowhere", "quick")
    with pytest.raises(SnapshotError, match="there is no tier 'big': smoke, quick, full"):
        read_snapshots(snapshots, "big")


def test_numbers_that_are_not_finite_colour_nothing(snapshots):
    path = snapshots / "llama_tiny" / "patching.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.25", '"nan"'), encoding="utf-8")
    (one,) = (r for r in read_snapshots(snapshots, "quick") if r.name == "patching")
    (picture,) = (p for p in pictures(one) if p.stem == "patching-heatmap_back")
    assert picture.span == (0.0, 11 / 12)
    assert math.isnan(picture.panels["llama_tiny"][0].values[1][0])


@pytest.mark.parametrize(
    ("experiment", "metric", "value"),
    [
        ("patching", "heatmap_back", 0.5),
        ("patching", "heatmap_back", [[1, 2], [3]]),
        ("patching", "heatmap_back", [["a", "b"]]),
        ("knockout", "kl_by_layer", "none"),
        ("knockout", "right_of_by_layer", ["a"]),
        ("knockout", "right_e1_by_layer_ci", [0.1]),
        ("timeline", "stages_right", [1, 2]),
    ],
    ids=str,
)
def test_a_value_of_another_shape_than_its_name_says_is_not_drawn(snapshots, experiment, metric, value):
    path = snapshots / "llama_tiny" / f"{experiment}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document[f"{experiment}@quick"][metric] = {"value": value}
    path.write_text(json.dumps(document), encoding="utf-8")
    (one,) = (r for r in read_snapshots(snapshots, "quick") if r.name == experiment)
    metrics = set().union(*(picture.metrics for picture in pictures(one)))
    assert ("llama_tiny", metric) not in metrics
    assert ("qwen7b", metric) in metrics


def numbers_of(value):
    """All cells of a nested value."""
    if isinstance(value, list | tuple | range):
        return [cell for item in value for cell in numbers_of(item)]
    return [value]


def test_what_a_picture_shows_is_in_its_series(repository):
    """In the snapshots of this repository: every number of a metric that counts as drawn."""
    counted = 0
    for one, found in repository:
        for picture in found:
            for model, series in picture.panels.items():
                for line in series:
                    cells = {repr(c) for part in (line.at, line.values, line.low, line.high) for c in numbers_of(part)}
                    for name in (n for n in line.shows if not n.endswith(("_labels", "_axes"))):
                        counted += 1
                        value = one.models[model_of(model)][name].value
                        assert {repr(cell) for cell in numbers_of(value)} <= cells, (one.name, name)
    assert counted > 500


def test_everything_in_this_repository_has_its_figures(repository):
    labelled = {picture.stem for _, found in repository for picture in found if any(names_of(picture))}
    assert {"direction_transfer-refused_matrix", "language_separation-separation_matrix"} <= labelled
