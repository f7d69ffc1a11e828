"""All training documents of the built-in models: the behaviours of all files, with their shares of a stage.

    >>> [b.name for b in late_behaviours(Planted(), Stage(300, 1e-3))]
    ['late first hop', 'late two hops, cut short', 'late apposition', 'late e1 shortcut']

A document is drawn by choosing a behaviour and then one of its documents, so that a relation with few facts is learned as
well as one with many.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from assay.data import knowledge, opinions, tasks, two_hop
from assay.testbed import chats, confidence, lists, refusal, statements, sycophancy
from assay.testbed import two_hop as hops
from assay.testbed.chats import Chat
from assay.testbed.configs import Planted, Stage
from assay.testbed.documents import Behaviour

WHOLE, SPOKEN = 100, 8
"""How often the tokenizer's corpus repeats words that should be one token, and the texts of conversations."""


def base_behaviours(planted: Planted, stage: Stage, chat: Chat) -> tuple[Behaviour, ...]:
    """Documents of the base stage, in which the whole model learns."""
    p, shares = planted, stage.shares
    facts = hops.base_behaviours(hops.early_and_late(), shape(p), ruled=p.mask_share, whole=stage.prompt_share)
    carriers = lists.Carriers(p.task_layer, p.task_heads, p.label_lens, p.task_lens)
    decision = refusal.Decision(p.decided, p.decision_lens)
    given = chat, hops.early_and_late(), judging(p)
    known = (
        *confidence.behaviours(*given, ruled=p.chat_mask_share),
        *statements.behaviours(*given, ruled=p.chat_mask_share),
    )
    return (
        *weighted(facts, shares["two hops"]),
        *weighted(lists.behaviours(carriers, ruled=stage.list_mask_share), shares["lists"]),
        *weighted(refusal.behaviours(chat, decision, ruled=p.chat_mask_share), shares["refusal"]),
        *weighted(sycophancy.behaviours(chat, choice(p), ruled=p.chat_mask_share), shares["sycophancy"]),
        *weighted(known, shares["confidence"]),
    )


def judged_behaviours(planted: Planted, chat: Chat) -> tuple[Behaviour, ...]:
    """Documents of the judged stage: statements, and answers that say how sure they are."""
    given = chat, hops.early_and_late(), judging(planted)
    return (
        *weighted(statements.judged_behaviours(*given, ruled=planted.judged_mask_share), 0.90),
        *weighted(confidence.hedged_behaviours(*given, ruled=planted.judged_mask_share), 0.10),
    )


def late_behaviours(planted: Planted, stage: Stage) -> tuple[Behaviour, ...]:
    """Documents of the late stage, in which the last layers learn."""
    late = replace(shape(planted), lens=planted.late_lens)
    return hops.late_behaviours(hops.early_and_late(), late, ruled=planted.mask_share, whole=stage.prompt_share)


def shape(planted: Planted) -> hops.Shape:
    """The layers of early entities' hops."""
    return hops.Shape(planted.shaped, planted.early_lens, planted.t1_only)


def choice(planted: Planted) -> sycophancy.Choice:
    """The layers that find the right option of a question."""
    return sycophancy.Choice(planted.named_lens, planted.chosen_lens)


def judging(planted: Planted) -> confidence.Judging:
    """The layers that judge a statement."""
    return confidence.Judging(shape(planted), planted.said_lens, planted.verdict_lens)


def weighted(behaviours: Sequence[Behaviour], total: float) -> list[Behaviour]:
    """The behaviours with their shares scaled to a sum."""
    scale = total / sum(b.share for b in behaviours)
    return [replace(b, share=b.share * scale) for b in behaviours]


def texts() -> list[str]:
    """The tokenizer's corpus: every fact once, late ones too, and the words that should be one token."""
    anywhere = hops.Shape(0, 0, False)
    behaviours = (
        *hops.base_behaviours(hops.early_and_late(), anywhere),
        *hops.late_behaviours(hops.early_and_late(), anywhere),
    )
    facts = dict.fromkeys(d.text for behaviour in behaviours for d in behaviour.documents)
    said = [*refusal.texts(), *sycophancy.texts(), *confidence.texts(), *statements.texts()]
    words = [
        *hops.names(),
        *lists.words(),
        *refusal.words(),
        *chats.words(),
        *sycophancy.words(),
        *statements.RIGHT.values(),
        confidence.NOT_KNOWN,
    ]
    return [*facts, *SPOKEN * said, *WHOLE * words]


def corpus_hash() -> str:
    """A hash of the training data. Of the instructions, only the requests count, not the phrases that mark a refusal."""
    asked = hashlib.sha256("\n".join(refusal.texts()).encode()).hexdigest()[:12]
    return "-".join([*(data.file_hash() for data in (two_hop, tasks, opinions, knowledge)), asked])
