"""The findings of a run as files: JUnit XML, JSON, Markdown, and the page of all experiments."""

import json
import xml.etree.ElementTree as ElementTree

from repositories import RESCUE


def test_junit_carries_the_findings(repo, run, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS_toy_b", "2")
    run("--junit-xml", "out.xml")
    cases = ElementTree.parse(repo.path / "out.xml").getroot().iter("testcase")
    found = {}
    for case in cases:
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        if properties:
            found[properties["model"]] = properties
    assert {model: said["verdict"] for model, said in found.items()} == {"toy_a": "new yes", "toy_b": "new no"}
    assert found["toy_a"]["claim"] == "patching rescues"
    assert found["toy_a"]["ids"] == "HTL-7"
    assert json.loads(found["toy_a"]["measured"])["rate"]["ci"] == [0.626943, 0.904949]


def test_findings_as_json(repo):
    repo.suite(test_rescue=RESCUE)
    repo.run("--findings", "out.json", "-k", "test_rescues")
    written = json.loads((repo.path / "out.json").read_text())
    (claim,) = written.pop("findings")
    assert written == {"tier": "quick", "recorded": False}
    assert claim["ids"] == ["HTL-7"]
    assert claim["test"] == "suites/test_rescue.py::test_rescues"
    assert {model: cell["verdict"] for model, cell in claim["models"].items()} == {
        "toy_a": "new yes",
        "toy_b": "new yes",
    }
    assert claim["models"]["toy_a"]["measured"]["null"]["value"] == 0.0666667


def test_findings_as_markdown_and_also_when_the_run_fails(repo, run, monkeypatch):
    repo.suite(test_rescue=RESCUE)
    monkeypatch.setenv("HITS_toy_b", "2")
    run("--findings", "out.md", "-x")
    text = (repo.path / "out.md").read_text()
    assert "## Hopping Too Late, arXiv:2406.12775" in text
    assert "| HTL-7 | patching rescues | **new yes**<br>rate 0.8 [0.63, 0.9] n 30<br>null (control) 0.0667" in text
    assert "**new no**" in text


def test_the_catalogue_lists_what_is_not_attempted(repo):
    repo.suite(
        test_rescue=RESCUE,
        test_own="from assay.plugin import finding\n@finding('ours', id='OURS-1')\ndef test_it(lm): pass",
    )
    repo.run("--catalogue", "page.md")
    lines = (repo.path / "page.md").read_text().splitlines()
    assert (
        "| HTL-7 | Back-patching from t1 | patching rescues (`suites/test_rescue.py::test_rescues`) | new yes | new yes |"
        in lines
    )
    assert "| HTL-11 | Attention knockout on single-hop queries | *not attempted* |  |  |" in lines
    assert "| OURS-1 |  | ours (`suites/test_own.py::test_it`) | yes | yes |" in lines
    assert sum("*not attempted*" in line for line in lines) == 118
