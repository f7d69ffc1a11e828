"""Base models asked in few-shot form: the template, the examples, the name, what is recorded."""

import json
from dataclasses import replace

import pytest
from mlx_lm.utils import load_tokenizer

import assay
from assay.errors import CheckpointError, NoChatTemplate, PromptError
from assay.methods import template_tail, writes_system_prompt
from assay.models.chat import rendered
from assay.models.few_shot import FEW_SHOT, SHOTS, TEMPLATE, give_template, is_given, version
from assay.models.random import write_random
from assay.models.registry import REGISTRY, few_shot_twin, getter, is_few_shot, locate, resolve
from assay.models.tokenizer import STYLES, write_tokenizer

SMALL = {**assay.models.SHAPES["qwen3_06b"], "hidden_size": 64, "intermediate_size": 64, "vocab_size": 512}


@pytest.fixture
def base(tmp_path):
    """base("llama") -> the tokenizer of a family, without a chat template."""

    def make(family):
        ids = write_tokenizer(tmp_path / family, family)
        made = load_tokenizer(tmp_path / family, eos_token_ids=ids["eos_token_id"])
        made._tokenizer.chat_template = None
        return made

    return make


@pytest.mark.parametrize("family", list(STYLES))
def test_a_question_stands_behind_the_examples(base, family):
    tokenizer = base(family)
    begins = tokenizer._tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
    give_template(tokenizer, "toy_few_shot")
    assert is_given(tokenizer)
    bos = tokenizer.bos_token if begins else ""
    examples = "".join(f"Q: {q}\nA:\n{a}\n\n" for q, a in zip(SHOTS[::2], SHOTS[1::2], strict=True))
    assert rendered(tokenizer, "Who?") == f"{bos}{examples}Q: Who?\nA:\n"
    several = rendered(tokenizer, ["Who?", "Me.", "Sure?"])
    assert several == f"{bos}{examples}Q: Who?\nA:\nMe.\n\nQ: Sure?\nA:\n"
    assert rendered(tokenizer, "Who?", system=False) == rendered(tokenizer, "Who?")
    with pytest.raises(
        PromptError, match="the chat template of toy refuses a system prompt: a base model takes no system prompt"
    ):
        rendered(tokenizer, "Who?", "Be brief.", name="toy")
    with pytest.raises(PromptError, match="got 2 turns"):
        rendered(tokenizer, ["Who?", "Me."])


def test_the_examples_say_each_answer_equally_often():
    answers = SHOTS[1::2]
    assert [answers.count(said) for said in ("(A)", "(B)", "True.", "False.", "I do not know.")] == [2, 2, 1, 1, 2]
    assert len(answers) == len(SHOTS[::2]) == 10


def test_a_model_with_a_template_keeps_it(tmp_path):
    ids = write_tokenizer(tmp_path / "llama", "llama")
    tokenizer = load_tokenizer(tmp_path / "llama", eos_token_ids=ids["eos_token_id"])
    assert not is_given(tokenizer)
    with pytest.raises(
        CheckpointError, match="toy has a chat template of its own, and _few_shot is for base models: use toy"
    ):
        give_template(tokenizer, f"toy{FEW_SHOT}")


def test_the_name_is_that_of_the_model_with_few_shot_behind_it():
    [spec] = resolve(["gemma270m_few_shot"])
    assert spec == few_shot_twin(REGISTRY["gemma270m"]) == replace(REGISTRY["gemma270m"], id=spec.id, aliases=())
    assert (spec.id, spec.kind, is_few_shot(spec), is_few_shot(REGISTRY["gemma270m"])) == (
        "gemma270m_few_shot", "pip", True, False,
    )  # fmt: skip
    assert getter(spec) == "assay get gemma270m"
    assert [one.id for one in resolve(["sizes_few_shot"])] == ["llama_tiny4_few_shot", "llama_tiny_few_shot"]
    with pytest.raises(assay.errors.UnknownModel, match="Did you mean gemma270m"):
        resolve(["gemma270_few_shot"])


def test_loading_a_base_model_under_either_name(tmp_path):
    folder = write_random(tmp_path / "mine", SMALL, bits=None)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    plain, asked = (assay.load(f"{folder}{ending}", doctor=False) for ending in ("", FEW_SHOT))
    assert (plain.name, asked.name) == ("mine", "mine_few_shot")
    with pytest.raises(NoChatTemplate, match="mine is a base model"):
        plain.chat("Who?")
    assert asked.chat("Who?", answer="It").text.endswith("(B)\n\nQ: Who?\nA:\nIt")
    assert asked.chat("Who?", system=False).tokens == asked.chat("Who?").tokens
    assert not writes_system_prompt(asked)
    assert asked.decode(template_tail(asked)).strip() == "A:"
    assert (asked.provenance()["few_shot"], "few_shot" in plain.provenance()) == (version(), False)
    assert asked.provenance()["revision"] == plain.provenance()["revision"]
    assert locate(resolve([f"{folder}{FEW_SHOT}"])[0]) == folder
    assert TEMPLATE in asked.tokenizer.chat_template
