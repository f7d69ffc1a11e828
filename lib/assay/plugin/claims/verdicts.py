"""Verdicts in snapshots: a claim's yes, no, undecided or not eligible stands beside the metrics that it rests on.

    "_verdicts": {
      "backpatch_t1@quick test_t1_rescues": "yes",
      "backpatch_t1@quick test_t1_late_to_early": "undecided"
    }

So a verdict that changes is one line of a diff. A verdict is recorded with the metrics of its first experiment and under the same
rules: when none is there yet, or with `--snapshot-update`; with `--recorded --snapshot-update` the verdicts alone are recorded
anew, after a claim was written differently. A run whose verdict is another than the recorded one fails.
"""

from pathlib import Path

import pytest

from assay.plugin import options
from assay.plugin.models.select import model_of
from assay.plugin.results import locations
from assay.plugin.results.result import Result, is_new, name_of
from assay.record import files
from assay.record.compare import VERDICTS

FOUND = pytest.StashKey[dict[Path, dict[str, str]]]()
"""Snapshot file -> the verdicts of this run that will be recorded there."""


def was(item: pytest.Item, results: list[Result]) -> str | None:
    """The recorded verdict; None if there is none, if it is of another model, or if this run records its own."""
    config = item.config
    if config.option.update_snapshots or options.null_world(config) or (at := _place(item, results)) is None:
        return None
    if any(map(is_new, results)):
        return None
    return config.stash[locations.AT_START].get(at[0], {}).get(VERDICTS, {}).get(at[1])


def note(item: pytest.Item, results: list[Result], word: str) -> None:
    """Keeps a verdict until the end of the run, if it is to be recorded."""
    config = item.config
    if options.null_world(config) or (at := _place(item, results)) is None:
        return
    missing = was(item, results) is None and options.records_missing(config) and not options.recorded(config)
    if config.option.update_snapshots or missing:
        config.stash.setdefault(FOUND, {}).setdefault(at[0], {})[at[1]] = word


def write(config: pytest.Config) -> None:
    """Records what was noted, where the metrics were recorded."""
    for path, verdicts in config.stash.get(FOUND, {}).items():
        with files.lock(options.scratch_folder(config)):
            document = files.read(path)
            kept = {key: word for key, word in verdicts.items() if key.partition(" ")[0] in document}
            if kept.items() - document.get(VERDICTS, {}).items():
                document.setdefault(VERDICTS, {}).update(kept)
                files.write(path, document)


def _place(item: pytest.Item, results: list[Result]) -> tuple[Path, str] | None:
    """(file, key) of the verdict of a test; None for a test without model or experiment."""
    spec = model_of(item)
    if spec is None or not results:
        return None
    name = name_of(results[0])
    entry = locations.entry(name, options.tier(item.config))
    return locations.file(item.config, spec.id, name), f"{entry} {locations.test_name(item)}"
