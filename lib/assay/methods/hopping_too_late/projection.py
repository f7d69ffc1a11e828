"""Sublayer projection: the output of each attention and MLP sublayer, read as next tokens (Biran et al. 2024, section 4.3).

    >>> from assay import methods
    >>> projection = project_sublayers(lm, "The capital of the state containing Dallas is", -1)
    >>> methods.token_ranks(projection["mlp_out"], methods.first_name_tokens(lm, ["Sacramento"])).argmin()      # its best layer
    np.int64(4)

The vector that a sublayer adds to the stream (`attn_out`, `mlp_out`: in Gemma after its post-norm) goes through the model's
final norm, unembedding and softcap. A sublayer *extracts* a token when that token has rank 0. The norm rescales the vector, so
only ranks are meaningful, not probabilities.
"""

import numpy as np

from assay.data.two_hop import TwoHop
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Position
from assay.methods.distributions import token_ranks
from assay.methods.hopping_too_late.names import foreign_tokens, telling_tokens
from assay.methods.states import states_at

SUBLAYERS = ("attn_out", "mlp_out")


def project_sublayers(lm: LM, prompt: PromptLike, position: Position = -1) -> dict[str, np.ndarray]:
    """Logits of the sublayers' outputs at one position -> {sublayer: [layers, V]} float32."""
    return _projected(lm, lm.prompt(prompt), position)[0]


def _projected(lm: LM, prompt: PromptLike, position: Position) -> tuple[dict[str, np.ndarray], int]:
    """The result of `project_sublayers`, and the token that the model predicts."""
    run = lm.run(prompt, keep=SUBLAYERS)
    found = {site: np.array(lm.unembed(states_at(run, position, site))) for site in SUBLAYERS}
    return found, int(np.array(run.logits[0]).argmax())


def project_query(
    lm: LM, query: TwoHop, other: TwoHop, whose: TwoHop | None = None
) -> dict[str, dict[str, list[int] | None]]:
    """Ranks at t2, by sublayer and layer, of e2, e3, the model's prediction, and as controls the names of `other`.

    {sublayer: {"e2", "e3", "prediction", "other": its bridge, "other_e3": its answer: rank by layer}}; None for a name without
    `telling_tokens`. whose: the query whose names count as the query's own, its answer as the prediction; with a query of other
    names no effect is real.
    """
    projections, predicted = _projected(lm, query.prompt, -1)

    def others(those: TwoHop) -> dict[str, list[int]]:
        found = foreign_tokens(lm, query, those)
        return {name: [token for token in tokens if token != predicted] for name, tokens in found.items()}

    tokens = telling_tokens(lm, query) if whose is None else others(whose)
    tokens["prediction"] = [predicted] if whose is None else tokens["e3"][:1]
    tokens |= {"other": others(other)["e2"], "other_e3": others(other)["e3"][:1]}
    return {
        site: {name: token_ranks(logits, found).tolist() if found else None for name, found in tokens.items()}
        for site, logits in projections.items()
    }
