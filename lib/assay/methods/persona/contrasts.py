"""Contrasts: responses that show a trait, responses that do not, and the prompts on which a vector between them is tested.

    >>> from assay.data.personas import trait
    >>> hallucinating = trait("hallucinating")
    >>> pairs = instructed_pairs(lm, hallucinating, hallucinating.extraction[:2], max_tokens=8)
    >>> len(pairs), pairs[0].question                             # five instructions, two questions
    (10, 'Who founded the town of Brellimoor?')
    >>> found = names_contrast(lm)
    >>> found.form, found.positive[0].text, found.negative[0].text
    ('known and made-up names', 'The answer is Australia.', 'I do not know.')

The paper's contrast is that of *instructions*: the same question under a system prompt that asks for the trait, and under one
that asks for its contrary (`data/personas.py`). It needs a model that follows such instructions. The contrast of *names* is a
variant for the trait "hallucinating" on models that do not: known names are told about, made-up ones are admitted not to be
known, and a vector between the two responses, added to a prompt about a made-up name, should make the model tell. The names are
those of `data/knowledge.py`, in its splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.data.knowledge import admits, entities, hedged
from assay.data.personas import Trait
from assay.forward.lm import LM
from assay.forward.positions import Prompt
from assay.methods.directions import takes_system_prompt
from assay.methods.persona.persona_steering import Asked, split_asked
from assay.methods.persona.persona_vectors import kept_pairs
from assay.methods.persona.responses import Response, coherent, respond
from assay.methods.portions import Track

NAMES, INSTRUCTIONS = "known and made-up names", "instructions"


@dataclass(frozen=True)
class InstructedPair:
    """One question under a positive and under the contrary instruction."""

    question: str
    instructions: str
    """The positive instruction of the pair that it was asked under."""
    positive: Response
    negative: Response
    shows: tuple[bool, bool]
    """Whether the positive and the negative response show the trait, by its phrases."""
    sound: bool
    """Whether both are coherent."""


@dataclass(frozen=True)
class PersonaContrast:
    """What a persona vector is found, placed and tested with."""

    form: str
    positive: tuple[Response, ...]
    negative: tuple[Response, ...]
    about: tuple[tuple[str, ...], ...]
    """What the positive and then the negative responses are about, as in `Asked`; an instruction stands for its pair."""
    choosing: tuple[tuple[Asked, ...], tuple[Asked, ...]]
    """Prompts to raise and to lower on which the layer and the strength are chosen."""
    testing: tuple[tuple[Asked, ...], tuple[Asked, ...]]
    """Others, on which the effect is reported."""
    monitored: tuple[Asked, ...]
    """Prompts whose responses are predicted from their last token."""
    max_tokens: int
    """Of a response."""


def instructed(lm: LM, question: str, instruction: str) -> Prompt:
    """A question under a system prompt; where the chat template takes none, the instruction comes first in the user's turn."""
    if takes_system_prompt(lm):
        return lm.chat(question, instruction)
    return lm.chat(f"{instruction}\n\n{question}")


def instructed_pairs(
    lm: LM,
    trait: Trait,
    questions: Sequence[str],
    *,
    samples: int = 1,
    temperature: float = 0.0,
    max_tokens: int = 32,
    track: Track = iter,
) -> list[InstructedPair]:
    """The responses to each question under each pair of instructions, `samples` times: [pairs x questions x samples].

    Greedy, and one sample, at temperature 0.
    """
    asked = [(pair, question) for pair in range(len(trait.positive)) for question in questions for _ in range(samples)]
    said = []
    for seed, prompts in enumerate((trait.positive_prompts, trait.negative_prompts)):
        some = [instructed(lm, question, prompts[pair]) for pair, question in asked]
        options = {"temperature": temperature, "seed": seed * 100_000, "track": track}
        said.append(respond(lm, some, max_tokens=max_tokens, **options))
    sound = [coherent(lm, some) for some in said]
    return [
        InstructedPair(
            question,
            trait.positive[pair],
            one,
            two,
            shows=(trait.shows(one.text), trait.shows(two.text)),
            sound=bool(sound[0][i] and sound[1][i]),
        )
        for i, ((pair, question), one, two) in enumerate(zip(asked, *said, strict=True))
    ]


def instruction_contrast(
    lm: LM,
    trait: Trait,
    pairs: Sequence[InstructedPair],
    *,
    questions: int | None = None,
    choosing: int | None = None,
    max_tokens: int = 32,
) -> PersonaContrast:
    """The contrast of the kept pairs; placed on extraction questions, tested on evaluation ones, both without an instruction.

    questions: of either kind, at most; choosing: prompts to raise, and to lower, for the choice of a place. Monitored are
    evaluation questions under every instruction, and under none.
    """
    positive, negative = zip(*(pair.shows for pair in pairs), strict=True)
    kept = [pairs[i] for i in kept_pairs(positive, negative, [pair.sound for pair in pairs])]

    def plain(some: Sequence[str]) -> list[Asked]:
        return [Asked(lm.chat(question), (question, ""), trait.shows) for question in some[:questions]]

    placed, tested = (
        tuple(tuple(side[:most]) for side in split_asked(lm, plain(some), max_tokens=max_tokens))
        for some, most in ((trait.extraction, choosing), (trait.evaluation, None))
    )
    under = [
        Asked(instructed(lm, question, instruction), (question, instruction), trait.shows)
        for instruction in (*trait.positive_prompts, *trait.negative_prompts)
        for question in trait.evaluation[:questions]
    ]
    return PersonaContrast(
        INSTRUCTIONS,
        tuple(pair.positive for pair in kept),
        tuple(pair.negative for pair in kept),
        tuple((pair.question, pair.instructions) for pair in kept) * 2,
        (placed[0], placed[1]),
        (tested[0], tested[1]),
        (*under, *plain(trait.evaluation)),
        max_tokens,
    )


def names_contrast(
    lm: LM, *, choosing: int | None = 6, testing: int | None = None, max_tokens: int = 12
) -> PersonaContrast:
    """The contrast of told and admitted names; placed on the valid split, tested on the test split.

    choosing, testing: names of either kind, at most. The trait is shown by a response that neither admits nor hedges.
    """

    def asked(split: str) -> list[Asked]:
        return [Asked(lm.chat(item.question), (item.name,), tells_an_answer) for item in entities(split)]

    def sides(split: str, most: int | None) -> tuple[tuple[Asked, ...], tuple[Asked, ...]]:
        known = {item.name for item in entities(split) if item.known}
        to_raise, to_lower = split_asked(lm, asked(split), max_tokens=max_tokens)
        return (
            tuple(one for one in to_raise if one.about[0] not in known)[:most],
            tuple(one for one in to_lower if one.about[0] in known)[:most],
        )

    found = sides("train", None)
    admitted, told = (
        tuple(respond(lm, [one.prompt for one in some], max_tokens=max_tokens)) if some else () for some in found
    )
    about = tuple(one.about for one in (*found[1], *found[0]))
    placed, tested = sides("valid", choosing), sides("test", testing)
    return PersonaContrast(NAMES, told, admitted, about, placed, tested, tuple(asked("test")), max_tokens)


def tells_an_answer(said: str) -> bool:
    """Whether a response says something, and neither that it does not know nor that it is not sure."""
    return bool(said.strip()) and not admits(said) and not hedged(said)
