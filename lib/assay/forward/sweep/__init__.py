"""Sweeps: many edits of one prompt for the price of a few forwards; `engine` has the example."""

from assay.forward.sweep.engine import SWEEPABLE, dry_run, sweep
from assay.forward.sweep.results import Sweep

__all__ = ["SWEEPABLE", "Sweep", "dry_run", "sweep"]
