"""Parts of a two-hop query: the tokens that experiments patch, block and read, found by their text.

    >>> from assay.data.two_hop import two_hop
    >>> query = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
    >>> query_parts(query)["r1"].text                              # the prompt up to the end of the part
    'The capital of the state'
    >>> first_hop_parts(query)["e1"].text, second_hop_parts(query)["e2"].text
    ('The state containing Dallas', 'The capital of Texas')

Every part is named by its last token, as in the paper (Biran et al. 2024, sections 4 and 5):

    e1      t1, the end of the r1 phrase: "Dallas", but "located" in "the country where the Eiffel Tower is located"
    r1, r2  the word that names the relation: "state", "capital"
    the     the article that begins the r1 phrase (in a hop's own prompt: the prompt)
    after_r1, after_r2    the word after the relation's: "containing", "of"
    e2      in the second hop's own prompt, the bridge: "Texas"
    last    t2, the last token of the prompt

The article of the r1 phrase and the words after the relations carry no information by themselves: they are the controls. The
article that begins a hop's own prompt is none, since without a BOS it is the first token, on which attention rests ("sink").

A part is found by its characters, so its place does not depend on how a tokenizer splits the text or on a BOS. `locate_queries`
drops queries in which two parts share a token.
"""

from collections.abc import Iterable

from assay.data.two_hop import TwoHop
from assay.errors import PositionError
from assay.forward.lm import LM
from assay.forward.positions import Text, resolve, text

Part = Text | int


def query_parts(query: TwoHop) -> dict[str, Part]:
    """The place of each part of the composition, in the order of the text. Raises PositionError for a part not in it."""
    start = _find(query.r1_phrase, query.prompt)
    relation = query.prompt[:start].split()
    if len(relation) < 2:
        raise PositionError(f"no second relation stands before {query.r1_phrase!r} in {query.prompt!r}")
    noun = relation[-2]  # "The capital of": the word before the preposition, as in the paper's code
    bare = query.r1_shortcut[start:].removesuffix(" is")  # the r1 phrase without its entity
    return {
        "r2": _up_to(query.prompt, query.prompt.rindex(noun, 0, start) + len(noun)),
        "after_r2": _up_to(query.prompt, len(query.prompt[:start].rstrip())),
        "the": _up_to(query.prompt, start + len(query.r1_phrase.split()[0])),
        "r1": _up_to(query.prompt, start + len(_shared(bare, query.prompt[start:]))),
        "after_r1": _word_after(query.prompt, start + len(bare)),
        "e1": _up_to(query.prompt, start + len(query.r1_phrase)),
        "last": -1,
    }


def first_hop_parts(query: TwoHop) -> dict[str, Part]:
    """The parts of the first hop's own prompt: the, r1, after_r1, e1 and last."""
    start = _find(query.r1_phrase, query.prompt)
    bare = _shared(query.r1_shortcut[start:].removesuffix(" is"), query.r1_phrase)
    _find(query.r1_phrase.lower(), query.first_hop.lower())  # the phrase begins the sentence, with a capital letter
    return {
        "the": _up_to(query.first_hop, len(query.r1_phrase.split()[0])),
        "r1": _up_to(query.first_hop, len(bare)),
        "after_r1": _word_after(query.first_hop, len(bare)),
        "e1": _up_to(query.first_hop, len(query.r1_phrase)),
        "last": -1,
    }


def second_hop_parts(query: TwoHop) -> dict[str, Part]:
    """The parts of the second hop's own prompt: the, r2, after_r2, e2 and last."""
    end = _find(query.e2, query.second_hop) + len(query.e2)
    noun = query_parts(query)["r2"]
    if not isinstance(noun, Text) or not query.second_hop.startswith(noun.text):
        raise PositionError(f"the second relation of {query.prompt!r} does not begin {query.second_hop!r}")
    the = _up_to(query.second_hop, len(query.second_hop.split()[0]))
    after = _word_after(query.second_hop, len(noun.text))
    return {"the": the, "r2": noun, "after_r2": after, "e2": _up_to(query.second_hop, end), "last": -1}


def ends_in_entity(query: TwoHop) -> bool:
    """Is t1 the last token of e1, as in the paper? Not in "the country where X is located", where it is "located"."""
    return query.r1_phrase.endswith(query.e1)


def e1_phrase(query: TwoHop) -> Text:
    """All tokens of the composition from e1 to t1: "Dallas", and "the Eiffel Tower is located"."""
    start = _find(query.r1_phrase, query.prompt) + _find(query.e1, query.r1_phrase)
    named = query.r1_phrase[_find(query.e1, query.r1_phrase) :]
    before = sum(query.prompt.startswith(named, i) for i in range(start))  # e1 may be a word of the relation, too
    return text(named, occurrence=before, whole=True)


PROMPT_PARTS = {"prompt": query_parts, "first_hop": first_hop_parts, "second_hop": second_hop_parts}


def locate_queries(lm: LM, queries: Iterable[TwoHop]) -> tuple[list[TwoHop], list[TwoHop]]:
    """(found, dropped): queries in which this tokenizer has a token of its own for every part, and the others."""
    found: list[TwoHop] = []
    dropped: list[TwoHop] = []
    for query in queries:
        (found if _is_located(lm, query) else dropped).append(query)
    return found, dropped


def part_positions(lm: LM, text: str, positions: dict[str, Part]) -> dict[str, int]:
    """Absolute token positions of parts in a prompt of this tokenizer."""
    prompt = lm.prompt(text)
    return {name: resolve(position, prompt).prompt[0] for name, position in positions.items()}


def _is_located(lm: LM, query: TwoHop) -> bool:
    try:
        for prompt, find in PROMPT_PARTS.items():
            found = part_positions(lm, getattr(query, prompt), find(query))
            if len(set(found.values())) < len(found):  # two parts in one token cannot be told apart
                return False
    except PositionError:
        return False
    return True


def _up_to(prompt: str, end: int) -> Text:
    """The last token of the first `end` characters of a prompt: unlike a part's own text, that beginning occurs only once."""
    return text(prompt[:end], occurrence=0)


def _word_after(prompt: str, end: int) -> Text:
    """The word that follows the first `end` characters of a prompt. Raises PositionError at its end."""
    after = prompt[end:].split()
    if not after:
        raise PositionError(f"no word follows {prompt[:end]!r} in {prompt!r}")
    return _up_to(prompt, prompt.index(after[0], end) + len(after[0]))


def _find(part: str, prompt: str) -> int:
    start = prompt.rfind(part)
    if start < 0:
        raise PositionError(f"{part!r} does not occur in the prompt {prompt!r}")
    return start


def _shared(bare: str, phrase: str) -> str:
    """The bare phrase. Raises PositionError unless `phrase` begins with it."""
    if not bare or not phrase.startswith(bare):
        raise PositionError(f"the r1 phrase {phrase!r} does not begin with {bare!r}")
    return bare
