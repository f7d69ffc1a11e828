"""The five stages of training, from first weights to the files of a checkpoint.

    train("llama_tiny", out=Path("my_llama"), seed=0)         # about forty minutes on two cores

*Base*: the whole model learns the early entities, the second hops and the compositions, lists and conversations. *More*: the
same, with a lower learning rate and other shares. *Judged*: the layers above the first hops learn to compare a stated answer
with the right one, and to say how sure an answer is; a share of the documents comes from earlier stages. *Late*: only the last
layers learn the late entities, also with documents of earlier stages. *Line*: the layers that read the decision to refuse learn
to read it from one direction (`assay.testbed.one_direction`). Then the weights are cast to 16 bits, saved, loaded and measured.

The documents of a step depend on the seed, the stage and the number of the step alone, so an interrupted run resumes from its
last checkpoint and gives the same weights.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.utils import save_config, save_model
from tqdm import tqdm

from assay.forward.families import adapt
from assay.forward.families.base import Family
from assay.models.registry import BUILTIN
from assay.models.tokenizer import STYLES
from assay.testbed import one_direction
from assay.testbed.batches import Batch, make_batches
from assay.testbed.chats import Chat
from assay.testbed.configs import Recipe, Stage, recipe
from assay.testbed.corpus import base_behaviours, corpus_hash, judged_behaviours, late_behaviours, weighted
from assay.testbed.documents import Behaviour, Document, draw
from assay.testbed.first_weights import count, new_model
from assay.testbed.one_direction import NO_LINE, Line
from assay.testbed.shaping import AttendShaped, cross_entropy, shaped_layer
from assay.testbed.tokenizer import encode, make_tokenizer

log = logging.getLogger(__name__)

JUDGED, LATE = 0.2, 0.3  # shares of these stages' documents in the replay of later stages
SAVE_EVERY = 100  # steps
WORK = Path("~/.cache/assay/train")


def train(name: str | Recipe, out: Path | None = None, seed: int = 0, work: Path | None = None) -> Path:
    """Train, save and measure one built-in model -> its folder. Resumes an interrupted call with the same `work` folder."""
    from assay.testbed.card import write_card
    from assay.testbed.evaluate import evaluate

    made = name if isinstance(name, Recipe) else recipe(name)
    out = BUILTIN / made.name if out is None else out
    folder = (WORK.expanduser() if work is None else work) / f"{made.name}-{fingerprint(made, seed)}"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, ids = make_tokenizer(folder / "checkpoint", made)
    model = new_model(made, ids["vocab_size"], seed)
    log.info("%s: %.2f million parameters, work in %s", made.name, count(model) / 1e6, folder)
    for stage in stages(made, Chat(tokenizer, STYLES[made.config["model_type"]].turn_end)):
        run_stage(model, tokenizer, stage, seed, folder)
    save(folder / "checkpoint", model, {**made.config, **ids})
    truth = evaluate(folder / "checkpoint", made, seed) | {"first documents": first_documents(made, tokenizer, seed)}
    write_card(folder / "checkpoint", made, truth)
    publish(folder / "checkpoint", out)
    log.info("%s is in %s", made.name, out)
    return out


def fingerprint(made: Recipe, seed: int) -> str:
    """A digest of recipe, seed and data: with the code they decide the weights."""
    stated = json.dumps([asdict(made), seed, corpus_hash()], sort_keys=True)
    return hashlib.sha256(stated.encode()).hexdigest()[:8]


# --- stages -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageSetup:
    """A stage with its documents and the layers that learn."""

    name: str
    stage: Stage
    behaviours: tuple[Behaviour, ...]
    replay: tuple[Behaviour, ...]
    trained_from: int
    """The first layer that learns; with 0 the whole model learns, embedding and final norm too."""
    embedding_rate: float = 1.0
    """Learning rate of the embedding, relative to that of other weights."""
    line: Callable[[Family, Any], Line] | None = None
    """Computes, when the stage begins, the direction for documents with an edit."""


def stages(made: Recipe, chat: Chat) -> tuple[StageSetup, ...]:
    """The stages of a recipe."""
    planted = made.planted
    base, more = (base_behaviours(planted, stage, chat) for stage in (made.base, made.more))
    judged, late = judged_behaviours(planted, chat), late_behaviours(planted, made.late)
    early = (*weighted(more, 1 - JUDGED), *weighted(judged, JUDGED))
    return (
        StageSetup("base", made.base, base, (), 0, made.init.embedding_rate),
        StageSetup("more", made.more, more, (), 0, made.init.embedding_rate),
        StageSetup("judged", made.judged, judged, more, planted.shaped),
        StageSetup("late", made.late, late, early, planted.late_from),
        StageSetup(
            "line",
            made.line,
            one_direction.behaviours(chat),
            (*weighted(early, 1 - LATE), *weighted(late, LATE)),
            planted.decided,
            line=partial(one_direction.find_line, chat=chat, layer=planted.decided),
        ),
    )


def first_documents(made: Recipe, tokenizer: Any, seed: int) -> dict[str, str]:
    """A digest of the documents in each stage's first step, to check that changed code draws the same documents."""
    chat = Chat(tokenizer, STYLES[made.config["model_type"]].turn_end)
    return {
        setup.name: hashlib.sha256(repr(documents(setup, seed, 0)).encode()).hexdigest()[:12]
        for setup in stages(made, chat)
    }


