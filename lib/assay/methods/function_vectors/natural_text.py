"""Natural text: sentences continued while a vector is added at every token (Todd et al. 2024, section 3.1; FV-9).

    >>> names_answer(lm, 'The word "{}", means', [("big", "small")], vector, layer=9, max_tokens=5)     # doctest: +SKIP
    [True]

Nothing in a sentence says what is asked for; only the vector does.
"""

from collections.abc import Sequence

import mlx.core as mx

from assay.data.tasks import Pair
from assay.data.two_hop import answers
from assay.forward.lm import LM
from assay.methods.function_vectors.function_vector import inject

BATCH = 8


def names_answer(
    lm: LM, sentence: str, pairs: Sequence[Pair], vector: mx.array | None, layer: int, max_tokens: int
) -> list[bool]:
    """For each pair, whether the continuation of the sentence about its input names its output, in whole words.

    The vector [E] is added to the stream that leaves `layer`, at the last token of the sentence and at every token written.
    """
    edits = [] if vector is None else inject(vector, layer, generated=True)
    found = []
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        texts = lm.generate([sentence.format(given) for given, _ in part], edits=edits, max_tokens=max_tokens)
        found += [answers(g.text, [output]) for g, (_, output) in zip(texts, part, strict=True)]
    return found
