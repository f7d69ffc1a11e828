"""What a family's own answers are, where mlx-lm's differ from the publisher's."""

import mlx.core as mx
import pytest
import tiny
from mlx.utils import tree_map

from assay.forward.families import adapt


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_gemma3_scales_embeddings_in_the_dtype_of_its_weights(dtype):
    """transformers: `embed_scale.to(weight.dtype)`; the square root of 640 is 25.298, and 25.25 in bfloat16."""
    model = tiny.build("gemma3_text", hidden_size=640)
    model.update(tree_map(lambda p: p.astype(dtype), model.parameters()))
    family, tokens = adapt(model), mx.array([[7, 300]])
    scale = mx.array(640**0.5, dtype)
    assert scale.item() == pytest.approx(25.298221 if dtype == mx.float32 else 25.25)
    assert tiny.same(family.embed(tokens), model.model.embed_tokens(tokens) * scale)
    assert tiny.same(family.embed(tokens), family.embed_as_mlx_lm(tokens)) == (dtype == mx.bfloat16)
