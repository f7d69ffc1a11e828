"""Loading: from a name to an `LM` that the doctor has checked.

    >>> load("llama_tiny", doctor=False)                # built in: nothing to download
    LM(llama_tiny: llama, 8 layers, width 128, 8 heads on 4, vocabulary 4608)

A name may also be one of the Hugging Face cache ("qwen7b", "mlx-community/Qwen3-4B-4bit"), a folder or a GGUF file. A base model
has no chat template; with `_few_shot` behind its name it answers questions behind solved examples (`assay.models.few_shot`).
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from mlx_lm.utils import load_tokenizer

from assay import before_mlx
from assay.errors import AssayError, UnknownModel, shown
from assay.forward import backends
from assay.forward.layout import lay_out
from assay.forward.lm import LM
from assay.models import few_shot
from assay.models.registry import ModelSpec, is_few_shot, resolve
from assay.models.weights import Weights, choose, float32_bytes, widen


def random_lm(spec: ModelSpec, bits: int | None = 4) -> LM:
    """A model of a real model's shape with random weights, to measure speed. bits: 4, or None for dense weights.

    spec: from `assay.models.registry.random_twin`, or a folder with a config.json. Raises CheckpointError without one.
    """
    from assay.models.config import published
    from assay.models.files import read_json
    from assay.models.random import random_model
    from assay.models.registry import RANDOM
    from assay.models.shapes import SHAPES
    from assay.models.tokenizer import write_tokenizer

    config = read_json(spec.path / "config.json") if spec.path else SHAPES[spec.id.removesuffix(RANDOM)]
    with TemporaryDirectory() as folder:
        ids = write_tokenizer(Path(folder), config["model_type"])
        tokenizer = load_tokenizer(Path(folder), eos_token_ids=ids["eos_token_id"])
    model = random_model(config, bits=bits)
    lay_out(model)
    made_of = {"revision": "random", "bits": bits}
    return LM(model, tokenizer, name=spec.id, provenance=made_of, published=published(config))


def load(
    name: str | ModelSpec,
    *,
    activations: Literal["float32", "native"] = "float32",
    weights: Weights = "auto",
    doctor: bool = True,
    unknown_keys: Literal["refuse", "ignore"] = "refuse",
) -> LM:
    """Load the model called `name` from disk: an alias, a repository id of a supported family, a folder or a GGUF file.

    weights: their form in memory; "auto" is float32 on a CPU with enough memory, else (and for native activations) as stored
    (`assay.models.weights`). doctor: check the model before it is returned, which takes some seconds.
    unknown_keys: what to do with keys of config.json that assay does not know (`assay.models.config`); the ignored are recorded.
    Raises UnknownModel, ModelNotCached (with the download line), CheckpointError, UnsupportedFamily, NotExact.
    """
    from assay.models.load import load_checkpoint

    if not isinstance(name, str | ModelSpec):
        raise UnknownModel(f"a model is given by its name, got {shown(name)}")
    for option, given in (("activations", activations), ("weights", weights), ("unknown_keys", unknown_keys)):
        if not isinstance(given, str):
            raise AssayError(f"{option} is a word, got {shown(given)}")
    if isinstance(name, str):
        specs = resolve([name])
        if len(specs) != 1:
            raise UnknownModel(
                f"{name!r} names {len(specs)} models ({', '.join(s.id for s in specs)}): load one at a time"
            )
        name = specs[0]
    before_mlx.precision()  # raises for a bad setting now, not in the middle of an experiment
    backends.keep_kernels()
    checkpoint = load_checkpoint(name, unknown_keys)
    if activations == "native" and weights == "auto":
        weights = "stored"  # native activations have the dtype of the stored weights
    kept = choose(weights, float32_bytes(checkpoint.model))
    if kept == "float32":
        widen(checkpoint.model)
    lay_out(checkpoint.model)
    made_of = {**checkpoint.made_of, "weights": kept}
    if is_few_shot(name):
        few_shot.give_template(checkpoint.tokenizer, name.id)
        made_of["few_shot"] = few_shot.version()
    lm = LM(
        checkpoint.model, checkpoint.tokenizer, name=name.id, activations=activations, provenance=made_of,
        published=checkpoint.published,
    )  # fmt: skip
    if doctor:
        lm.doctor()
    return lm
