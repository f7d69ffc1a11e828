"""Patchscopes: read a hidden state by letting the model describe it in another prompt (Ghandeharioun et al. 2024).

    >>> from assay import methods
    >>> run = lm.run("The capital of the state containing Dallas is", keep="resid_post")
    >>> said = patchscope(lm, APPOSITION, {"Dallas": methods.states_at(run, "Dallas")}, targets=range(2))
    >>> said["Dallas"][6][1]                                       # source layer 6, target layer 1: one text a sample
    [' Texas.']

The words:

    source   the prompt, position and layer that a state comes from
    target   the prompt, position and layer that the state is patched into: it replaces resid_post there
    scope    a target prompt with a placeholder; the state is patched into the placeholder's last token
    tail     the text after the placeholder in the target prompt; the model continues it

The target prompt is the same for every source, so all sources, pairs of layers and samples are rows of one sweep over one clean
run. Continuations are greedy, or sampled with a key for each row (`assay.methods.sampling`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

from assay.forward.edits import Edit, replace
from assay.forward.lm import LM
from assay.forward.positions import Position, text
from assay.forward.sweep import SWEEPABLE
from assay.methods.sampling import sampling_edits

Texts = list[list[list[str]]]  # [source layer][target layer, in the order asked for][sample]


@dataclass(frozen=True)
class Scope:
    """A target prompt. Its placeholder is found where it occurs last."""

    prompt: str
    placeholder: str = "x"

    @property
    def position(self) -> Position:
        """The token that is patched."""
        return text(self.placeholder, occurrence=-1)

    @property
    def tail(self) -> str:
        """The text after the placeholder; a generation continues it."""
        return self.prompt.rpartition(self.placeholder)[2]


# The two target prompts of Biran et al. 2024 (appendix; from Ghandeharioun et al. 2024), word for word.
DESCRIBE = Scope(
    "Syria: Syria is a country in the Middle East, Leonardo DiCaprio: Leonardo DiCaprio is an American actor, "
    "Samsung: Samsung is a South Korean multinational corporation, x"
)
REPEAT = Scope("Syria: Syria, Leonardo DiCaprio: Leonardo DiCaprio, Samsung: Samsung, x")
# An entity in an apposition: for models that know short statements only.
APPOSITION = Scope("This is about x:")
SCOPES = {"describe": DESCRIBE, "repeat": REPEAT, "apposition": APPOSITION}
"""Target prompts by name."""


def patchscope(
    lm: LM,
    scope: Scope,
    sources: Mapping[str, mx.array],
    targets: Sequence[int],
    *,
    max_tokens: int = 10,
    seeds: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> dict[str, Texts]:
    """The model's continuation for every state of every source -> {name: texts [source layer][target][sample]}.

    sources: {name: states [layers, E]}, for example from `states_at`. seeds: none for one greedy text, else one sample for
    each, at that temperature and from that nucleus (`sampling_edits`). A sample depends on its seed, the name of the source and
    the two layers alone. Raises what `lm.sweep` raises.
    """
    samples: list[int | None] = [*seeds] or [None]
    variants: list[list[Edit]] = []
    for name, states in sources.items():
        for source in range(len(states)):
            for target in targets:
                patch = replace("resid_post", states[source], layer=target, position=scope.position)
                for seed in samples:
                    key = f"{seed}/{name}/{source}/{target}"
                    variants.append([patch, *([] if seed is None else sampling_edits(key, temperature, top_p))])
    clean = lm.run(scope.prompt, keep=SWEEPABLE)
    sweep = lm.sweep(clean, variants, max_tokens=max_tokens, progress=False)
    said = iter(generation.text for generation in sweep.continuations)
    return {
        name: [[[next(said) for _ in samples] for _ in targets] for _ in range(len(states))]
        for name, states in sources.items()
    }
