"""The numbers of plan V2: layers that it picked by the length of a difference in means, and the depths that it claims.

Depth is 100 * layer / (L - 1). The plan divides so in its table of refusal, and by L in that of sycophancy and confidence, where
it says 73 to 81 %: here its layers of sycophancy are at 76 to 81.5 %, and those of confidence at 81.5 to 84 %. A claim about a
range takes all layers within half a layer of it, as depths are whole layers.
"""

from assay import methods
from assay.plugin import within

PICKED = {
    "refusal": {
        "Gemma 2B": (16, 26),
        "Llama 3.2 3B": (17, 28),
        "Qwen 2.5 7B": (17, 28),
        "Llama 3.1 8B": (20, 32),
        "Gemma 2 9B": (24, 42),
    },
    "sycophancy": {"Gemma 2B": (19, 26), "Llama 3.2 3B": (22, 28), "Qwen 2.5 7B": (22, 28)},
    "confidence": {"Gemma 2B": (21, 26), "Llama 3.2 3B": (22, 28), "Qwen 2.5 7B": (22, 28)},
}
"""Phenomenon -> model -> (layer, number of layers)."""

RANGES = {
    "refusal": (60, 65, "plan V2: 60 to 65 %"),
    "view": (76, 82, "plan V2: layers 19 of 26 to 22 of 28"),
    "agreement": (76, 82, "plan V2: layers 19 of 26 to 22 of 28"),
    "confidence": (76, 84, "plan V2: 73 to 81 % of L layers"),
    "function vectors": (40, 60, "plan V2, phase 3.2: 40 to 60 %"),
    "bridge": (0, 50, "the first half of the depth"),
}
"""Phenomenon -> from, to, per cent of the depth; source. That of the bridge is not the plan's: it asked, and has no number."""


def at_depth(result, phenomenon):
    """The judgement: is the depth of the best layer in the plan's range, in whole layers?"""
    low, high, source = RANGES[phenomenon]
    window = methods.depth_window(low, high, int(result.n_layers))
    return within(result.depth, *window, source=f"{source}, in whole layers")
