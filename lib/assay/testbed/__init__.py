"""Training of the built-in models: `assay train llama_tiny`.

configs.py           what each model is, and how it is trained; notes.py: what was learned while they were made
corpus.py            all documents that they read, made in
two_hop.py, lists.py, refusal.py, sycophancy.py, confidence.py, statements.py     one file for each behaviour
tokenizer.py         documents as tokens, in the style of each family; batches.py: those as arrays
shaping.py           the masks and the lens loss that decide in which layers a model does what
one_direction.py     the last stage: refusal is read off one direction
train.py             the five stages, from first_weights.py to the files of a checkpoint
evaluate.py          what the saved checkpoint knows, and where; measured in measure_hops.py, ...
card.py              the model card; planted.py reads what it says back
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
