"""The rotary embedding that config.json describes: frequencies of every scaling type, by the publisher's rules.

    >>> rope = rotary({"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}, head_dim=8, longest=4096)
    >>> [f"{f:g}" for f in rope.frequencies], rope.factor, rope.limit
    (['0.5', '0.05', '0.005', '0.0005'], 1.0, None)

A *frequency* is the angle, in radians per position, by which one pair of a head's dimensions is rotated; the *factor*
multiplies the rotated dimensions of queries and keys. Two types change their frequencies with the length of the text: "dynamic"
beyond `max_position_embeddings`, and "longrope" beyond its original length. `rotary` gives those of shorter texts and the length
up to which they hold as `limit`; keys that are already in a cache would otherwise have been rotated by other frequencies than
the queries that read them.

The rules are those of transformers' `modeling_rope_utils` (Su et al. 2021; Chen et al. 2023, linear; Peng et al. 2023, YaRN;
Ding et al. 2024, LongRoPE; Llama 3.1's own), computed in float32 as there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import CheckpointError, shown, unknown

Parameters = dict[str, Any]
"""Keys as in `rope_parameters` of config.json: rope_type, rope_theta, and what the type needs (factor, ...)."""


@dataclass(frozen=True, eq=False)
class Rope:
    """The rotation of one layer's queries and keys."""

    frequencies: np.ndarray
    """Radians per position, float32 [rotated dimensions / 2]; dimension j is paired with dimension j + len(frequencies)."""
    factor: float = 1.0
    """Multiplies the rotated dimensions."""
    limit: int | None = None
    """The longest text, in tokens, for which these frequencies hold; None: any."""

    @property
    def dims(self) -> int:
        """How many dimensions of a head are rotated, from the first; the others stay as they are."""
        return 2 * len(self.frequencies)


def rotary(parameters: Parameters, head_dim: int, longest: int) -> Rope:
    """The rotation that `rope_parameters` describe. longest: `max_position_embeddings` of config.json.

    Raises CheckpointError for an unknown type and for a parameter that is missing, or no number where it should be one.
    """
    kind = parameters.get("rope_type")
    if kind not in TYPES:
        raise unknown(CheckpointError, "rope_type in config.json", kind, TYPES)
    try:
        if words := [key for key, value in parameters.items() if isinstance(value, str) and not key.endswith("type")]:
            raise TypeError(f"{words[0]} is {shown(parameters[words[0]])}, not a number")
        dims = int(head_dim * (parameters.get("partial_rotary_factor") or 1.0))
        with np.errstate(all="ignore"):  # what is not finite is refused below
            base = np.float32(parameters["rope_theta"])
            plain = base ** -(np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims))
            rope = TYPES[kind](parameters, plain, dims, longest)
    except (ArithmeticError, KeyError, OverflowError, TypeError, ValueError) as error:
        missing = isinstance(error, KeyError)
        what = f"no {error}" if missing else str(error)
        raise CheckpointError(
            f"the rotary embedding {shown(parameters, 300)} of config.json cannot be computed: {what}"
        ) from error
    sound = rope.frequencies.shape == (dims // 2,) and dims > 0 and math.isfinite(rope.factor)
    if not sound or not (np.isfinite(rope.frequencies) & (rope.frequencies > 0)).all():
        raise CheckpointError(
            f"the rotary embedding {shown(parameters, 300)} of config.json gives no frequency for each of {dims // 2} pairs"
        )
    return rope


def _default(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    return Rope(plain)


def _linear(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    return Rope(plain / np.float32(parameters["factor"]))


def _dynamic(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    return Rope(plain, limit=longest)


def _yarn(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    original, base = parameters["original_max_position_embeddings"], float(parameters["rope_theta"])
    factor = parameters["factor"]
    if factor is None:
        factor = longest / original

    def pair_of(rotations: float) -> float:
        """The pair that rotates this often within the original length."""
        return dims * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(base))

    def magnitude(mscale: float = 1.0) -> float:
        return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0

    low, high = pair_of(parameters.get("beta_fast") or 32), pair_of(parameters.get("beta_slow") or 1)
    if parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    ramp = (np.arange(dims // 2, dtype=np.float32) - low) / ((high - low) or 0.001)
    kept = 1 - np.clip(ramp, 0, 1).astype(np.float32)  # the share of each frequency that is not interpolated
    scale = parameters.get("attention_factor")
    if scale is None:
        several = [parameters.get(key) for key in ("mscale", "mscale_all_dim")]
        scale = magnitude(several[0]) / magnitude(several[1]) if all(several) else magnitude()  # type: ignore[arg-type]
    return Rope(plain / np.float32(factor) * (1 - kept) + plain * kept, float(scale))


def _longrope(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    original, scale = parameters["original_max_position_embeddings"], parameters.get("attention_factor")
    if scale is None:
        factor = parameters.get("factor") or longest / original
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    short = np.array(parameters["short_factor"], np.float32)
    same = np.array_equal(short, np.array(parameters["long_factor"], np.float32))
    return Rope(plain / short, float(scale), limit=None if same else int(original))


def _llama3(parameters: Parameters, plain: np.ndarray, dims: int, longest: int) -> Rope:
    factor, original = np.float32(parameters["factor"]), parameters["original_max_position_embeddings"]
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    wavelength = np.float32(2 * math.pi) / plain
    smooth = ((original / wavelength - low) / (high - low)).astype(np.float32)
    between = (1 - smooth) * plain / factor + smooth * plain
    long, short = wavelength > original / low, wavelength < original / high
    return Rope(np.where(long, plain / factor, np.where(short, plain, between)).astype(np.float32))


TYPES: dict[str, Callable[[Parameters, np.ndarray, int, int], Rope]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
"""By `rope_type`: (parameters, unscaled frequencies, rotated dimensions, max_position_embeddings) -> Rope."""