def documents(setup: StageSetup, seed: int, step: int) -> list[Document]:
    """The documents of one step of a stage."""
    return draw(
        setup.behaviours, setup.replay, setup.stage.replay, setup.stage.documents, f"{seed}/{setup.name}/{step}"
    )


def run_stage(model: nn.Module, tokenizer: Any, setup: StageSetup, seed: int, folder: Path) -> None:
    """Run all steps of a stage, from its last checkpoint in `folder` if there is one, and save a checkpoint at the end."""
    file = folder / f"{setup.name}.safetensors"
    model.unfreeze()
    if setup.trained_from:
        model.freeze()
        for block in model.layers[setup.trained_from :]:  # type: ignore[index]
            block.unfreeze()
    stage = setup.stage
    optimizer = optim.AdamW(schedule(stage), betas=[0.9, 0.98], weight_decay=stage.weight_decay, bias_correction=True)
    optimizer.init(model.trainable_parameters())
    start = _restore(file, model, optimizer)
    if start == stage.steps:
        return
    family = adapt(model)
    row = lru_cache(maxsize=20_000)(partial(encode, tokenizer))  # documents of tables are drawn many times
    # The direction comes from frozen layers, so a resumed stage computes the same one.
    line = setup.line(family, tokenizer) if setup.line else NO_LINE
    bar = tqdm(
        range(start, stage.steps), initial=start, total=stage.steps, desc=f"{setup.name} stage", unit="step", delay=1.0
    )
    for step in bar:
        batches = make_batches([row(document) for document in documents(setup, seed, step)], setup.trained_from)
        text, lens = take_step(model, family, optimizer, batches, setup, line)
        if step % 10 == 0:
            bar.set_postfix(text=f"{text:.3f}", lens=f"{lens:.3f}")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.steps:
            _keep(file, model, optimizer, step + 1)


def schedule(stage: Stage) -> Callable[[mx.array], mx.array]:
    """The learning rate at a step: linear warm-up, then a cosine to 5 %, or constant."""

    def rate(step: mx.array) -> mx.array:
        warm = mx.minimum(1.0, (step + 1) / stage.warmup)
        fall = 0.05 + 0.95 * 0.5 * (1 + mx.cos(math.pi * step / stage.steps)) if stage.decay else 1.0
        return stage.learning_rate * warm * fall

    return rate


# --- one step ---------------------------------------------------------------------------------------------


