"""Everything that the built-in models read: the behaviours of all files, with their shares of a stage.

    >>> [b.name for b in late_behaviours(recipe("llama_tiny"))]                               # doctest: +SKIP
    ['late first hop', 'late two hops, cut short', 'late apposition', 'late e1 shortcut']

A document is drawn by choosing a behaviour and then one of its documents, so that a relation with few facts is learned as
well as one with many.
"""

from collections.abc import Sequence
from dataclasses import replace

from assay.data import tasks, two_hop
from assay.train import lists, two_hop as hops
from assay.train.chats import Chat
from assay.train.configs import Planted, Recipe
from assay.train.documents import Behaviour

SHARES = {"two hops": 96, "lists": 24}
"""Documents of each group in a step of the base stage, relative to each other."""
REPEATED = 20
"""How often a word that should be one token is in the tokenizer's corpus, beside the documents."""


def base_behaviours(made: Recipe, chat: Chat) -> tuple[Behaviour, ...]:
    """What the whole model learns first."""
    p = made.planted
    facts = hops.base_behaviours(hops.split(), shape(p), ruled=p.mask_share, whole=made.base.prompt_share)
    carriers = lists.Carriers(p.task_layer, p.task_heads, p.label_lens, p.task_lens)
    return (
        *weighted(facts, SHARES["two hops"]),
        *weighted(lists.behaviours(carriers, ruled=p.list_mask_share), SHARES["lists"]),
    )


def late_behaviours(made: Recipe) -> tuple[Behaviour, ...]:
    """What the last layers learn afterwards."""
    p = made.planted
    late = replace(shape(p), lens=p.late_lens)
    return hops.late_behaviours(hops.split(), late, ruled=p.mask_share, whole=made.late.prompt_share)


def shape(planted: Planted) -> hops.Shape:
    """Where the hops of early entities are made."""
    return hops.Shape(planted.shaped, planted.early_lens, planted.t1_only)


def weighted(behaviours: Sequence[Behaviour], total: float) -> list[Behaviour]:
    """The behaviours with their shares scaled to a sum."""
    scale = total / sum(b.share for b in behaviours)
    return [replace(b, share=b.share * scale) for b in behaviours]


def texts() -> list[str]:
    """What the tokenizer is made from: every fact once, late ones too, and the words that should be whole."""
    anywhere = hops.Shape(0, 0, False)
    behaviours = (
        *hops.base_behaviours(hops.split(), anywhere),
        *hops.late_behaviours(hops.split(), anywhere),
    )
    facts = dict.fromkeys(d.text for behaviour in behaviours for d in behaviour.documents)
    return [*facts, *REPEATED * [*hops.names(), *lists.words()]]


def corpus_hash() -> str:
    """Which version of all data this is."""
    return "-".join(data.file_hash() for data in (two_hop, tasks))
