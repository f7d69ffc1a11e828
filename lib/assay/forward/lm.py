"""`LM`: a loaded model, and everything that can be done with it.

    >>> lm = assay.load("llama_tiny")
    >>> run = lm.run("The capital of the state containing Dallas is", keep=["resid_post"])
    >>> lm.generate("The capital of France is", max_tokens=3).text
    ' Paris.'

Each method is a function of this package, whose file explains it; what all of them need of a model is `assay.forward.core`.
"""

from assay.forward.core import Core, Edits, Keep, PromptLike, Prompts
from assay.forward.doctor import doctor
from assay.forward.generate import generate
from assay.forward.gradients import gradients
from assay.forward.sweep import dry_run, sweep

__all__ = ["LM", "Edits", "Keep", "PromptLike", "Prompts"]


class LM(Core):
    """A model that runs, generates, sweeps, differentiates, and is examined. Made by `assay.load`."""

    generate = generate
    """Continue prompts under edits."""
    sweep = sweep
    """Run many variants of one prompt for the price of a few forwards."""
    plan = dry_run
    """What a sweep would do and cost, without doing it."""
    gradients = gradients
    """Gradients of a number at the output with respect to activations."""
    doctor = doctor
    """Check that the forward is the model's own on this checkpoint."""
