"""In-context prompts: solved examples of a task, and one more input whose output the model should write (FV-1, FV-3).

    >>> prompt = build(("big", "small"), [("hot", "cold")])
    >>> prompt.text
    'Q: hot\\nA: cold\\n\\nQ: big\\nA:'
    >>> prompt.answer
    ' small'
    >>> [prompt.text[start:end] for role, start, end in prompt.spans if role == "label"]
    [' cold']
    >>> [antonym] = tasks(["antonym"])
    >>> sample(antonym, 10, random.Random(0)).query in antonym.split("test")
    True

The words, on the prompt above:

    shot        a solved example in the prompt        "Q: hot\\nA: cold\\n\\n"
    query       the pair to be completed              ("big", "small")
    answer      the right continuation: a space and the query's output              " small"
    template    the text around inputs and outputs; each input and output has ONE leading space
    role        the function of a piece of the prompt; a token has the role of its last character

    demonstration            the input of a shot                             " hot"
    separator                between the input and the output's prefix       "\\n"
    structural               the prefixes, up to the predictive token        "Q:" "A"
    predictive               the last token before a label                   ":"
    label                    the output of a shot                            " cold"
    end_of_example           behind a shot                                   "\\n\\n"
    query_demonstration, query_separator, query_structural, query_predictive      the same, in the query

Todd et al., Function Vectors in Large Language Models, ICLR 2024, arXiv 2310.15213, section 2.1 and appendix B.
"""

import random
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from assay.data.tasks import Pair, Task, tasks
from assay.errors import DataError, unknown

Labels = Literal["own", "shuffled", "mixed"]
Role = Literal[
    "demonstration",
    "label",
    "separator",
    "predictive",
    "structural",
    "end_of_example",
    "query_demonstration",
    "query_structural",
    "query_separator",
    "query_predictive",
]
ROLES: tuple[Role, ...] = get_args(Role)  # in the order of the paper's code


@dataclass(frozen=True)
class Template:
    """The text around inputs and outputs, without the leading space of either."""

    input_prefix: str = "Q:"
    output_prefix: str = "A:"
    after_input: str = "\n"
    after_output: str = "\n\n"


DEFAULT = Template()
PREFIXES = (
    ("A:", "B:"),
    ("input:", "output:"),
    ("Input:", "Output:"),
    ("In:", "Out:"),
    ("question:", "answer:"),
    ("Question:", "Answer:"),
    ("", " ->"),
    ("", " :"),
    ("text:", "label:"),
    ("x:", "f(x):"),
    ("x:", "y:"),
    ("X:", "Y:"),
)
SEPARATORS = (
    (" ", ""),
    (" ", "\n"),
    (" ", "\n\n"),
    ("\n", "\n"),
    ("\n", "\n\n"),
    ("\n\n", "\n\n"),
    (" ", "|"),
    ("\n", "|"),
    ("|", "\n"),
    ("|", "\n\n"),
)
TEMPLATES = tuple(Template(*prefixes, *separators) for prefixes in PREFIXES for separators in SEPARATORS)  # FV-8


@dataclass(frozen=True)
class InContext:
    """A prompt and its pieces; `spans` cover the text without gaps, each (role, start, end) in characters."""

    text: str
    query: Pair
    shots: tuple[Pair, ...]
    spans: tuple[tuple[Role, int, int], ...]

    @property
    def answer(self) -> str:
        """The right continuation: the query's output with one leading space."""
        return f" {self.query[1]}"


def build(query: Pair, shots: Iterable[Pair], template: Template = DEFAULT) -> InContext:
    """The prompt that shows `shots` and asks for the output of `query`."""
    shots = tuple(shots)
    text, spans = "", []
    for role, piece in _pieces(query[0], shots, template):
        if piece:
            spans.append((role, len(text), len(text) + len(piece)))
            text += piece
    return InContext(text, query, shots, tuple(spans))


def sample(
    task: Task,
    n_shots: int,
    rng: random.Random,
    *,
    query_split: str = "test",
    shot_split: str = "train",
    labels: Labels = "own",
    others: Iterable[Task] | None = None,
    template: Template = DEFAULT,
) -> InContext:
    """A prompt of `task` with a random query and `n_shots` random shots, none of them with the query's input.

    `labels` says which outputs the shots show:

        own        their own
        shuffled   their own, permuted among the shots at random: the paper's corrupted prompt (FV-3). A few may stay in place
        mixed      each the output of a random pair of a random task of `others` (by default all built-in tasks), so that not
                   even the set of labels tells the task: the corrupted prompt for the built-in models

    Mixed labels come from `shot_split`, too. Raises DataError for unknown `labels`, an empty split, and too few pairs.
    """
    if labels not in get_args(Labels):
        raise unknown(DataError, "way to label the shots", labels, get_args(Labels))
    queries = task.split(query_split)
    if not queries:
        raise DataError(f"task {task.name!r} has no pair in its {query_split} split, so there is nothing to ask")
    query = rng.choice(queries)
    pool = [pair for pair in task.split(shot_split) if pair[0] != query[0]]
    if n_shots < 0 or n_shots > len(pool):
        raise DataError(
            f"task {task.name!r} has {len(pool)} pairs for shots in its {shot_split} split, not {n_shots}; "
            f"ask for 0 to {len(pool)} shots, or give a longer file"
        )
    shots = rng.sample(pool, n_shots)
    outputs = [output for _, output in shots]
    if labels == "shuffled":
        rng.shuffle(outputs)
    elif labels == "mixed":
        pools = [pairs for other in (tasks() if others is None else others) if (pairs := other.split(shot_split))]
        if not pools:
            raise DataError(f"mixed labels come from all tasks, and none has a pair in its {shot_split} split")
        outputs = [rng.choice(rng.choice(pools))[1] for _ in shots]
    return build(query, [(given, output) for (given, _), output in zip(shots, outputs, strict=True)], template)


def _pieces(query_input: str, shots: Iterable[Pair], template: Template) -> Iterator[tuple[Role, str]]:
    """The prompt from left to right; a piece may be empty."""
    # The end of the prefix that the model predicts from is one token in most vocabularies: ":", "->" or "):".
    prefix = template.output_prefix
    head = prefix.rstrip(string.punctuation)
    head = prefix[:-1] if head == prefix else head
    predictive = prefix.removeprefix(head)
    for given, output in shots:
        yield "structural", template.input_prefix
        yield "demonstration", f" {given}"
        yield "separator", template.after_input
        yield "structural", head
        yield "predictive", predictive
        yield "label", f" {output}"
        yield "end_of_example", template.after_output
    yield "query_structural", template.input_prefix
    yield "query_demonstration", f" {query_input}"
    yield "query_separator", template.after_input
    yield "query_structural", head
    yield "query_predictive", predictive
