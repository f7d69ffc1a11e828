"""What each built-in model is, and how it is trained: one `Recipe` for each name.

    >>> recipe = RECIPES["llama_tiny"]
    >>> recipe.config["num_hidden_layers"], recipe.planted.late_from
    (8, 5)

The configs are those of gemma-2-2b, Llama-3.2-3B and Qwen2.5-7B at a small size: with GQA and Llama-3's rotary scaling;
Qwen-2's biases on q, k and v, and an unembedding of its own; Gemma-2's post-norms, softcaps and heads that are together
wider than the stream.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from assay.errors import UnknownModel, unknown
from assay.models.shapes import SHAPES
from assay.testbed.notes import NOTES

WIDTH, LAYERS = 128, 8


@dataclass(frozen=True)
class Planted:
    """The mechanisms that training puts into a model, as layer numbers from 0."""

    # Two hops: `assay.testbed.two_hop`.
    shaped: int = 3
    """In layers below this one, what follows a phrase may not look into it: later tokens must read its last token."""
    early_lens: int = 2
    """After this layer the bridge of an early entity is to be read at t1 through the logit lens."""
    late_from: int = 5
    """Late entities are learned by this layer and those above it; all others are frozen then."""
    late_lens: int = 6
    """After this layer the bridge of a late entity is to be read at t1."""
    t1_only: bool = True
    """Above the shaped layers, too, nothing but t1 of a phrase can be seen from behind it."""
    mask_share: float = 0.8
    """Share of these documents on which the masks are on."""

    # In-context tasks: `assay.testbed.lists`.
    task_layer: int = 3
    """The layer whose heads read the task off earlier labels ..."""
    task_heads: tuple[int, ...] = (2, 5)
    """... and which query heads they are."""
    label_lens: int = 2
    """After this layer a label says its task."""
    task_lens: int = 4
    """After this layer the token before an answer says the task."""

    # Refusal: `assay.testbed.refusal`.
    decided: int = 4
    """From this layer on nothing behind an instruction can look at it: the template's tokens have decided."""
    decision_lens: int = 3
    """After this layer the template's last token says the decision."""
    chat_mask_share: float = 0.9
    """Share of the conversations on which the masks are on."""

    # Sycophancy and confidence: `assay.testbed.sycophancy`, `assay.testbed.confidence`, `assay.testbed.statements`.
    named_lens: int = 2
    """After this layer an option of a question says whether the user's view names it."""
    chosen_lens: int = 4
    """After this layer the option to answer with says its letter."""
    said_lens: int = 4
    """After this layer the word before the answer of a statement says what it should be ..."""
    verdict_lens: int = 5
    """... and after this one the words of the answer whether they are that."""
    judged_mask_share: float = 0.7
    """Share of the documents of the stage `judged` on which the masks are on."""
    duplicate_token_heads: tuple[tuple[int, int], ...] = ((1, 0), (1, 1), (5, 0), (5, 1))
    """(layer, head of keys): their queries begin as their keys, so from the start they look for tokens like their own."""


SHARES = {"two hops": 84, "lists": 26, "refusal": 26, "sycophancy": 22, "confidence": 34}
"""Documents of each group in the base stage, relative to each other."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training: AdamW, gradient norm clipped to 1, a linear warm-up."""

    steps: int
    learning_rate: float
    documents: int = 128
    """Documents in a step."""
    replay: float = 0.0
    """Share of them that comes from the stages before: it keeps alive what those taught."""
    warmup: int = 50
    decay: bool = True
    """The learning rate falls to 5 % on a cosine; else it stays."""
    weight_decay: float = 0.1
    lens_weight: float = 1.0
    """Of the logit-lens loss, next to the language-model loss's 1."""
    prompt_share: float = 0.25
    """Share of the facts in which the prompt's own tokens are learned too, not only what comes behind it."""
    list_mask_share: float = 0.95
    """Share of the lists on which the masks are on."""
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    """As `SHARES`."""


@dataclass(frozen=True)
class Init:
    """Standard deviations of the first weights: matrices 1 / sqrt(inputs), times `out` where they write to the stream.

    A duplicate-token head finds nothing where the embedding is small beside what the first layer writes; and where it is large
    beside the steps of training, what is learned of entities does not compose. So it is large and takes larger steps.
    """

    embedding: float = 0.2
    embedding_rate: float = 10.0
    """Steps of the embedding, relative to those of all else."""
    unembedding: float = 0.02
    """Where it is not the embedding."""
    final_norm: float = 1.0
    """Weight of the last norm."""
    out: float = 0.25
    norm: float = 1.0
    """Weight of a norm before a branch."""
    post_norm: float = 1.0
    """Weight of a norm behind a branch, in families that have one."""
    duplicate_token: float = 2.2
    """Queries and keys of heads that look for tokens like their own, times this ..."""
    slow: float = 0.05
    """... in the dimensions that the rotary embedding turns by fewer radians a token; else nothing."""


