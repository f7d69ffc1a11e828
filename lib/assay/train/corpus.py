"""Everything that the built-in models read: the behaviours of all files, with their shares of a stage.

    >>> [b.name for b in late_behaviours(recipe("llama_tiny"))]                               # doctest: +SKIP
    ['late first hop', 'late two hops, cut short', 'late apposition', 'late e1 shortcut']

A document is drawn by choosing a behaviour and then one of its documents, so that a relation with few facts is learned as
well as one with many.
"""

from collections.abc import Sequence
from dataclasses import replace

from assay.data import instructions, knowledge, opinions, tasks, two_hop
from assay.train import chats, confidence, lists, refusal, sycophancy
from assay.train import two_hop as hops
from assay.train.chats import Chat
from assay.train.configs import Planted, Recipe
from assay.train.documents import Behaviour

SHARES = {"two hops": 84, "lists": 26, "refusal": 24, "sycophancy": 10, "confidence": 16}
"""Documents of each group in a step of the base stage, relative to each other."""
WHOLE, SPOKEN = 100, 8
"""How often words that should be one token, and what is said in conversations, are in the tokenizer's corpus."""


def base_behaviours(made: Recipe, chat: Chat) -> tuple[Behaviour, ...]:
    """What the whole model learns first."""
    p = made.planted
    facts = hops.base_behaviours(hops.split(), shape(p), ruled=p.mask_share, whole=made.base.prompt_share)
    carriers = lists.Carriers(p.task_layer, p.task_heads, p.label_lens, p.task_lens)
    decision = refusal.Decision(p.decided, p.decision_lens)
    return (
        *weighted(facts, SHARES["two hops"]),
        *weighted(lists.behaviours(carriers, ruled=p.list_mask_share), SHARES["lists"]),
        *weighted(refusal.behaviours(chat, decision, ruled=p.chat_mask_share), SHARES["refusal"]),
        *weighted(sycophancy.behaviours(chat, p.named_lens), SHARES["sycophancy"]),
        *weighted(confidence.behaviours(chat, hops.split(), p.verdict_lens), SHARES["confidence"]),
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
    said = [*refusal.texts(), *sycophancy.texts(), *confidence.texts()]
    words = [*hops.names(), *lists.words(), *refusal.words(), *chats.words(), *sycophancy.NAMED.values(), *confidence.RIGHT.values()]
    return [*facts, *SPOKEN * said, *WHOLE * words]


def corpus_hash() -> str:
    """Which version of all data this is."""
    return "-".join(data.file_hash() for data in (two_hop, tasks, instructions, opinions, knowledge))
