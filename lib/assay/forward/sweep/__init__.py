"""Sweeps: many edits of one prompt at the cost of a few forward passes; `engine` has the example."""

from assay.forward.sweep.engine import SWEEPABLE, dry_run, sweep
from assay.forward.sweep.results import Sweep

__all__ = ["SWEEPABLE", "Sweep", "dry_run", "sweep"]
