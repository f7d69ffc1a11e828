"""In-context tasks: pairs of an input and its output, from which a list of examples is made (FV-1).

    >>> antonyms = task("antonym")
    >>> dict(antonyms.pairs)["hot"]
    'cold'
    >>> len(antonyms.split("train")), len(antonyms.split("valid")), len(antonyms.split("test"))
    (40, 16, 24)

`read_task("mine.json")` reads a task of your own, in the format of the paper's authors.

The words:

    pair      an input and the one output that the task asks for: ("hot", "cold")
    task      a named list of pairs that follow one rule: "antonym"
    group     tasks over the same inputs: "dog" is an input of four tasks, so the input alone does not tell the task
    split     prompts show examples of train, layers and heads are chosen on valid, results are reported on test;
              an input is in the same split in every task

Eleven tasks in four groups, in `tasks.json`:

    nouns        singular-plural, english-french, english-spanish, english-german
    adjectives   antonym, comparative
    verbs        present-past, present-gerund
    countries    country-capital, country-currency
    mixed        capitalize, over some of the nouns, the adjectives and the verbs

Todd et al., Function Vectors in Large Language Models, ICLR 2024, arXiv 2310.15213, section 2 and appendix E. The pairs are
our own; the paper splits each task 70 % train, 9 % valid and 21 % test, here it is 50, 20 and 30 since the tasks are smaller.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assay.data import files
from assay.data.files import Split, check_splits, draw_splits, is_table, is_text, known_split, no_repeats, split_by_name
from assay.errors import DataError, unknown

FILE = Path(__file__).with_name("tasks.json")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Task:
    """One task; `splits[i]` is the split of `pairs[i]`."""

    name: str  # "antonym"
    pairs: tuple[Pair, ...]  # (("big", "small"), ("small", "big"), ...)
    splits: tuple[Split, ...]  # ("test", "train", ...)

    def split(self, name: str) -> tuple[Pair, ...]:
        """The pairs of one split, in the order of the file. Raises DataError for anything but train, valid and test."""
        known = known_split(name)
        return tuple(pair for pair, split in zip(self.pairs, self.splits, strict=True) if split == known)


def task(name: str) -> Task:
    """The built-in task of this name. Raises DataError, with the nearest names, if there is none."""
    if name not in _built_in():
        raise unknown(DataError, "task", name, _built_in())
    return _built_in()[name]


def tasks(names: Iterable[str] | None = None) -> tuple[Task, ...]:
    """The built-in tasks of these names, in that order; all eleven by default. Raises DataError as `task` does."""
    return tuple(_built_in().values()) if names is None else tuple(task(name) for name in names)


def read_task(path: Path | str, name: str | None = None) -> Task:
    """A task from a file in the authors' form, a list of {"input": "hot", "output": "cold"}.

    Its name is by default the file's. The splits are drawn by input (`draw_splits`), so all outputs of an input are in one
    split. Raises DataError, which names the file and the entry, for a file of another form.
    """
    entries = files.load(path, _check_authors_form)
    pairs = tuple((entry["input"].strip(), entry["output"].strip()) for entry in entries)
    split_of = draw_splits(given for given, _ in pairs)
    return Task(name or Path(path).stem, pairs, tuple(split_of[given] for given, _ in pairs))


def file_hash() -> str:
    """The version of the built-in tasks: 12 hex digits, recorded beside every number measured with them."""
    return files.short_hash(FILE)


@cache
def _built_in() -> dict[str, Task]:
    return _tasks(files.load(FILE, _check))


def _tasks(content: Any) -> dict[str, Task]:
    split_of = split_by_name(content["splits"])
    return {
        name: Task(name, tuple(pairs.items()), tuple(split_of[given] for given in pairs))
        for name, pairs in content["tasks"].items()
    }


def _check(content: Any) -> None:
    """Raise DataError for the first thing wrong with the content of `tasks.json`."""
    if not is_table(content, splits=dict, tasks=dict):
        raise DataError("needs the tables splits and tasks")
    outputs: dict[str, list[str]] = {}  # by input, over all tasks
    for name, pairs in content["tasks"].items():
        if not isinstance(pairs, dict) or not all(is_text(text) for pair in pairs.items() for text in pair):
            raise DataError(f"task {name!r} needs a table of texts from input to output, without spaces around them")
        for given, output in pairs.items():
            outputs.setdefault(given, []).append(output)
    check_splits(content["splits"], outputs)
    for given, known in outputs.items():
        # An output that two tasks share, or that repeats the input, would not show which task a model does.
        no_repeats(f"among {given!r} and its outputs,", (given, *known))


def _check_authors_form(entries: Any) -> None:
    """Raise DataError for the first entry that is not {"input": text, "output": text}."""
    if not isinstance(entries, list) or not entries:
        raise DataError('needs a list of {"input": ..., "output": ...} with at least one entry')
    for number, entry in enumerate(entries, 1):
        if not is_table(entry, input=str, output=str) or not (entry["input"].strip() and entry["output"].strip()):
            raise DataError(f'entry {number} is not {{"input": text, "output": text}}: {entry!r}')
    no_repeats("the pair", ((entry["input"].strip(), entry["output"].strip()) for entry in entries))
