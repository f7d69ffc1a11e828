"""`--dataset`: files that replace built-in tasks; their metrics are kept apart from those of the built-in data."""

import json

import pytest

from assay.plugin.results import identity

SUITE = """
    import os
    from assay.plugin import Metric, experiment, finding
    from conftest import log

    @experiment
    def shots(lm, datasets, journal):
        names = {name: len(task.pairs) for name, task in datasets.items()}
        def one(query):
            log("ASK " + query)
            if os.environ.get("STOP") == query:
                raise KeyboardInterrupt
            return 1.0
        return {"pairs": sum(names.values()), "tasks": " ".join(sorted(names)), "asked": sum(journal(one, ["a", "b"]))}

    def test_metrics(shots, metrics):
        assert metrics == shots

    @finding("there are pairs", id="X-1")
    def test_pairs(shots):
        assert shots.pairs > 0
"""


@pytest.fixture
def own(repo):
    """A repository with a suite that says which data it got, and two files of data."""
    repo.suite(test_shots=SUITE)
    write(repo, "mine.json", 12)
    write(repo, "french.json", 5)
    return repo


def write(repo, name, pairs):
    entries = [{"input": f"in {i}", "output": f"out {i}"} for i in range(pairs)]
    (repo.path / name).write_text(json.dumps(entries))


def folders(repo):
    return sorted(path.name for path in repo.path.glob("snapshots*"))


def test_without_the_option_there_is_nothing_in_place_of_a_task(own, run):
    run("--model", "toy_a").assert_outcomes(passed=1, failed=1)
    rows = own.rows(name="shots")
    assert (rows["pairs"]["value"], rows["tasks"]["value"]) == (0, "")
    assert folders(own) == ["snapshots"]


def test_the_files_arrive_and_their_numbers_are_kept_apart(own, run):
    run("--model", "toy_a")
    built_in = own.snapshots()
    result = run("--model", "toy_a", "--dataset", "antonym=mine.json", "--dataset", "english-french=french.json")
    result.assert_outcomes(passed=2)
    assert own.snapshots() == built_in
    [_, folder] = folders(own)
    assert folder.startswith("snapshots-antonym-")
    assert "-english-french-" in folder
    document = json.loads((own.path / folder / "toy_a" / "shots.json").read_text())
    rows = document["shots@quick"]
    assert (rows["pairs"]["value"], rows["tasks"]["value"]) == (17, "antonym english-french")
    made_by = document["_made_by"]["shots@quick"]["datasets"]
    assert list(made_by) == ["antonym", "english-french"]
    assert all(short in folder for short in made_by.values())
    result.stdout.fnmatch_lines(["assay: --dataset antonym: 12 pairs of yours, recorded in snapshots-antonym-*"])


def test_the_recorded_numbers_of_the_same_files_are_judged(own, run):
    arguments = ("--model", "toy_a", "--dataset", "antonym=mine.json")
    run(*arguments)
    own.log()
    run("--recorded", *arguments).assert_outcomes(passed=1)
    assert own.log() == []
    write(own, "mine.json", 13)
    run("--recorded", *arguments).assert_outcomes(skipped=1)


def test_the_folder_is_named_by_the_pairs_and_not_by_how_the_file_is_written(own):
    own.run("--model", "toy_a", "--dataset", "antonym=mine.json")
    before = folders(own)
    (own.path / "mine.json").write_text(json.dumps(json.loads((own.path / "mine.json").read_text()), indent=4))
    own.run("--model", "toy_a", "--dataset", "antonym=mine.json").assert_outcomes(passed=2)
    assert folders(own) == before


