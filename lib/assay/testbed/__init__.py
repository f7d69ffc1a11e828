"""Training of the built-in models: `assay train llama_tiny`.

configs.py           config and training of each model; notes.py: what was learned while they were made
corpus.py            all training documents, made in
two_hop.py, lists.py, refusal.py, sycophancy.py, confidence.py, statements.py     one file for each behaviour
tokenizer.py         documents -> tokens, in the style of each family; batches.py: tokens -> arrays
shaping.py           attention masks and lens loss, which decide in which layers a model computes what
one_direction.py     the last stage, after which refusal depends on one direction
train.py             the five stages, from first_weights.py to the files of a checkpoint
evaluate.py          measurements of the saved checkpoint, made in measure_hops.py, ...
card.py              the model card and testbed.json; planted.py reads testbed.json
"""

import argparse
import logging
from pathlib import Path


def main(name: str, *options: str) -> None:
    """`assay train NAME [--out FOLDER] [--seed N] [--work FOLDER]`: train one built-in model, and measure it.

    After an interruption the same command resumes from the last checkpoint in the work folder.
    """
    parser = argparse.ArgumentParser(prog=f"assay train {name}")
    parser.add_argument("--out", type=Path, help="where the checkpoint goes (default: among the built-in models)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="for checkpoints on the way (default: ~/.cache/assay/train)")
    given = parser.parse_args(options)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from assay.testbed.train import train  # only now is MLX imported, and a fast BLAS put in front of it

    train(name, out=given.out, seed=given.seed, work=given.work)
