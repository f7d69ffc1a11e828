"""Sublayer projection against ten lines of plain mlx: what is added to the stream, through norm, head and softcap."""

import mlx.core as mx
import numpy as np
import pytest
import tiny
from plain import head, plain

from assay.data.two_hop import two_hop
from assay.errors import PositionError
from assay.methods.hopping_too_late import names
from assay.methods.hopping_too_late.projection import SUBLAYERS, project_query, project_sublayers

QUERIES = [q for q in two_hop("state_capital") if q.e1 in ("Dallas", "Buffalo")]


def by_hand(model, tokens, at):
    """Logits of what attention and MLP add to the stream of each layer at one position."""
    written = {site: [] for site in SUBLAYERS}

    def change(site, i, x):
        if site in written:
            written[site].append(head(model, model.model.norm(x[0, at])))
        return x

    plain(model, tokens, change)
    return {site: np.array(mx.stack(logits)) for site, logits in written.items()}


@pytest.mark.parametrize("family", ["llama", "llama_untied", "gemma2", "gemma3_text", "qwen2", "phi3"])
@pytest.mark.parametrize("position", [-1, 3])
def test_equals_plain_mlx(family, position):
    lm, tokens = tiny.lm(family), tiny.ids(9)
    found, expected = project_sublayers(lm, tokens, position), by_hand(lm.model, tokens, position)
    for site in SUBLAYERS:
        np.testing.assert_allclose(found[site], expected[site], atol=2e-4)


def test_ranks_of_a_query(monkeypatch):
    """Every name is given two tokens; a name loses those that it shares with the query's other one, or with the query."""
    lm, (query, other) = tiny.lm("gemma2"), QUERIES
    tokens = {
        query.e2_aliases: [40, 41], query.e3_aliases: [41, 50], other.e2_aliases: [41, 60], other.e3_aliases: [70, 80],
    }  # fmt: skip
    monkeypatch.setattr(names, "first_name_tokens", lambda lm, ways: tokens[tuple(ways)])
    found = project_query(lm, query, other)
    ids = lm.prompt(query.prompt).tokens
    predicted = int(mx.argmax(plain(lm.model, ids)[-1]).item())
    own = {"e2": [40], "e3": [50], "prediction": [predicted], "other": [60], "other_e3": [70]}
    foreign = project_query(lm, query, other, whose=other)
    assert {name: foreign["mlp_out"][name] for name in ("e2", "prediction")} == {
        "e2": found["mlp_out"]["other"], "prediction": found["mlp_out"]["other_e3"],
    }  # fmt: skip
    for site, logits in by_hand(lm.model, ids, -1).items():
        for name, candidates in own.items():
            best = logits[:, candidates].max(axis=1)
            assert found[site][name] == [(row > b - 1e-6).sum() - 1 for row, b in zip(logits, best, strict=True)]


def test_a_name_without_a_telling_first_token_is_none():
    found = project_query(tiny.lm("llama"), *QUERIES)  # single bytes begin every name
    assert found["mlp_out"]["e2"] is None
    assert found["mlp_out"]["prediction"] is not None


def test_a_position_outside_the_prompt_is_refused():
    with pytest.raises(PositionError, match="outside the prompt"):
        project_sublayers(tiny.lm("llama"), tiny.ids(5), 9)