def test_prompts_stand_in_for_the_built_in_ones_in_this_run_only(own, run):
    suite = """
        from assay.data.instructions import instructions
        from assay.plugin import experiment

        @experiment
        def asked(lm):
            return {"texts": [item.text for item in instructions("harmless")][:2]}

        def test_metrics(asked, metrics):
            assert metrics == asked
    """
    own.suite(test_asked=suite)
    (own.path / "poems.json").write_text('["Write a poem.", "Name a river."]')
    result = run("--model", "toy_a", "-k", "asked", "--dataset", "harmless=poems.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["assay: --dataset harmless: 2 prompts of yours, recorded in snapshots-harmless-*"])
    [folder] = folders(own)
    rows = json.loads((own.path / folder / "toy_a" / "asked.json").read_text())["asked@quick"]
    assert rows["texts"]["value"] == ["Write a poem.", "Name a river."]
    own.run("--model", "toy_a", "-k", "asked").assert_outcomes(passed=1)
    assert own.rows(name="asked")["texts"]["value"] != rows["texts"]["value"]


def test_opinions_stand_in_for_the_built_in_ones(own, run):
    suite = """
        from assay.data.opinions import opinions
        from assay.plugin import experiment

        @experiment
        def asked(lm):
            return {"views": [item.view for item in opinions()][:2]}

        def test_metrics(asked, metrics):
            assert metrics == asked
    """
    own.suite(test_asked=suite)
    rows = [f"Which is {i}?,red,blue,I like red.,I like blue." for i in range(5)]
    (own.path / "colors.csv").write_text("\n".join(["question,A,B,view_A,view_B", *rows]))
    result = run("--model", "toy_a", "-k", "asked", "--dataset", "opinions=colors.csv")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["assay: --dataset opinions: 10 prompts of yours, recorded in snapshots-opinions-*"])
    [folder] = folders(own)
    found = json.loads((own.path / folder / "toy_a" / "asked.json").read_text())["asked@quick"]
    assert found["views"]["value"] == ["I like red.", "I like blue."]


def test_a_path_is_relative_to_where_the_command_was_given(own, run, monkeypatch):
    (own.path / "below").mkdir()
    (own.path / "mine.json").rename(own.path / "below" / "mine.json")
    monkeypatch.chdir(own.path / "below")
    run(
        "--rootdir", "..", "-c", "../tox.ini", "../suites", "--model", "toy_a", "--dataset", "antonym=mine.json"
    ).assert_outcomes(passed=2)


def test_a_journal_of_other_data_is_not_taken_over(own, monkeypatch):
    monkeypatch.setenv("STOP", "b")
    own.process("--model", "toy_a")
    assert own.log() == ["LOAD toy_a", "ASK a", "ASK b", "FREE toy_a"]
    own.process("--model", "toy_a", "--resume")
    assert own.log() == ["LOAD toy_a", "ASK b", "FREE toy_a"]
    own.process("--model", "toy_a", "--resume", "--dataset", "antonym=mine.json")
    assert own.log() == ["LOAD toy_a", "ASK a", "ASK b", "FREE toy_a"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["antonym"], "--dataset is NAME=PATH, such as antonym=mine.json, not 'antonym'"),
        (["=mine.json"], "--dataset is NAME=PATH*not '=mine.json'"),
        (["antonym="], "--dataset is NAME=PATH*not 'antonym='"),
        (["antonyms=mine.json"], "--dataset: unknown task or prompt set 'antonyms'. Did you mean antonym?*"),
        (["antonym=nowhere.json"], "--dataset: */nowhere.json: not a readable JSON file: *No such file*"),
        (["antonym=bad.json"], "--dataset: */bad.json: entry 1 is not {*"),
        (
            ["opinions=mine.json"],
            "--dataset: */mine.json: topic '1' needs question, A, B, view_A and view_B, and nothing else",
        ),
        (["entities=nowhere.csv"], "--dataset: */nowhere.csv: not a readable CSV file: *No such file*"),
        (["antonym=half.json"], "--dataset: */half.json: not a readable JSON file: *"),
        (["antonym=mine.json", "antonym=french.json"], "--dataset replaces antonym twice: give one file"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(own, run, arguments, says):
    (own.path / "bad.json").write_text('[{"input": "hot"}]')
    (own.path / "half.json").write_text("[{")
    result = run("--model", "toy_a", *(part for argument in arguments for part in ("--dataset", argument)))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says.replace('[', '[[]')}"])
    assert len(result.stderr.str().strip().splitlines()) == 1
    assert own.log() == []


def test_a_changed_built_in_data_file_is_other_code(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tasks.json").touch()
    (tmp_path / "run.py").touch()
    assert [file.name for file in identity._sources(tmp_path)] == ["tasks.json", "run.py"]
