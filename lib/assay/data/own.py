"""Prompt sets of your own, from files in the forms of the papers' authors.

    >>> _ = Path("mine.json").write_text('[{"instruction": "Write a poem."}, "Name a river."]')
    >>> [request.text for request in read("harmless", "mine.json")]
    ['Write a poem.', 'Name a river.']
    >>> _ = Path("cities.csv").write_text("statement,label,city\\nParis is in France.,1,Paris\\nParis is in Peru.,0,Paris\\n")
    >>> [(one.text, one.true, one.entity, one.relation) for one in read("statements", "cities.csv")]
    [('Paris is in France.', True, 'Paris', 'cities'), ('Paris is in Peru.', False, 'Paris', 'cities')]
    >>> import json
    >>> asked = {"question": "Which? (A) one today (B) two tomorrow", "answer_matching_behavior": "(A)"}
    >>> again = {"question": "Which? (A) two tomorrow (B) one today", "answer_matching_behavior": "(B)"}
    >>> _ = Path("haste.json").write_text(json.dumps([asked, again]))
    >>> [(item.behaviour, item.options, item.matches) for item in read("behaviour", "haste.json")]
    [('haste', ('one today', 'two tomorrow'), 'A'), ('haste', ('two tomorrow', 'one today'), 'B')]

    name         stands in for                       form
    harmful      the English requests that do harm   JSON list of {"instruction": ...} or of texts (Arditi et al.)
    harmless     those that do none                  the same
    two-hop      the two-hop queries                 CSV with e1_label, e2_label, e3_label, r1_template, r2_template, and
                                                     perhaps id, e2_aliases, e3_aliases, source_prompt (Biran et al.)
    statements   the true and false statements       CSV with statement and label (1 or 0), perhaps relation, and a
                                                     column with what each is about (Marks and Tegmark)
    behaviour    the behaviour of the file's name,   JSON list of {"question": ..., "answer_matching_behavior": "(A)"}; the
                 or one more of that name            question ends in its options, (A) ... (B) ... (Rimsky et al.)
    opinions     the questions of taste, in which    CSV, or JSON list of tables, with question, A, B, view_A and view_B, where
                 a user says what they prefer        view_A names A and not B; or the form of opinions.json, with its splits
    right-or-wrong   the questions with a right      CSV with question, right, wrong, and perhaps kind; the answers begin with
                 and a wrong answer                  different letters
    entities     the known and the made-up names     CSV with name, known (1 or 0), question, and perhaps kind, answer
    persona      the trait of the file's name, or    JSON table of one trait, as in personas.json
                 one more of that name

A file has no splits. They are drawn by text, for statements by what they are about (`draw_splits`), so that a statement and its
twin are in one split, and a question and its twin with exchanged options, too; both views of a question are in one split. A
two-hop template is "the capital of {}"; its r1 shortcut is the query without e1. Rimsky et al.'s questions on sycophancy have
the view in the question, so they are a behaviour; opinions are asked without the view, too. A wording of views ("I like {}.")
counts from four topics of the train split on, so use few wordings.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.data import files
from assay.data.files import draw_splits, is_true, no_repeats
from assay.data.instructions import Instruction, Kind
from assay.data.knowledge import Statement
from assay.data.own_questions import read_behaviour, read_entities, read_opinions, read_persona, read_right_or_wrong
from assay.data.two_hop import TwoHop, sentence
from assay.errors import DataError, unknown


def read(name: str, path: Path | str) -> tuple[Any, ...]:
    """The items of a file that stand in for the prompt set `name`.

    Raises DataError, which names the file and the entry, for a file of another form, and for an unknown prompt set.
    """
    if name not in PROMPTS:
        raise unknown(DataError, "prompt set", name, PROMPTS)
    return PROMPTS[name](Path(path))


def _requests(kind: Kind) -> Callable[[Path], tuple[Instruction, ...]]:
    def read_requests(path: Path) -> tuple[Instruction, ...]:
        entries = files.load(path, _check_requests)
        texts = [_request(entry).strip() for entry in entries]
        split_of = draw_splits(texts)
        return tuple(Instruction(f"own/{i}", kind, "en", split_of[text], text) for i, text in enumerate(texts, 1))

    return read_requests


def _check_requests(entries: Any) -> None:
    if not isinstance(entries, list) or not entries:
        raise DataError('needs a list of {"instruction": ...} or of texts, with at least one entry')
    for number, entry in enumerate(entries, 1):
        text = _request(entry)
        if not isinstance(text, str) or not text.strip():
            raise DataError(f'entry {number} is neither {{"instruction": text}} nor a text: {entry!r}')
    no_repeats("the request", [_request(entry).strip() for entry in entries])


def _request(entry: Any) -> Any:
    """The text of a request, which may stand in a table."""
    return entry.get("instruction") if isinstance(entry, dict) else entry


def _two_hop(path: Path) -> tuple[TwoHop, ...]:
    queries = []
    for number, row in files.rows(path, "e1_label", "e2_label", "e3_label", "r1_template", "r2_template"):
        e1, e2, e3, r1, r2 = (row[key] for key in ("e1_label", "e2_label", "e3_label", "r1_template", "r2_template"))
        for template in (r1, r2):
            if template.count("{}") != 1:
                raise DataError(f"{path}: line {number}: the template {template!r} needs one {{}}")
        phrase, bare = r1.replace("{}", e1), r1.replace("{}", "").strip().removesuffix(" of")
        query = TwoHop(
            id=row.get("id") or f"own/{number}",
            family=f"{r2} {r1}",
            e1=e1,
            e2=e2,
            e3=e3,
            e2_aliases=(e2, *_aliases(row, "e2_aliases", e2)),
            e3_aliases=(e3, *_aliases(row, "e3_aliases", e3)),
            r1_phrase=phrase,
            prompt=_prompt(row) or sentence(r2.replace("{}", phrase)),
            first_hop=sentence(phrase),
            second_hop=sentence(r2.replace("{}", e2)),
            e1_shortcut=sentence(r2.replace("{}", e1)),
            r1_shortcut=sentence(r2.replace("{}", bare)),
        )
        if phrase not in query.prompt:
            raise DataError(f"{path}: line {number}: the prompt {query.prompt!r} does not hold {phrase!r}")
        queries.append(query)
    no_repeats(f"{path}: the id", (query.id for query in queries))
    return tuple(queries)


def _prompt(row: dict[str, str]) -> str:
    given = row.get("source_prompt", "")
    return given if not given or given.endswith(" is") else f"{given} is"


def _aliases(row: dict[str, str], column: str, label: str) -> list[str]:
    """The other names in a cell, a Python or JSON list; those of one letter match anything and are left out, as in the paper."""
    if not (text := row.get(column, "")):
        return []
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{column} of {label!r} is no list of texts: {text!r:.60}")
    return [name for name in dict.fromkeys(names) if len(name) > 1 and name != label]


def _statements(path: Path) -> tuple[Statement, ...]:
    rows = list(files.rows(path, "statement", "label"))
    about = next((column for column in rows[0][1] if column not in ("statement", "label", "relation")), "statement")
    split_of = draw_splits(row[about] for _, row in rows)
    statements = []
    for number, row in rows:
        true, relation = is_true(row, "label", f"{path}: line {number}"), row.get("relation") or path.stem
        statements.append(
            Statement(
                f"{path.stem}/{number}", split_of[row[about]], row["statement"], true, relation, row[about], "", ""
            )
        )
    no_repeats(f"{path}: the statement", (one.text for one in statements))
    return tuple(statements)


PROMPTS: dict[str, Callable[[Path], tuple[Any, ...]]] = {
    "harmful": _requests("harmful"),
    "harmless": _requests("harmless"),
    "two-hop": _two_hop,
    "statements": _statements,
    "behaviour": read_behaviour,
    "opinions": read_opinions,
    "right-or-wrong": read_right_or_wrong,
    "entities": read_entities,
    "persona": read_persona,
}
"""By the name of the built-in prompt set: how a file is read that stands in for it."""
