"""Natural text: sentences continued while a vector is added at every token (Todd et al. 2024, section 3.1; FV-9).

>>> pairs = [("France", "Paris"), ("Italy", "Rome")]
>>> continuations_name_answers(lm, "The capital of {} is", pairs, vector=None, layer=4, max_tokens=5)
[True, True]
"""

from collections.abc import Sequence

import mlx.core as mx

from assay.data.tasks import Pair
from assay.data.two_hop import answers
from assay.forward.lm import LM
from assay.methods.function_vectors.function_vector import inject_vector
from assay.methods.portions import batches

BATCH = 8


def continuations_name_answers(
    lm: LM, sentence: str, pairs: Sequence[Pair], vector: mx.array | None, layer: int, max_tokens: int
) -> list[bool]:
    """For each pair, whether the continuation of the sentence about its input names its output, in whole words.

    vector: [E], added to resid_post of `layer` at the sentence's last token and at every generated token; None: no edit.
    """
    edits = [] if vector is None else inject_vector(vector, layer, generated=True)
    found = []
    for part in batches(pairs, BATCH):
        texts = lm.generate([sentence.format(given) for given, _ in part], edits=edits, max_tokens=max_tokens)
        found += [answers(g.text, [output]) for g, (_, output) in zip(texts, part, strict=True)]
    return found
