"""Weights that depend on the name of a tensor alone, the same bits on every machine, and set so that every feature matters.

    values("model.layers.0.self_attn.q_proj.weight", (64, 64))       # float32, standard deviation 1.7 / sqrt(64)

Random weights hide mistakes when norms are one, biases zero, attention uniform or caps far away. So norm weights vary, biases
are large and matrices larger than usual, and attention looks at few tokens. References made of these weights are committed, and
so the rule may not change.
"""

import hashlib
import math

import numpy as np

SEED = 0
ROOT3 = np.float32(math.sqrt(3.0))  # the standard deviation of uniform numbers in [-1, 1] is one over this


def words(seed: int, name: str, count: int) -> np.ndarray:
    """Uniform 32-bit words. The raw stream of PCG64 is the one that numpy promises never to change."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "little")
    return np.random.PCG64(key).random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]


def values(name: str, shape: tuple[int, ...], gemma: bool = False) -> np.ndarray:
    """The tensor `name` of a checkpoint, float32. gemma: norms multiply by 1 + weight, and embeddings by sqrt(hidden_size)."""
    unit = words(SEED, name, math.prod(shape)).astype(np.float32) / np.float32(2**31) - np.float32(1)
    unit = unit.reshape(shape) * ROOT3
    if name.endswith("norm.weight"):
        return np.float32(0.3) * unit + np.float32(not gemma)
    if name.endswith("bias"):
        return np.float32(0.5) * unit
    if "embed" in name:
        return unit * np.float32(0.2 if gemma else 1.0)
    return unit * np.float32(1.7 / math.sqrt(shape[-1]))
