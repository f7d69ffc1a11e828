"""`LM`: a loaded model with its methods.

    >>> lm = assay.load("llama_tiny")
    >>> run = lm.run("The capital of the state containing Dallas is", keep=["resid_post"])
    >>> lm.generate("The capital of France is", max_tokens=3).text
    ' Paris.'

Each method is a function of this package, explained in its file; `assay.forward.core` has what all of them use.
"""

from assay.forward.core import Core, Edits, Keep, PromptLike, Prompts
from assay.forward.doctor import doctor
from assay.forward.generate import generate
from assay.forward.gradients import gradients
from assay.forward.sweep import dry_run, sweep

__all__ = ["LM", "Edits", "Keep", "PromptLike", "Prompts"]


class LM(Core):
    """A loaded model: runs, generations, sweeps, gradients and checks. Made by `assay.load`."""

    generate = generate
    """Continue prompts under edits."""
    sweep = sweep
    """Run many variants of one prompt at the cost of a few forward passes."""
    plan = dry_run
    """The plan and cost of a sweep, without running it."""
    gradients = gradients
    """Gradients of a function of the logits with respect to activations."""
    doctor = doctor
    """Check that the forward pass is the model's own on this checkpoint."""