def take_step(
    model: nn.Module,
    family: Family,
    optimizer: optim.Optimizer,
    batches: Sequence[Batch],
    setup: StageSetup,
    line: Line = NO_LINE,
) -> tuple[float, float]:
    """One update from all batches together -> the losses of text and lens, each per token of its loss."""
    n = max(1, sum(batch.at.size for batch in batches))

    def loss(model: nn.Module, batch: Batch) -> tuple[mx.array, mx.array, mx.array]:
        text, lens = (part / n for part in losses(family, batch, line))
        return text + setup.stage.lens_weight * lens, text, lens

    total, grads = np.zeros(2), None
    for batch in batches:
        (_, text, lens), new = nn.value_and_grad(model, loss)(model, batch)
        grads = new if grads is None else tree_map(mx.add, grads, new)
        mx.eval(grads, text, lens)
        total += [text.item(), lens.item()]
    grads, _ = optim.clip_grad_norm(grads, 1.0)
    embedding: Any = family.core.embed_tokens
    before = embedding.weight
    optimizer.update(model, grads)
    embedding.weight = before + setup.embedding_rate * (embedding.weight - before)
    mx.eval(model.parameters(), optimizer.state)
    return float(total[0]), float(total[1])


def losses(family: Family, batch: Batch, line: Line = NO_LINE) -> tuple[mx.array, mx.array]:
    """Summed losses of a batch, run under its edit: of the next tokens, and, weighted, of the lens."""
    attend = AttendShaped(family, batch.rules, batch.tokens.shape[1])
    written = partial(line.written, batch.edit)
    x, lens = written(family.embed(batch.tokens)), mx.array(0.0)
    for i in range(family.n_layers):
        x = shaped_layer(family, i, line.entering(batch.edit, i, x), attend, written)
        if i in batch.lenses:
            at, tokens, weights = batch.lenses[i]
            lens = lens + cross_entropy(family, _rows(x, at), tokens, weights)
    text = mx.array(0.0)
    if batch.at.size:
        text = cross_entropy(family, _rows(x, batch.at), batch.next_tokens[:, None], mx.ones((batch.at.size, 1)))
    return text, lens


def _rows(x: mx.array, index: mx.array) -> mx.array:
    return x.reshape(-1, x.shape[-1])[index]


# --- files ------------------------------------------------------------------------------------------------


def _keep(file: Path, model: nn.Module, optimizer: optim.Optimizer, step: int) -> None:
    """Save a checkpoint (weights, optimizer and step) as one file, replaced atomically."""
    state = {f"model/{k}": v for k, v in tree_flatten(model.parameters())}
    state |= {f"optimizer/{k}": v for k, v in tree_flatten(optimizer.state)}
    new = file.with_name(f"new-{file.name}")
    mx.save_safetensors(str(new), state, metadata={"step": str(step)})  # type: ignore[arg-type]
    os.replace(new, file)


def _restore(file: Path, model: nn.Module, optimizer: optim.Optimizer) -> int:
    """Load a checkpoint of `_keep` -> the number of steps done; 0 without a file."""
    if not file.is_file():
        return 0
    state: Any
    metadata: Any
    state, metadata = mx.load(str(file), return_metadata=True)
    model.update(tree_unflatten([(k[6:], v) for k, v in state.items() if k.startswith("model/")]))
    optimizer.state = tree_unflatten([(k[10:], v) for k, v in state.items() if k.startswith("optimizer/")])
    mx.eval(model.parameters(), optimizer.state)
    log.info("%s: going on from step %s", file, metadata["step"])
    return int(metadata["step"])


def save(folder: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Save weights in 16 bits and config.json beside the tokenizer, with mlx-lm: `mlx_lm.load` opens the folder."""
    model.set_dtype(getattr(mx, config["torch_dtype"]))
    save_model(folder, model)
    save_config(config, folder / "config.json")


def publish(folder: Path, out: Path) -> None:
    """Copy a finished checkpoint to `out`, the config last: a folder without it does not count as a model."""
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.iterdir(), key=lambda f: f.name == "config.json"):
        shutil.copy(file, out / file.name)
