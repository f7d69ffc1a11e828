"""States of the residual stream, and of any other site, at chosen positions of prompts.

>>> run = lm.run("The capital of France is", keep="resid_post")
>>> states_at(run, "France").shape                             # layers, width
(8, 128)
>>> [part.shape for part in last_states(lm, [lm.prompt("The capital of France is")], 2)]
[(1, 2, 8, 128)]
"""

from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np

from assay.errors import PositionError, PromptError, UnknownSite
from assay.forward.lm import LM
from assay.forward.positions import Position, Prompt, resolve
from assay.forward.run import Run
from assay.forward.sites import is_whole
from assay.methods.portions import batches


def states_at(run: Run, position: Position, site: str = "resid_post", prompt: int = 0) -> mx.array:
    """A site of every layer at one position of one prompt of a run (`prompt`: its index): [layers, E].

    Raises PositionError for a position that is not one token of the prompt.
    """
    if not 0 <= prompt < len(run.prompts):
        raise PromptError(f"the run has the prompts 0 to {len(run.prompts) - 1}, and no {prompt}")
    at = resolve(position, run.prompts[prompt]).prompt
    if len(at) != 1:
        raise PositionError(f"one position of a prompt is read, and {position!r} is {len(at)}: give one token")
    layers = sum(name == site for name, _ in run.kept)
    if not layers:
        raise UnknownSite(f"the run kept no {site!r}: make it with lm.run(prompt, keep={site!r})")
    return mx.stack([run[site, i][prompt, at[0]] for i in range(layers)])


def last_states(
    lm: LM, prompts: Sequence[Prompt], n_positions: int, *, site: str = "resid_pre", batch: int = 16
) -> Iterator[np.ndarray]:
    """A site of every layer at the last P positions of each prompt, batch by batch: [b, P, L, E] float32.

    Raises PromptError for no prompts, or a prompt with fewer than P tokens.
    """
    if not prompts:
        raise PromptError("the set of prompts is empty: a mean needs at least one")
    if not is_whole(n_positions) or n_positions < 1:
        raise PromptError(f"n_positions must be a whole number, at least 1, got {n_positions!r}")
    if short := [p for p in prompts if len(p) < n_positions]:
        raise PromptError(f"a prompt has {len(short[0])} tokens and {n_positions} positions were asked for")
    for part in batches(prompts, batch):
        run = lm.run(list(part), keep=site)
        rows = mx.arange(len(run.prompts))[:, None]
        at = mx.array([[n - k for k in range(n_positions, 0, -1)] for n in run.lengths])
        layers = [np.array(run[site, i][rows, at].astype(mx.float32)) for i in range(lm.n_layers)]
        yield np.stack(layers, axis=2)


def states_from_end(
    lm: LM, prompts: Sequence[Prompt], back: int = 1, *, site: str = "resid_pre", batch: int = 16
) -> np.ndarray:
    """A site of every layer at the token that is `back` from the end of each prompt (1: the last one): [N, L, E] float32.

    Raises as `last_states`.
    """
    return np.concatenate([part[:, 0] for part in last_states(lm, prompts, back, site=site, batch=batch)])
