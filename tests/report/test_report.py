"""`assay report`: files, captions and the page, the same bytes every time, and clear errors."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assay.cli import main
from assay.report import write_report
from assay.report.figures import pictures
from assay.report.figures.heatmap import short
from assay.report.library import NotInstalled
from assay.report.read import read_snapshots

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def one_model(snapshots):
    """The snapshots of one model: less to draw."""
    for path in snapshots.glob("*/*.json"):
        if path.parent.name != "llama_tiny":
            path.unlink()
    return snapshots


def test_every_picture_is_two_vector_files_with_a_caption(one_model, tmp_path, capsys):
    out = tmp_path / "out"
    findings = tmp_path / "findings.json"
    claim = {
        "claim": "patching <rescues>", "ids": ["HTL-7"], "test": "suites/test_p.py::test_rescues", "experiments": ["patching"],
        "paper": "Hopping Too Late", "ref": "arXiv:2406.12775", "models": {"llama_tiny": {"verdict": "yes"}},
    }  # fmt: skip
    findings.write_text(json.dumps({"tier": "quick", "findings": [claim]}), encoding="utf-8")
    assert main(["report", "--snapshots", str(one_model), "--out", str(out), "--findings", str(findings)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    stems = {p.stem for one in read_snapshots(one_model, "quick") for p in pictures(one)}
    assert len(stems) == 13  # all but the comparison of sizes
    page, captions = ((out / name).read_text(encoding="utf-8") for name in ("index.html", "captions.md"))
    for stem in stems:
        drawn = ElementTree.parse(out / "figures" / f"{stem}.svg").getroot()
        assert drawn.tag == f"{SVG}svg"
        assert len(list(drawn.iter(f"{SVG}path"))) > 10
        assert (out / "figures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        assert f'src="figures/{stem}.svg"' in page
        assert f"- `{stem}.svg`: " in captions
    assert "0.75 [0.5, 0.9] n 16" in page
    assert ">rescued <small>(control: donor)</small>" in page
    assert "patching &lt;rescues&gt;" in page


def test_the_same_numbers_give_the_same_bytes(one_model, tmp_path):
    for path in one_model.glob("*/*.json"):
        if path.stem != "timeline":
            path.unlink()
    made = []
    for name in ("a", "b"):
        write_report(one_model, tmp_path / name)
        made.append({p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.*") if p.is_file()})
    assert made[0] == made[1]
    assert len(made[0]) == 7  # two figures as SVG and PDF, what was drawn, captions, the page


@pytest.mark.parametrize("needed", ["matplotlib", "jinja2"])
def test_without_a_library_it_says_what_to_install_and_writes_nothing(one_model, tmp_path, monkeypatch, capsys, needed):
    monkeypatch.setitem(sys.modules, needed, None)
    with pytest.raises(NotInstalled, match=r"pip install 'mlx-assay\[report\]'"):
        write_report(one_model, tmp_path / "out")
    assert main(["report", "--snapshots", str(one_model), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"assay: the report needs {needed}, which is not installed")
    assert not (tmp_path / "out").exists()


def test_nothing_recorded_and_bad_findings_end_in_one_sentence(one_model, tmp_path, capsys):
    assert main(["report", "--snapshots", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("assay: nothing is recorded at tier quick in")
    bad = tmp_path / "findings.json"
    bad.write_text("[]", encoding="utf-8")
    assert main(["report", "--snapshots", str(one_model), "--findings", str(bad)]) == 2
    assert "is not a file of findings" in capsys.readouterr().err


def test_needs_no_mlx():
    """In a process of its own: the report imports neither MLX nor a model."""
    code = (
        "import sys, assay.report.page, assay.report.figures.sheet\n"
        "print(any(name.split('.')[0].startswith('mlx') for name in sys.modules))"
    )
    lib = Path(__file__).parents[2] / "lib"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(lib)}
    )
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.07, ".07"), (0.5, ".5"), (-0.2, "-.2"), (1.0, "1"), (12.345, "12.3"), (0.001, "0")],
)
def test_numbers_in_cells_are_short(value, text):
    assert short(value) == text
