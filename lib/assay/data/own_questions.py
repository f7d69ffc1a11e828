"""How files with questions of your own are read: views and options, right and wrong answers, names, traits (`assay.data.own`).

    >>> _ = Path("mine.csv").write_text("question,A,B,view_A,view_B\\n" + "\\n".join(
    ...     f"Which is number {i}?,red {i},blue {i},I like red {i}.,I like blue {i}." for i in range(4)))
    >>> [(one.id, one.view, one.matches) for one in read_opinions(Path("mine.csv"))][:2]
    [('1/A', 'I like red 0.', 'A'), ('1/B', 'I like blue 0.', 'B')]
    >>> _ = Path("capes.csv").write_text("question,right,wrong\\n" + "\\n".join(
    ...     f"Where is cape {i}?,Peru,{place}" for i, place in enumerate(["Chile", "Italy", "Ghana", "Oman"])))
    >>> [(one.kind, one.asked, one.right) for one in read_right_or_wrong(Path("capes.csv"))][:1]
    [('capes', 'Where is cape 0?', 'Peru')]
    >>> _ = Path("streets.csv").write_text("name,known,question\\nElm Row,0,Where is {}?\\n")
    >>> read_entities(Path("streets.csv"))
    Traceback (most recent call last):
    assay.errors.DataError: streets.csv: there are 0 known names, and 4 are needed: one to choose on and one to test on, at least

A trait is the table of one trait in `personas.json`, in a file named like the trait.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.data import files, opinions, personas, right_or_wrong
from assay.data.behaviours import BehaviourQuestion, other
from assay.data.files import draw_splits, is_table, is_true, no_repeats
from assay.data.knowledge import Entity
from assay.data.opinions import OPTIONS, Opinion
from assay.data.personas import Trait
from assay.data.right_or_wrong import RightOrWrong
from assay.errors import DataError, shown

LEAST = 4  # the smallest number that `draw_splits` divides into three splits with something in each
FEW = "one to choose on and one to test on, at least"


def read_opinions(path: Path) -> tuple[Opinion, ...]:
    """Views and questions: rows of a CSV file or tables of a JSON list; or a file of the form of `opinions.json`."""
    if path.suffix.lower() == ".csv":
        rows = [{key: row[key] for key in opinions.ENTRIES} for _, row in files.rows(path, *opinions.ENTRIES)]
        try:
            _check_opinions(rows)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    else:
        rows = files.load(path, _check_opinions)
    if isinstance(rows, dict):
        return opinions.posed(rows["topics"], files.split_by_name(rows["splits"]))
    topics, split_of = _topics(rows), draw_splits(row["question"] for row in rows)
    return opinions.posed(topics, {topic: split_of[item["question"]] for topic, item in topics.items()})


def _topics(rows: list[Any]) -> dict[str, Any]:
    return {str(number): row for number, row in enumerate(rows, 1)}


def _check_opinions(content: Any) -> None:
    if isinstance(content, dict):
        return opinions.check(content)
    if not isinstance(content, list):
        raise DataError(f"needs a list of tables with {', '.join(opinions.ENTRIES)}, or the form of opinions.json")
    opinions.check_topics(_topics(content))
    return _enough(len(content), "questions")


def read_right_or_wrong(path: Path) -> tuple[RightOrWrong, ...]:
    """Questions with a right and a wrong answer that begin differently; their kind is a column, or the file's name."""
    rows = files.rows(path, "question", "right", "wrong")
    no_repeats(f"{path}: the question", (row["question"] for _, row in rows))
    split_of, asked, place = draw_splits(row["question"] for _, row in rows), [], dict[tuple[str, str], int]()
    for number, row in rows:
        if not right_or_wrong.parted(row["right"], row["wrong"]):
            raise DataError(
                f"{path}: line {number}: the answers {row['right']!r} and {row['wrong']!r} begin alike: choose another wrong one"
            )
        kind, split = row.get("kind") or path.stem, split_of[row["question"]]
        i = place[kind, split] = place.get((kind, split), -1) + 1
        about = row.get("about") or row["right"]
        asked.append(
            RightOrWrong(
                f"{kind}/{number}", split, kind, about, row["question"], row["right"], row["wrong"], i % 2 == 0
            )
        )
    _enough(len(asked), "questions", f"{path}: ")
    return tuple(asked)


