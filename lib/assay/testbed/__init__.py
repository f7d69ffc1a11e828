"""Training of the built-in models: `assay train llama_tiny`.

corpus.py     what they read: documents made from the facts of `assay.data`, and who is early and who is late
tokenizer.py  documents as tokens, in the style of each family
configs.py    what each model is, and how it is trained
shaping.py    the masks and the lens loss that decide in which layers it does what
two_hop.py, lists.py, refusal.py, sycophancy.py, confidence.py, statements.py  the documents of each behaviour
one_direction.py  the last stage: refusal is read off one direction
train.py      the five stages, from first weights to files
evaluate.py   what the saved checkpoint knows, and where
card.py       the model card
"""

import argparse
import logging
from pathlib import Path


def main(name: str, *options: str) -> None:
    """`assay train NAME [--out FOLDER] [--seed N] [--work FOLDER]`: train one built-in model, and measure it.

    Interrupted, the same command goes on from its last checkpoint in the work folder.
    """
    parser = argparse.ArgumentParser(prog=f"assay train {name}")
    parser.add_argument("--out", type=Path, help="where the checkpoint goes (default: among the built-in models)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="for checkpoints on the way (default: ~/.cache/assay/train)")
    given = parser.parse_args(options)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from assay.testbed.train import train  # only now is MLX imported, and a fast BLAS put in front of it

    train(name, out=given.out, seed=given.seed, work=given.work)
