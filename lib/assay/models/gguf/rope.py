"""Rope scaling of a GGUF file, translated to `rope_scaling` of config.json.

    >>> keys = Keys({"general.architecture": "llama"}, "model.gguf")
    >>> divisors = {FREQS: np.float32(llama3_divisors(dims=64, theta=5e5, factor=32.0, original=8192))}
    >>> scaling(keys, divisors, ("tensor",), dims=64, theta=5e5)["factor"]
    32.0

A file states it in one of three forms: keys (`rope.scaling.type` linear or yarn, `rope.scaling.factor`, ...); a tensor
`rope_freqs.weight` with a divisor for every frequency, in place of llama3's four numbers; or Phi-3's
two tensors of divisors, for short and long contexts.

llama3's numbers are recovered from the tensor: `factor` is the largest divisor, and the divisors between 1 and `factor`
give the original context. A file whose tensor these numbers do not reproduce is refused.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from assay.models.gguf.keys import Keys, shortest

Scaling = dict[str, Any]
FREQS, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
LOW, HIGH, ORIGINAL = 1.0, 4.0, 8192
"""The values of all published Llama 3: wavelengths above ORIGINAL / LOW are divided, those under ORIGINAL / HIGH are not."""
CLOSE = 2e-5
"""Tolerance for a float32 divisor computed by another program; another context length differs by more."""


def scaling(
    keys: Keys, values: Mapping[str, np.ndarray], allowed: tuple[str, ...], dims: int, theta: float
) -> Scaling | None:
    """`rope_scaling` of config.json, or None.

    `values`: the file's tensors of divisors, by name, float32; `allowed`: see `Architecture.scaling`.
    Raises CheckpointError for an unknown scaling, and for one that mlx-lm's model of this family does not support.
    """
    factor = keys.number("rope.scaling.factor", keys.get("rope.scale_linear", 0.0), positive=False)
    type = keys.get("rope.scaling.type", "linear" if factor not in (0, 1) else "none")
    keys.get("rope.scaling.original_context_length", None)  # read below where a scaling uses it
    if FREQS in values and not np.all(values[FREQS] == 1):
        if type != "none":
            raise keys.error(f"it has both {FREQS} and a rope scaling of the type {type}")
        type = "tensor"
    if LONG in values or SHORT in values:
        type = "longrope"
    if type == "none" or (type == "linear" and factor in (0, 1)):
        return None
    if type not in allowed or type not in READERS:
        possible = ", ".join(allowed) or "none"
        raise keys.error(f"its rope scaling is {type!r}, and for {keys.architecture} only these can be run: {possible}")
    return READERS[type](keys, values, factor, dims, theta)


def _linear(keys: Keys, values: object, factor: float, dims: int, theta: float) -> Scaling:
    if factor < 0:
        raise keys.error(f"its rope scaling factor is {factor}")
    return {"rope_type": "linear", "factor": factor}


def _yarn(keys: Keys, values: object, factor: float, dims: int, theta: float) -> Scaling:
    """YaRN as published: the factor gives the temperature; the betas are the file's, or the published ones.

    A file that states a temperature (`rope.scaling.yarn_attn_factor`) is refused, as for an unknown key: mlx-lm ignores it,
    llama.cpp multiplies by it, and the publisher replaces the factor's temperature by it.
    """
    if factor <= 1:
        raise keys.error(f"its rope scaling is yarn with the factor {factor}")
    result: Scaling = {"rope_type": "yarn", "factor": factor}
    result["original_max_position_embeddings"] = keys.integer("rope.scaling.original_context_length")
    for beta in ("beta_fast", "beta_slow"):
        if keys.get(f"rope.scaling.yarn_{beta}", None) is not None:
            result[beta] = keys.number(f"rope.scaling.yarn_{beta}")
    return result


def _llama3(keys: Keys, values: Mapping[str, np.ndarray], factor: float, dims: int, theta: float) -> Scaling:
    found = values[FREQS]
    if found.shape != (dims // 2,) or not np.all(np.isfinite(found) & (found >= 1)):
        raise keys.error(f"{FREQS} should be {dims // 2} divisors from 1 up, and is {found.shape}")
    largest = shortest(float(found.max()))
    for original in _contexts(found, largest, dims, theta):
        if np.allclose(llama3_divisors(dims, theta, largest, original), found, rtol=CLOSE, atol=0):
            return {
                "rope_type": "llama3",
                "factor": largest,
                "low_freq_factor": LOW,
                "high_freq_factor": HIGH,
                "original_max_position_embeddings": original,
            }
    raise keys.error(
        f"{FREQS} is not what any of Llama 3's rope scalings gives (low {LOW:g}, high {HIGH:g}, largest divisor {largest:g})"
    )


def _contexts(found: np.ndarray, factor: float, dims: int, theta: float) -> list[int]:
    """Candidates for the original context length: the published one, and that of the first divisor between 1 and `factor`."""
    wavelengths = 2 * math.pi * theta ** (np.arange(0, dims, 2) / dims)
    between = np.flatnonzero((found > 1) & (found < factor))
    if not between.size:
        return [ORIGINAL]
    smooth = (1 / found[between].astype(np.float64) - 1 / factor) / (1 - 1 / factor)
    computed = np.median(wavelengths[between] * (LOW + smooth * (HIGH - LOW)))
    return [ORIGINAL, round(float(computed))]


def llama3_divisors(dims: int, theta: float, factor: float, original: int) -> np.ndarray:
    """Llama 3's divisors of the dims / 2 frequencies: 1 for fast ones, `factor` for slow ones."""
    wavelengths = 2 * math.pi * theta ** (np.arange(0, dims, 2) / dims)
    smooth = np.clip((original / wavelengths - LOW) / (HIGH - LOW), 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


def _longrope(keys: Keys, values: Mapping[str, np.ndarray], factor: float, dims: int, theta: float) -> Scaling:
    """Phi-3's scaling. mlx-lm derives the scale of q and k from the two context lengths; a file must state the same scale."""
    for name in (LONG, SHORT):
        if name not in values or values[name].shape != (dims // 2,) or not np.all(values[name] > 0):
            raise keys.error(f"{name} should be {dims // 2} divisors above 0")
    if factor not in (0, 1):
        raise keys.error(f"it has {LONG} and a rope.scaling.factor of {factor}")
    longest, original = keys.integer("context_length"), keys.integer("rope.scaling.original_context_length", least=2)
    scale = math.sqrt(1 + math.log(longest / original) / math.log(original)) if longest > original else 1.0
    given = keys.number("rope.scaling.attn_factor", scale)
    if not math.isclose(given, scale, rel_tol=1e-5):
        raise keys.error(f"{keys.architecture}.rope.scaling.attn_factor is {given}, and mlx-lm would use {scale:.6g}")
    long, short = ([shortest(float(x)) for x in values[name]] for name in (LONG, SHORT))
    return {"type": "longrope", "long_factor": long, "short_factor": short}


READERS: dict[str, Callable[[Keys, Mapping[str, np.ndarray], float, int, float], Scaling]] = {
    "linear": _linear,
    "yarn": _yarn,
    "tensor": _llama3,
    "longrope": _longrope,
}
