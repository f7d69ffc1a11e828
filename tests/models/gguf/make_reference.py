"""Makes `reference/`: how torch and transformers read the GGUF file of smollm135m, for `test_reference.py` to compare with.

    python -m venv oracle
    oracle/bin/pip install torch "transformers==5.24.*" accelerate gguf numpy
    oracle/bin/python tests/models/gguf/make_reference.py SmolLM2-135M-Instruct.Q4_1.gguf

Neither torch nor accelerate is a dependency of this repository, so what they say is committed: tokens of 60 texts
(`smollm135m.json`), and logits after every token of six prompts, in float32 on a CPU (`smollm135m.npz`): at each
position the 32 largest with their ids, the log of the sum of all exponentials, and the same 16 columns.

transformers 5.24 does not know the splitting rule of this file (`smollm`: every digit alone, then words as GPT-2) and
leaves the digits out; tokens then differ where a digit is not ASCII (" ½"). The rule is put in here as SmolLM2 was
published with it; everything else is transformers' own reading.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from texts import texts

SPECIALS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>")
TEXTS, OF = 60, 500
PROMPTS = (
    "The capital of the state containing Dallas is",
    "hot -> cold\nbig -> small\nhappy ->",
    "<|im_start|>user\nIs Paris in France?<|im_end|>\n<|im_start|>assistant\n",
    "def f(x):\n    return x + 1\n",
    "Zürich isn't  tall: 1492\n\t東京 Ω!",
    "A",
)
TOP = 32
COLUMNS = tuple(range(0, 49152, 3072))
REFERENCE = Path(__file__).with_name("reference")


def main(file: Path) -> None:
    """Writes both files of `reference/` from the GGUF file."""
    import tokenizers
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    chosen = texts(OF, SPECIALS)[:: OF // TEXTS][:TEXTS]
    model = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager"
    )
    arrays: dict[str, np.ndarray] = {"columns": np.array(COLUMNS)}
    prompts = []
    for i, prompt in enumerate(PROMPTS):
        ids = tokenizer.encode(prompt)
        prompts.append({"text": prompt, "ids": ids})
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        top = logits.topk(TOP, dim=-1)
        arrays[f"top_ids_{i}"] = top.indices.numpy().astype(np.int32)
        arrays[f"top_{i}"] = top.values.numpy()
        arrays[f"logsumexp_{i}"] = logits.logsumexp(dim=-1).numpy()
        arrays[f"columns_{i}"] = logits[:, list(COLUMNS)].numpy()
    reference = {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "made_with": f"torch {torch.__version__}, transformers {transformers.__version__}, float32, CPU",
        "tokens": [{"text": text, "ids": tokenizer.encode(text)} for text in chosen],
        "prompts": prompts,
    }
    REFERENCE.mkdir(exist_ok=True)
    (REFERENCE / "smollm135m.json").write_text(json.dumps(reference, separators=(",", ":")) + "\n")
    np.savez_compressed(REFERENCE / "smollm135m.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