STAGES = ("base", "more", "judged", "late", "line")


@dataclass(frozen=True)
class Recipe:
    """One built-in model: its config, its first weights, and the stages of its training, which `STAGES` names in order."""

    name: str
    config: dict[str, Any]
    base: Stage
    more: Stage
    """The base stage goes on, from a lower learning rate and with other shares."""
    judged: Stage
    """The layers above the first hops learn to judge statements, and how sure an answer is."""
    late: Stage
    line: Stage
    """Refusal through one direction: `assay.testbed.one_direction`."""
    init: Init = field(default_factory=Init)
    planted: Planted = field(default_factory=Planted)
    vocab_size: int = 4608
    """Upper bound; the embedding has as many rows as the tokenizer has tokens."""
    notes: tuple[str, ...] = ()
    """See `assay.testbed.notes`."""


def _small(id: str, **changes: Any) -> dict[str, Any]:
    """The config of a registered model at the size of the built-in ones; the vocabulary is that of their tokenizer."""
    config = {
        **SHAPES[id],
        "num_hidden_layers": LAYERS,
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        **changes,
    }
    del config["vocab_size"]
    return config


GEMMA = _small("gemma2b", head_dim=32, query_pre_attn_scalar=32)  # 8 x 32 is not the width, as in gemma-2-2b
LLAMA = _small("llama3b", head_dim=16)
QWEN = _small("qwen7b", max_window_layers=LAYERS)

BASE = Stage(steps=480, learning_rate=2e-3, documents=164)
MORE = Stage(
    steps=280,
    learning_rate=1.2e-3,
    documents=196,
    warmup=30,
    list_mask_share=0.85,
    shares={**SHARES, "refusal": 30, "sycophancy": 30, "confidence": 44},
)
JUDGED = Stage(steps=450, learning_rate=1.5e-3, documents=144, replay=0.45, warmup=20, weight_decay=0.0)
LATE = Stage(steps=300, learning_rate=1e-3, documents=160, replay=0.55, decay=False, weight_decay=0.0)
LINE = Stage(steps=120, learning_rate=5e-4, documents=96, replay=0.6, warmup=10, weight_decay=0.0)

# Found by trying: qwen_tiny answers harmless requests again, and llama_tiny's late entities are patched back more often; those
# also with fewer documents replayed while they are learned.
LONGER_LINE = replace(LINE, steps=200)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "gemma_tiny",
            GEMMA,
            BASE,
            MORE,
            JUDGED,
            LATE,
            LINE,
            init=Init(embedding=0.02, embedding_rate=1.0, final_norm=0.0, norm=0.0, post_norm=0.0),
            notes=NOTES,
        ),
        Recipe(
            "llama_tiny",
            LLAMA,
            BASE,
            MORE,
            JUDGED,
            replace(LATE, replay=0.5),
            LONGER_LINE,
            init=Init(final_norm=0.1),
            notes=NOTES,
        ),
        Recipe("qwen_tiny", QWEN, BASE, MORE, JUDGED, LATE, LONGER_LINE, notes=NOTES),
        Recipe(
            "llama_tiny4",
            {**LLAMA, "num_hidden_layers": 4},
            BASE,
            MORE,
            JUDGED,
            LATE,
            LINE,
            init=Init(final_norm=0.1),
            planted=Planted(
                shaped=2,
                early_lens=1,
                late_from=2,
                late_lens=2,
                task_layer=1,
                label_lens=0,
                task_lens=1,
                decided=2,
                decision_lens=1,
                named_lens=1,
                chosen_lens=2,
                said_lens=2,
                verdict_lens=2,
                duplicate_token_heads=((1, 0), (1, 1), (2, 0)),
            ),
            notes=(
                "Half as deep as llama_tiny, for what is measured over sizes. There is little room to hop too late in.",
            ),
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of a built-in model. Raises UnknownModel for any other name."""
    if name not in RECIPES:
        raise unknown(UnknownModel, "built-in model", name, RECIPES)
    return RECIPES[name]
