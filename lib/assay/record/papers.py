"""The papers whose experiments are reproduced here, and the ids of these experiments.

    >>> known()["HTL-7"]
    'Back-patching from t1'
    >>> of("HTL-7")["name"], of("HTL-7")["ref"]
    ('Hopping Too Late', 'arXiv:2406.12775')

An *id* is a paper's letters and a number. Ids with other letters belong to other repositories and are free; an id with known
letters and an unknown number is a spelling error. The list is `suites/catalogue.json`, and is part of the installed package.
"""

import json
from functools import cache
from importlib import resources
from typing import Any

from assay.errors import AssayError, near


class UnknownExperiment(AssayError):
    """An id looks like one of the catalogue and is not in it."""


@cache
def papers() -> list[dict[str, Any]]:
    """`{"name", "paper", "authors", "ref", "experiments": {id: title}}`, in the order of the page.

    Some have "claims", what the paper claims in our words, "published", {id: the numbers that it reports}, and "terms",
    {a word of its claims and metrics: what it means}.
    """
    return json.loads(resources.files("assay.record").joinpath("catalogue.json").read_text(encoding="utf-8"))


@cache
def known() -> dict[str, str]:
    """Id -> title."""
    return {id: title for paper in papers() for id, title in paper["experiments"].items()}


def of(id: str) -> dict[str, Any] | None:
    """The paper of an experiment; None for another repository's id. Raises UnknownExperiment for a misspelt one."""
    for paper in papers():
        if id in paper["experiments"]:
            return paper
    if id.partition("-")[0] in {name.partition("-")[0] for name in known()}:
        raise UnknownExperiment(f"no experiment has the id {id!r}. Did you mean {' or '.join(near(id, known()))}?")
    return None
