"""Makes `references.npz`: what torch and transformers compute for the configs of `references`.

    python -m venv oracle
    oracle/bin/pip install -e ".[cpu,oracle]"
    oracle/bin/python tests/oracle/make_references.py

torch is no dependency of this repository, and so what it says is committed, for `test_references.py` to compare with.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from checkpoints import write
from families import prompt
from publisher import MADE_WITH, Publisher, shapes
from references import COLUMNS, CONFIGS, CONTINUED, FILE, TOKENS, lengths, logsumexp
from variants import more_tensors


def main() -> None:
    """Writes the file; weights are made anew from their names, so only what transformers said is kept."""
    arrays, about = {}, {}
    for name, config in CONFIGS.items():
        tensors = {**shapes(config), **more_tensors(name)}
        with TemporaryDirectory() as folder:
            said = Publisher(write(Path(folder), config, tensors))
        logits = {length: said.logits(prompt(length)) for length in lengths(name)}
        long = logits[max(logits)]
        arrays[f"{name}/last"] = np.stack([each[-1] for each in logits.values()])
        arrays[f"{name}/columns"] = long[:, list(COLUMNS)]
        arrays[f"{name}/logsumexp"] = logsumexp(long).astype(np.float32)
        about[name] = {
            "config": config,
            "shapes": tensors,
            "lengths": lengths(name),
            "tokens": said.greedy(prompt(CONTINUED), TOKENS),
        }
    text = json.dumps({"made_with": MADE_WITH, "references": about}, separators=(",", ":"))
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)
    np.savez_compressed(FILE, **arrays)
    print(f"{len(about)} references, {FILE.stat().st_size} bytes, {MADE_WITH}")  # noqa: T201


if __name__ == "__main__":
    main()
