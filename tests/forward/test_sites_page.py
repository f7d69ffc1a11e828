"""docs/sites.md is made from the table of sites: `python tests/forward/test_sites_page.py` makes it again."""

from pathlib import Path

from assay.forward.sites import SITES

PAGE = Path(__file__).parents[2] / "docs" / "sites.md"
HEAD = """# Sites

Every place in the forward pass that can be kept (`lm.run(prompt, keep=...)`) and edited. Ask for all layers ("resid_post"),
one layer ("resid_post.3", ("resid_post", 3)) or, outside the layers, the name alone ("logits"). Layers count from 0.

    B prompts or variants   L positions   S keys attended to   H query heads   K key heads
    D width of a head       E width of the stream              V vocabulary

    resid_pre -> [norm -> q k v -> q_rot k_rot -> scores -> pattern -> z -> attn_raw -> post-norm?] -> attn_out
              -> resid_mid = resid_pre + attn_out
              -> [norm -> mlp_raw -> post-norm?] -> mlp_out -> resid_post = resid_mid + mlp_out

TransformerLens' names stand behind `blocks.N.`, outside the layers alone. Its axes of q, k and v are B L H D, masked scores are
-inf, and in families with norms of q and k its `hook_q` and `hook_k` are before the norm. Its weights are folded and centred by
default, ours are the checkpoint's: values agree with `fold_ln=False, fold_value_biases=False, center_unembed=False,
center_writing_weights=False`. There is no site for MLP neurons, and none for the output of a norm inside a layer.

This page is made from `lib/assay/forward/sites.py`: `python tests/forward/test_sites_page.py` makes it again.

| site | axes | TransformerLens | what it is |
| --- | --- | --- | --- |
"""


def page() -> str:
    rows = []
    for site in SITES.values():
        hook = f"`{site.transformer_lens}`" if site.transformer_lens else ""
        rows.append(
            f"| `{site.name}`{'' if site.editable else ' (read only)'} | {site.axes} | {hook} | {site.meaning} |"
        )
    return HEAD + "\n".join(rows) + "\n"


def test_the_page_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
