"""The publisher's model: transformers and torch, float32, eager attention, on the CPU. Needs the extra `oracle`.

    config = VARIANTS["mistral-window"]
    said = Publisher(write(folder, config, shapes(config)))
    said.logits([5, 9, 300])                                 # [3, 320]: after each token, all positions read at once
    said.greedy([5, 9, 300], 6)                              # token ids, each by reading the whole text again

The text is always read from its start, without a cache: what is computed is then the model's function and no more.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import transformers
from checkpoints import tokenizer
from families import Config

CLOSE = 1e-3
"""Two logits no further apart than this, of the largest, are no choice: a continuation ends before it."""

MADE_WITH = f"torch {torch.__version__}, transformers {transformers.__version__}, float32, CPU"
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)  # products are tiny: more threads take longer


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors in a checkpoint of this config; tied weights are in it once."""
    with TemporaryDirectory() as folder:
        text = json.dumps({**config, **tokenizer(config["model_type"])[1]})
        (Path(folder) / "config.json").write_text(text)
        read = transformers.AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(read, attn_implementation="eager")
    tied = "lm_head.weight" if read.tie_word_embeddings else None
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name != tied}


class Publisher:
    """A checkpoint folder as transformers opens it."""

    def __init__(self, folder: Path):
        self.model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        self.model.eval()
        self.said: dict[tuple[int, ...], np.ndarray] = {}
        self.ends = set(self.model.generation_config.eos_token_id)
        if wrong := {key: value for key, value in info.items() if value}:
            raise ValueError(f"transformers does not read this checkpoint as it is: {wrong}")

    def logits(self, tokens: list[int]) -> np.ndarray:
        """The logits after each token, [L, V]."""
        text = tuple(tokens)
        if text not in self.said:
            with torch.inference_mode():
                self.said[text] = self.model(torch.tensor([text]), use_cache=False).logits[0].numpy()
        return self.said[text]

    def greedy(self, tokens: list[int], most: int) -> list[int]:
        """The likeliest continuation, up to an end token or a choice that rounding could make otherwise."""
        text = list(tokens)
        while len(text) < len(tokens) + most:
            last = self.logits(text)[-1]
            second, first = np.argsort(last)[-2:]
            if int(first) in self.ends or last[first] - last[second] <= CLOSE * abs(last).max():
                break
            text.append(int(first))
        return text[len(tokens) :]
