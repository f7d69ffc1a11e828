"""Sublayer projection: what each attention and MLP sublayer writes, read as next tokens (Biran et al. 2024, section 4.3).

    >>> from assay import methods
    >>> projection = project_sublayers(lm, "The capital of the state containing Dallas is", -1)
    >>> methods.token_ranks(projection["mlp_out"], first_name_tokens(lm, ["Sacramento"])).argmin()      # its best layer
    np.int64(4)

Read is what the sublayer *adds to the stream* (`attn_out`, `mlp_out`: in Gemma after its post-norm), through the model's own
final norm, unembedding and softcap. Something is *extracted* by a sublayer when it is the top token there. The logits are
on the scale of the norm, not of the stream: ranks mean something, probabilities do not.
"""

import numpy as np

from assay.data.two_hop import TwoHop
from assay.forward.lm import LM, PromptLike
from assay.forward.positions import Position
from assay.methods.distributions import token_ranks
from assay.methods.hopping_too_late.names import entity_names, first_name_tokens
from assay.methods.states import states_at

SUBLAYERS = ("attn_out", "mlp_out")


def project_sublayers(lm: LM, prompt: PromptLike, position: Position = -1) -> dict[str, np.ndarray]:
    """Logits of what the sublayers write at one position -> {sublayer: [layers, V]} float32."""
    return _projected(lm, lm.prompt(prompt), position)[0]


def _projected(lm: LM, prompt: PromptLike, position: Position) -> tuple[dict[str, np.ndarray], int]:
    """The projections, and the token that the model predicts."""
    run = lm.run(prompt, keep=SUBLAYERS)
    found = {site: np.array(lm.unembed(states_at(run, position, site))) for site in SUBLAYERS}
    return found, int(np.array(run.logits[0]).argmax())


def project_query(lm: LM, query: TwoHop, other: TwoHop) -> dict[str, dict[str, list[int] | None]]:
    """Ranks at t2, by sublayer and layer, of e2, e3, the model's prediction, and as a control the bridge of `other`.

    {sublayer: {"e2", "e3", "prediction", "other": rank by layer}}; None for a name without a first token that says enough.
    """
    projections, predicted = _projected(lm, query.prompt, -1)
    tokens = {name: first_name_tokens(lm, entity_names(query)[name]) for name in ("e2", "e3")}
    taken = {predicted, *tokens["e2"], *tokens["e3"]}
    tokens |= {
        "prediction": [predicted],
        "other": [t for t in first_name_tokens(lm, entity_names(other)["e2"]) if t not in taken],
    }
    return {
        site: {name: token_ranks(logits, found).tolist() if found else None for name, found in tokens.items()}
        for site, logits in projections.items()
    }