def read_entities(path: Path) -> tuple[Entity, ...]:
    """Known and made-up names, each with a question that holds it, or {} in its place; splits are drawn within either kind."""
    rows = files.rows(path, "name", "known", "question")
    no_repeats(f"{path}: the name", (row["name"] for _, row in rows))
    known = {row["name"]: is_true(row, "known", f"{path}: line {number}") for number, row in rows}
    kinds = [[name for name, one in known.items() if one == kind] for kind in (True, False)]
    for called, names in zip(("known", "made-up"), kinds, strict=True):
        _enough(len(names), f"{called} names", f"{path}: ")
    split_of = draw_splits(kinds[0]) | draw_splits(kinds[1])
    found = []
    for number, row in rows:
        name, kind, question = row["name"], row.get("kind") or path.stem, row["question"].replace("{}", row["name"])
        if name not in question:
            raise DataError(f"{path}: line {number}: the question {question!r} holds neither {name!r} nor {{}}")
        answer = row.get("answer") or None
        found.append(Entity(f"{kind}/{name}", split_of[name], name, kind, known[name], question, answer))
    return tuple(found)


def read_persona(path: Path) -> tuple[Trait, ...]:
    """One trait: the table of `personas.json`, of the name of the file."""
    content = files.load(path, lambda content: personas.check({"traits": {path.stem: content}}))
    return (personas.from_table(path.stem, content),)


def _enough(n: int, what: str, where: str = "") -> None:
    if n < LEAST:
        raise DataError(f"{where}there are {n} {what}, and {LEAST} are needed: {FEW}")


def read_behaviour(path: Path) -> tuple[BehaviourQuestion, ...]:
    entries = files.load(path, _check_behaviour)
    drafts = [
        BehaviourQuestion(
            id=f"{path.stem}/{number}",
            behaviour=path.stem,
            split="train",
            topic="",
            prompt=entry["question"].strip(),
            matches=_letter(entry["answer_matching_behavior"]),
        )
        for number, entry in enumerate(entries, 1)
    ]
    topics = ["\n".join([one.open_ended, *sorted(one.options)]) for one in drafts]
    split_of = draw_splits(topics)
    return tuple(replace(one, topic=topic, split=split_of[topic]) for one, topic in zip(drafts, topics, strict=True))


def _letter(answer: Any) -> Any:
    """The letter of an answer such as "(A)", " (A)" or "A"; None for anything else."""
    letter = answer.strip().removeprefix("(").removesuffix(")") if isinstance(answer, str) else None
    return letter if letter in OPTIONS else None


def _check_behaviour(entries: Any) -> None:
    if not isinstance(entries, list) or not entries:
        raise DataError('needs a list of {"question": ..., "answer_matching_behavior": "(A)"}, with at least one entry')
    letters = []
    for number, entry in enumerate(entries, 1):
        letters.append(_letter(entry.get("answer_matching_behavior")) if is_table(entry, question=str) else None)
        if not (letter := letters[-1]):
            raise DataError(
                f'entry {number} needs a question and answer_matching_behavior, "(A)" or "(B)": {shown(entry)}'
            )
        start, _, options = entry["question"].rpartition("(A)")
        if not all(part.strip() for part in (start, *options.partition("(B)"))):
            raise DataError(
                f"entry {number}: the question has to end in (A), a text, (B), a text: {shown(entry['question'])}"
            )
        against = f"({other(letter)})"
        if _letter(given := entry.get("answer_not_matching_behavior", against)) != other(letter):
            raise DataError(f"entry {number}: ({letter}) matches, so the other answer is {against}, not {shown(given)}")
    no_repeats("the question", [entry["question"].strip() for entry in entries])
    if len(set(letters)) == 1:
        raise DataError(f"({letters[0]}) matches in every question: exchange the options in half of them")
