"""Loading: from a name to an examined `LM`.

>>> lm = assay.load("llama_tiny")                    # built in: nothing to download      # doctest: +SKIP
>>> lm = assay.load("qwen7b")                        # from the Hugging Face cache        # doctest: +SKIP
>>> lm = assay.load("mlx-community/Qwen3-4B-4bit", activations="native")                  # doctest: +SKIP
"""

from typing import Literal

from assay.errors import UnknownModel
from assay.forward.lm import LM
from assay.models.registry import ModelSpec, resolve


def load(name: str | ModelSpec, *, activations: Literal["float32", "native"] = "float32", doctor: bool = True) -> LM:
    """The model called `name`: an alias, a repository id of a supported family, or a folder. From disk only.

    The doctor examines it before it is handed out (a second or two; `doctor=False` skips that).
    Raises UnknownModel, ModelNotCached (with the download line), CheckpointError, UnsupportedFamily, NotExact.
    """
    from assay.models.load import load_checkpoint

    if isinstance(name, str):
        specs = resolve([name])
        if len(specs) != 1:
            raise UnknownModel(
                f"{name!r} names {len(specs)} models ({', '.join(s.id for s in specs)}): load one at a time"
            )
        name = specs[0]
    checkpoint = load_checkpoint(name)
    made_of = {"revision": checkpoint.revision, "bits": checkpoint.bits}
    lm = LM(checkpoint.model, checkpoint.tokenizer, name=name.id, activations=activations, provenance=made_of)
    if doctor:
        lm.doctor()
    return lm
