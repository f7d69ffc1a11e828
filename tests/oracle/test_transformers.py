"""Every variant as assay runs it, and as transformers and torch run it beside: the same logits, the same continuations.

    pip install -e ".[oracle]"
    pytest tests/oracle                                      # some hundred variants
    ASSAY_THOROUGH=1 pytest tests/oracle                     # all of them, which takes minutes

Without torch nothing of this file runs. The largest difference is printed at the end.
"""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from bounds import LIMIT, LIMITED
from checkpoints import write
from families import LENGTHS, prompt
from references import CONFIGS, CONTINUED, TOKENS, apart, load
from test_references import TOLERANCE
from variants import NO_CHANGE, SINGLE, VARIANTS, more_tensors

import assay

pytest.importorskip("torch", reason="runs where torch and transformers are installed: the extra `oracle`")

from publisher import Publisher, shapes

THOROUGH = bool(os.environ.get("ASSAY_THOROUGH"))
CHOSEN = [name for name in VARIANTS if THOROUGH or name in CONFIGS or name.endswith("-mixed-0") or "-of-" in name]
EFFECT = 1e-4
"""The least that a feature changes the logits of some family's plain model."""


@pytest.mark.parametrize("name", CHOSEN)
def test_assay_is_transformers(tmp_path, name, differences):
    """All positions of prompts of every length, each alone and all in one batch; greedy continuations, alone and beside."""
    config = VARIANTS[name]
    folder = write(tmp_path, config, {**shapes(config), **more_tensors(name)})
    said, lm = Publisher(folder), assay.load(str(folder), doctor=True)
    prompts = [prompt(length) for length in LENGTHS]
    together = lm.run(prompts, keep="logits")["logits", None]
    found = {}
    for tokens, row in zip(prompts, together, strict=True):
        alone = lm.run(tokens, keep="logits")["logits", None][0]
        expected = said.logits(tokens)
        found[len(tokens)] = max(apart(alone, expected), apart(row[: len(tokens)], expected))
    differences[name] = max(found.values())
    assert differences[name] <= TOLERANCE, found
    tokens = tuple(said.greedy(prompt(CONTINUED), TOKENS))
    beside = lm.generate([prompt(CONTINUED), prompt(2)], max_tokens=TOKENS)[0]
    for continued in (lm.generate(prompt(CONTINUED), max_tokens=TOKENS), beside):
        assert continued.tokens[: len(tokens)] == tokens


@pytest.mark.parametrize("name", CONFIGS)
def test_the_committed_references_are_what_transformers_says_here(tmp_path, name):
    saved = load()[name]
    assert {**shapes(saved.config), **more_tensors(name)} == saved.shapes
    said = Publisher(write(tmp_path, saved.config, saved.shapes))
    for length, expected in saved.last.items():
        assert apart(said.logits(prompt(length))[-1], expected) <= TOLERANCE


@pytest.mark.skipif(not THOROUGH, reason="takes a minute: runs with ASSAY_THOROUGH=1")
def test_every_feature_changes_something(tmp_path):
    """A variant that is its plain model would agree whatever assay made of its feature."""
    long, found = prompt(LENGTHS[-1]), defaultdict(list)
    plain: dict[str, np.ndarray] = {}
    for i, (name, config) in enumerate(SINGLE.items()):
        family, _, feature = name.partition("-")
        logits = Publisher(write(tmp_path / str(i), config, shapes(config))).logits(long)
        plain.setdefault(family, logits)
        same = logits.shape == plain[family].shape
        found[feature].append(apart(logits, plain[family]) if same else np.inf)
    without = {feature for feature, differences in found.items() if max(differences) < EFFECT}
    assert without <= NO_CHANGE
    assert next(iter(SINGLE)).endswith("-plain")


@pytest.mark.parametrize("name", LIMITED)
def test_beyond_its_limit_a_text_has_other_frequencies(tmp_path, name):
    """Why there is a limit: one token more, and those before it are read otherwise, so that no cache holds them."""
    config, text = LIMITED[name], prompt(LIMIT + 1)
    said = Publisher(write(tmp_path, config, shapes(config)))
    upto = said.logits(text[:LIMIT])
    assert apart(upto[:-1], said.logits(text[: LIMIT - 1])) <= TOLERANCE
    assert apart(upto, said.logits(text)[:-1]) > 100 * TOLERANCE


def test_the_tables_are_large():
    assert len(VARIANTS) >= 150
    assert {Path(name).name for name in VARIANTS} == set(VARIANTS)
