"""Four workers write to the snapshots of one model at the same time, in whole runs of pytest, and nothing is lost.

The plugin's own scheduling gives a model to one worker; four workers share a model under another `--dist`, or when four people
run parts of the same suites side by side.
"""

import pytest
from repositories import thorough

SUITE = """
    import os, time
    from pathlib import Path
    import pytest
    from assay.plugin import Metric

    VALUE = int(os.environ["VALUE"])

    @pytest.fixture(scope="session")
    def together():
        Path("here-" + os.environ["PYTEST_XDIST_WORKER"]).touch()
        deadline = time.monotonic() + 600
        while len(list(Path().glob("here-*"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)

    @pytest.mark.parametrize("at", range(40))
    def test_at(lm, together, metrics, at):
        assert metrics == {"v": Metric(VALUE + at, n=at)}
"""


@pytest.mark.parametrize("runs", [3, pytest.param(50, marks=thorough)])
def test_four_workers_lose_nothing(repo, monkeypatch, runs):
    """The first run records 40 entries in one file, every other one changes all of them."""
    repo.suite(test_many=SUITE)
    for turn in range(runs):
        monkeypatch.setenv("VALUE", str(1000 * turn))
        result = repo.process("--model", "toy_a", "-n", "4", "--dist", "worksteal", "--snapshot-update")
        result.assert_outcomes(passed=40)
        wrote = list(repo.path.glob("here-*"))
        assert len(wrote) == 4
        for file in wrote:
            file.unlink()
        document = repo.document(name="many")
        assert document.pop("_made_by").keys() == document.keys()
        entries = {key: rows["v"]["value"] for key, rows in document.items()}
        assert entries == {f"test_at[{at}]@quick": 1000 * turn + at for at in range(40)}, f"run {turn} of {runs}"
    assert [file.name for file in (repo.path / "snapshots" / "toy_a").iterdir()] == ["many.json"]
