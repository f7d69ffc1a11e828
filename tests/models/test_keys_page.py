"""docs/published.md is made from the table of keys: `python tests/models/test_keys_page.py` makes it again."""

from pathlib import Path

from assay.models.keys import COMMON, HARMLESS, KEYS, Answer, Refused, answers

PAGE = Path(__file__).parents[2] / "docs" / "published.md"
HEAD = """# The published model

assay runs the model that its publisher describes: the one that transformers builds from the same config.json, with its defaults
for absent keys. mlx-lm, whose modules and weights assay uses, leaves out some of it: the windows of Gemma-2, Mistral, Phi-3 and
Qwen, activations other than a family's usual one, short factors of LongRoPE, softcaps that are null, and `rope_parameters` as
transformers 5 writes them; and it has other defaults for absent keys. assay computes all this itself, in runs, sweeps,
generations and gradients alike. `assay doctor MODEL` ends with a line "as published: ..." for each such thing, and compares with
mlx-lm where both are the same.

    lm = assay.load("path/to/model")                           # a key that assay does not know, and that may matter: refused
    lm = assay.load("path/to/model", unknown_keys="ignore")    # if you know that it changes nothing; recorded with every number

- **ours**: assay computes it. "dynamic" and "longrope" rotations up to the length at which their frequencies change; a longer
  prompt or continuation is refused, with that length.
- **mlx-lm**: mlx-lm's module computes it, with the publisher's default where the key is absent.
- **only ...**: another value cannot be computed as published, and the model is not loaded.
- nothing: the family does not have the key, and a config.json that does is refused.

Tensors of the files that the model does not use are refused too. An unembedding is tied as transformers ties it: where the config
says so and the files hold no other one.

How this is known: logits of tiny models of all families, in 476 configurations, are compared with those of
transformers in float32 (`tests/oracle`). A fixed part is committed and compared in every run of the tests.

Keys of all families that say nothing about activations ({harmless}) are left out of this table, which is made from
`lib/assay/models/keys.py`: `python tests/models/test_keys_page.py` makes it again.

| key | {families} |
| --- |{rules}
"""


def cell(answer: Answer | None) -> str:
    if isinstance(answer, Refused):
        return "only " + ", ".join(f"`{each}`" for each in answer.but)
    return answer or ""


def page() -> str:
    harmless = [key for key, answer in COMMON.items() if answer == HARMLESS]
    keys = [key for key in COMMON if key not in harmless]
    keys += [key for key in dict.fromkeys(key for own in KEYS.values() for key in own) if key not in COMMON]
    head = HEAD.format(
        harmless=f"{len(harmless)}: {', '.join(f'`{key}`' for key in harmless[:3])}, ...",
        families=" | ".join(KEYS),
        rules=" --- |" * len(KEYS),
    )
    rows = [f"| `{key}` | " + " | ".join(cell(answers(family).get(key)) for family in KEYS) + " |" for key in keys]
    return head + "\n".join(rows) + "\n"


def test_the_page_is_the_table():
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
