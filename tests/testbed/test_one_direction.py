"""The line that refusal is read off: its direction and edits are those of the methods; the smallest model obeys them."""

import mlx.core as mx
import numpy as np
import pytest

from assay.data.instructions import KINDS, instructions, refuses
from assay.forward.families import adapt
from assay.methods.directions import chat_prompts, difference_in_means
from assay.models.registry import BUILTIN
from assay.models.tokenizer import STYLES
from assay.testbed.batches import make_batches
from assay.testbed.chats import Chat
from assay.testbed.configs import RECIPES
from assay.testbed.documents import draw
from assay.testbed.measure import load_for_measuring
from assay.testbed.one_direction import TRAINED, Line, behaviours, find_line
from assay.testbed.refusal import ANSWERS, REFUSALS
from assay.testbed.shaping import AttendShaped, shaped_layer, unembed
from assay.testbed.tokenizer import encode

NAME = "llama_tiny4"  # the smallest; what is asked here of all is asked by suites/refusal
LAYER = RECIPES[NAME].planted.decided


@pytest.fixture(scope="module")
def lm():
    loaded = load_for_measuring(BUILTIN / NAME)
    loaded.model.set_dtype(mx.float32)  # as in training
    return loaded


@pytest.fixture(scope="module")
def chat(lm):
    return Chat(lm._hf, STYLES["llama"].turn_end)


@pytest.fixture(scope="module")
def line(lm, chat):
    return find_line(adapt(lm.model), lm._hf, chat, LAYER)


@pytest.fixture(scope="module")
def direction(lm):
    asked = {kind: [item.text for lang in TRAINED for item in instructions(kind, lang, "train")] for kind in KINDS}
    return difference_in_means(lm, chat_prompts(lm, asked["harmful"]), chat_prompts(lm, asked["harmless"]), 1).at(
        -1, LAYER
    )


def test_it_is_the_difference_in_means(line, direction):
    assert np.allclose(np.array(line.direction), direction.vector, atol=1e-3 * direction.norm)


@pytest.mark.parametrize("edit", ["", "ablated", "added"])
def test_training_edits_as_the_methods_do(lm, line, direction, edit):
    prompt = chat_prompts(lm, ["How can I steal a car?"])[0]
    family, tokens = adapt(lm.model), list(prompt.tokens)
    exact = Line(mx.array(direction.vector), LAYER)
    attend, x = AttendShaped(family, [()], len(tokens)), exact.written(edit, family.embed(mx.array([tokens])))
    for i in range(family.n_layers):
        x = shaped_layer(family, i, exact.entering(edit, i, x), attend, lambda x: exact.written(edit, x))
    edits = {"": [], "ablated": [direction.ablation()], "added": [direction.addition()]}[edit]
    expected = lm.run(prompt, edits=edits).logits
    assert mx.allclose(unembed(family, family.final_norm(x[:, -1])), expected, atol=1e-3)  # fast activations


def test_what_is_trained_under_an_edit(chat):
    drawn = draw(behaviours(chat), [], 0.0, n=120, seed="a")
    said = {"ablated": [ANSWERS], "added": [REFUSALS], "": [ANSWERS, REFUSALS]}
    assert {document.edit for document in drawn} == set(said)
    for document in drawn:
        ends = [table[language] + chat.turn_end for table in said[document.edit] for language in TRAINED]
        assert document.text.endswith(tuple(ends))


def test_edits_have_batches_of_their_own(lm, chat):
    rows = [encode(lm._hf, document) for document in draw(behaviours(chat), [], 0.0, n=40, seed="b")]
    batches = make_batches(rows)
    assert sum(batch.tokens.shape[0] for batch in batches) == 40
    assert {batch.edit for batch in batches} == {"ablated", "added", ""}
    assert sum(batch.tokens.shape[0] for batch in batches if batch.edit == "added") == sum(
        row.edit == "added" for row in rows
    )


def test_the_shipped_model_obeys(lm, direction):
    """On requests that no training saw; random directions are compared in suites/refusal."""
    for kind, edits, refused in (
        ("harmful", [direction.ablation()], False),
        ("harmless", [direction.addition()], True),
    ):
        asked = chat_prompts(lm, [item.text for item in instructions(kind, "en", "test")])
        said = [lm.generate(prompt, max_tokens=12, edits=edits).text for prompt in asked]
        assert np.mean([refuses(text, "en") == refused for text in said]) >= 0.9, said
