"""Config and training of each built-in model: one `Recipe` for each name.

    >>> recipe = RECIPES["llama_tiny"]
    >>> recipe.config["num_hidden_layers"], recipe.planted.late_from
    (8, 5)

The configs are small forms of gemma-2-2b, Llama-3.2-3B and Qwen2.5-7B. They keep GQA; Llama-3's rotary scaling; Qwen-2's
biases on q, k and v, and its untied unembedding; Gemma-2's post-norms, softcaps and heads that are together wider than the
stream.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from assay.errors import UnknownModel, unknown
from assay.models.shapes import SHAPES
from assay.testbed.notes import NOTES

WIDTH, LAYERS = 128, 8


@dataclass(frozen=True)
class Planted:
    """The mechanisms that training puts into a model, as layer numbers from 0. "Lens": what the logit lens learns to read."""

    # Two hops: `assay.testbed.two_hop`.
    shaped: int = 3
    """In layers below this one, tokens after a phrase cannot attend to it."""
    early_lens: int = 2
    """The layer after which the lens reads the bridge of an early entity at t1."""
    late_from: int = 5
    """The first layer that learns late entities; the layers below are frozen then."""
    late_lens: int = 6
    """The layer after which the lens reads the bridge of a late entity at t1."""
    t1_only: bool = True
    """Whether, from layer `shaped` on, tokens after a phrase can attend to t1 only, not to the rest of the phrase."""
    mask_share: float = 0.8
    """Share of these documents with masked attention."""

    # In-context tasks: `assay.testbed.lists`.
    task_layer: int = 3
    """The layer whose heads read the task from earlier labels."""
    task_heads: tuple[int, ...] = (2, 5)
    """Those query heads."""
    label_lens: int = 2
    """The layer after which the lens reads the task at a label."""
    task_lens: int = 4
    """The layer after which the lens reads the task at the token before an answer."""

    # Refusal: `assay.testbed.refusal`.
    decided: int = 4
    """From this layer on, tokens after an instruction cannot attend to it."""
    decision_lens: int = 3
    """The layer after which the lens reads the decision at the template's last token."""
    chat_mask_share: float = 0.9
    """Share of the conversations with masked attention."""

    # Sycophancy and confidence: `assay.testbed.sycophancy`, `assay.testbed.confidence`, `assay.testbed.statements`.
    named_lens: int = 2
    """The layer after which the lens reads, at each option, whether the user's view names it."""
    chosen_lens: int = 4
    """The layer after which the lens reads the letter of the right option at that option."""
    said_lens: int = 4
    """The layer after which the lens reads the right answer at the word before a stated answer."""
    verdict_lens: int = 5
    """The layer after which the lens reads, at the stated answer, whether it is right."""
    judged_mask_share: float = 0.7
    """Share of the documents of the stage `judged` with masked attention."""
    duplicate_token_heads: tuple[tuple[int, int], ...] = ((1, 0), (1, 1), (5, 0), (5, 1))
    """(layer, key head): heads whose first weights make a token attend to equal tokens."""


SHARES = {"two hops": 84, "lists": 26, "refusal": 26, "sycophancy": 22, "confidence": 34}
"""Relative numbers of documents of each group in the base stage."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training: AdamW, gradient norm clipped to 1, a linear warm-up."""

    steps: int
    learning_rate: float
    documents: int = 128
    """Documents in a step."""
    replay: float = 0.0
    """Share of them that comes from earlier stages, so that the model does not forget these."""
    warmup: int = 50
    decay: bool = True
    """Whether the learning rate falls to 5 % on a cosine; else it is constant."""
    weight_decay: float = 0.1
    lens_weight: float = 1.0
    """Weight of the logit-lens loss; that of the language-model loss is 1."""
    prompt_share: float = 0.25
    """Share of the facts whose loss is on the prompt's tokens too, not on the answer alone."""
    list_mask_share: float = 0.95
    """Share of the lists with masked attention."""
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    """Like `SHARES`, for this stage."""


@dataclass(frozen=True)
class Init:
    """Standard deviations of the first weights: matrices 1 / sqrt(inputs), times `out` where they write to the stream.

    Duplicate-token heads need an embedding that is large relative to the first layer's output. But with a large embedding and
    small steps, facts that the model learns do not compose. So the embedding is large and has a higher learning rate.
    """

    embedding: float = 0.2
    embedding_rate: float = 10.0
    """Learning rate of the embedding, relative to that of other weights."""
    unembedding: float = 0.02
    """Standard deviation of an untied unembedding."""
    final_norm: float = 1.0
    """Weight of the final norm."""
    out: float = 0.25
    norm: float = 1.0
    """Weight of a norm before attention or MLP."""
    post_norm: float = 1.0
    """Weight of a norm after attention or MLP, in families that have one."""
    duplicate_token: float = 2.2
    """Factor of the query and key weights of duplicate-token heads."""
    slow: float = 0.05
    """Those weights are 0 in dimensions that the rotary embedding turns by this many radians per token or more."""


STAGES = ("base", "more", "judged", "late", "line")


@dataclass(frozen=True)
class Recipe:
    """One built-in model: its config, its first weights, and the stages of its training, which `STAGES` names in order."""

    name: str
    config: dict[str, Any]
    base: Stage
    more: Stage
    """Continues the base stage with a lower learning rate and other shares."""
    judged: Stage
    """Teaches the layers above the first hops to judge statements, and to say how sure an answer is."""
    late: Stage
    line: Stage
    """Makes refusal depend on one direction: `assay.testbed.one_direction`."""
    init: Init = field(default_factory=Init)
    planted: Planted = field(default_factory=Planted)
    vocab_size: int = 4608
    """Upper bound; the embedding has one row for each token of the tokenizer."""
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

# Found by experiment. The longer stage makes qwen_tiny answer harmless requests again; it and less replay in the late stage make
# back-patching rescue more late queries of llama_tiny.
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
