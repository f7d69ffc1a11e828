"""A conversation as text: the same every day, transformers' own on the fixed one, and without a system prompt where asked."""

from datetime import datetime

import pytest
from mlx_lm.utils import load_tokenizer
from transformers.utils import chat_template_utils

from assay.errors import NoChatTemplate, PromptError
from assay.models.chat import TODAY, dated, rendered
from assay.models.load import load_checkpoint
from assay.models.random import write_random
from assay.models.tokenizer import STYLES, write_tokenizer

# Templates whose header, default system prompt and date are made as in published ones.
DATED_HEADER = (  # Llama-3.2's: always a system turn, with the date
    "{{ bos_token }}"
    "{% if strftime_now is defined %}{% set today = strftime_now('%d %b %Y') %}{% else %}{% set today = '?' %}{% endif %}"
    "{% set own = messages[0]['role'] == 'system' %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + today + '\n\n' }}"
    "{% if own %}{{ messages[0]['content'] }}{% endif %}{{ '<|eot_id|>' }}"
    "{% for message in (messages[1:] if own else messages) %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
DATED_DEFAULT = (  # Mistral-Small's: a default system prompt with the date, then turns that alternate
    "{{ bos_token }}{% set own = messages[0]['role'] == 'system' %}"
    "{{ '[SYSTEM_PROMPT]' + (messages[0]['content'] if own else 'You are Mistral. Today is ' + strftime_now('%Y-%m-%d') + '.')"
    " + '[/SYSTEM_PROMPT]' }}"
    "{% for message in (messages[1:] if own else messages) %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '[INST]' + message['content'] + '[/INST]' if message['role'] == 'user' else message['content'] + eos_token }}"
    "{% endfor %}"
)
BOS_PER_TURN = (  # Llama-2's: a BOS before every user turn, the system prompt inside it
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
THINKING = (  # Qwen3's: only the last answer keeps its thoughts
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BARE = {
    "gemma2": "<bos><start_of_turn>user\nHow?<end_of_turn>\n<start_of_turn>model\n",
    "llama": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHow?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen2": "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\n",
    "mistral": "<s>[INST] How? [/INST]",
    "phi3": "<|user|>\nHow?<|end|>\n<|assistant|>\n",
    "dated header": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHow?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "dated default": "<s>[INST]How?[/INST]",
    "BOS per turn": "<s>[INST] How? [/INST]",
    "thinking": "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\n",
}
"""Each template without a system prompt: what the refusal papers' code writes for the families that it has."""
OTHERS = {
    "dated header": ("llama", DATED_HEADER),
    "dated default": ("mistral", DATED_DEFAULT),
    "BOS per turn": ("mistral", BOS_PER_TURN),
    "thinking": ("qwen3", THINKING),
}
DATED = ("dated header", "dated default")


@pytest.fixture
def tokenizer(tmp_path):
    """tokenizer("qwen2"), tokenizer("dated header"): a small one with that template."""

    def make(name, template=None):
        family, chat = OTHERS.get(name, (name, None))
        write_tokenizer(tmp_path / name, family)
        made = load_tokenizer(tmp_path / name)
        if template or chat:
            made._tokenizer.chat_template = template or chat
        return made

    return make


@pytest.fixture
def on(monkeypatch):
    """on(day): the clock of transformers' templates."""

    def set_clock(day):
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return day

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)

    return set_clock


def by_transformers(tokenizer, user, system):
    turns = ([{"role": "system", "content": system}] if system is not None else []) + [
        {"role": "user", "content": user}
    ]
    return tokenizer._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


TURNS = [(name, None) for name in BARE] + [
    (name, system)
    for name in BARE
    if name != "gemma2"
    for system in ("", "Be brief.")  # Gemma's takes no system turn
]


@pytest.mark.parametrize(("name", "system"), TURNS)
def test_a_prompt_is_the_same_every_day_and_that_of_transformers_on_the_fixed_one(name, system, tokenizer, on):
    made, texts, theirs = tokenizer(name), set(), set()
    for day in (datetime(2025, 11, 28, 23, 59), datetime(2026, 3, 1)):
        on(day)
        texts.add(rendered(made, "How?", system))
        theirs.add(by_transformers(made, "How?", system))
    assert len(theirs) == (2 if name in DATED and not (name == "dated default" and system is not None) else 1)
    on(TODAY)
    assert texts == {by_transformers(made, "How?", system)}


@pytest.mark.parametrize("name", BARE)
def test_without_a_system_prompt(name, tokenizer):
    assert rendered(tokenizer(name), "How?", False) == BARE[name]
    assert {name for name in BARE if name in STYLES} >= {"gemma2", "llama", "qwen2", "mistral", "phi3"}


@pytest.mark.parametrize("user", ["", "  spaces  ", "Who? <|im_start|>user\nMe", "\u6771\u4eac \u03a9", "a\n\nb"])
@pytest.mark.parametrize("name", BARE)
def test_the_turn_itself_is_as_the_template_writes_it(name, user, tokenizer):
    made = tokenizer(name)
    with_system, without = rendered(made, user), rendered(made, user, False)
    bos = made.bos_token or ""
    assert with_system.endswith(without.removeprefix(bos) if with_system.startswith(bos) else without)


FORMATS = ("%d %b %Y", "%Y-%m-%d", "%A, %B %-d", "100%% %H:%M", "%%d", "%j %y %p %c", "Today", "")


@pytest.mark.parametrize("before", ["", "\n", "  {%- set x = 1 %}", "  {% set x = 1 %}\n\n", "{# a note #}\n  "])
def test_the_clock_writes_what_strftime_writes_and_nothing_before_the_template(before, tokenizer, on):
    dates = "|".join(f"{{{{ strftime_now('{form}') }}}}" for form in FORMATS)
    made = tokenizer("llama", template=f"{before}{dates}{{{{ messages[0]['content'] }}}}\n")
    on(TODAY)
    assert rendered(made, "How?") == by_transformers(made, "How?", None)
    assert "26 Jul 2024|2024-07-26|Friday, July 26|" in rendered(made, "How?")


@pytest.mark.parametrize("name", [*DATED, "qwen2"])
def test_the_date_is_recorded_where_the_template_asks_for_it(name, tokenizer):
    assert dated(tokenizer(name)) == ({} if name == "qwen2" else {"chat_date": "2024-07-26"})


def test_the_date_stands_beside_the_revision(config, local, rewrite, tmp_path):
    path = write_random(tmp_path / "model", config("llama"), bits=None)
    assert "chat_date" not in load_checkpoint(local(path)).made_of
    rewrite(path / "tokenizer_config.json", chat_template=DATED_HEADER)
    assert load_checkpoint(local(path)).made_of["chat_date"] == "2024-07-26"


def test_a_template_that_keeps_its_own_system_prompt(tokenizer):
    made = tokenizer(
        "qwen2", template="Be good. {% for m in messages %}{{ loop.index ~ m['role'] ~ m['content'] }}{% endfor %}"
    )
    with pytest.raises(
        PromptError, match="template of toy does not show where a user's turn begins, so its system prompt"
    ):
        rendered(made, "How?", False, name="toy")


def test_what_a_template_refuses(tokenizer):
    with pytest.raises(
        PromptError, match="the chat template of toy refuses a system prompt: System role not supported"
    ):
        rendered(tokenizer("gemma2"), "How?", "Be brief.", name="toy")
    only_one = "{% if messages[1] is defined %}{{ raise_exception('only one') }}{% endif %}hi"
    assert rendered(tokenizer("llama", template=only_one), "How?") == "hi"
    with pytest.raises(PromptError, match="refuses a user's turn: only one"):
        rendered(tokenizer("llama", template=only_one), "How?", False)
    with pytest.raises(PromptError, match="refuses a user's turn: division"):
        rendered(tokenizer("llama", template="{{ 1 / 0 }}"), "How?")


def test_neither_a_text_nor_none_nor_false(tokenizer):
    for system in (True, 0, ["Be brief."]):
        with pytest.raises(PromptError, match=r"system is a text, None .* or False"):
            rendered(tokenizer("qwen2"), "How?", system)


def test_a_base_model(tokenizer):
    made = tokenizer("llama")
    made._tokenizer.chat_template = None
    with pytest.raises(NoChatTemplate, match="toy is a base model"):
        rendered(made, "How?", name="toy")


CONVERSATION = ["How?", "Like this.", "Are you sure?", "I am.", "Well?"]


def turns_by_transformers(tokenizer, said, system):
    own = [{"role": "system", "content": system}] if system is not None else []
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    return tokenizer._tokenizer.apply_chat_template([*own, *turns], tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize(("name", "system"), TURNS)
def test_a_conversation_is_that_of_transformers(name, system, n, tokenizer, on):
    made, said = tokenizer(name), CONVERSATION[:n]
    on(TODAY)
    assert rendered(made, said, system) == turns_by_transformers(made, said, system)
    assert rendered(made, tuple(said), system) == rendered(made, said, system)
    assert all(text in rendered(made, said, system) for text in said)


@pytest.mark.parametrize("name", BARE)
def test_a_list_of_one_turn_is_that_turn(name, tokenizer):
    made = tokenizer(name)
    for system in (None, False):
        assert rendered(made, ["How?"], system) == rendered(made, "How?", system)


@pytest.mark.parametrize("name", BARE)
def test_a_conversation_without_a_system_prompt(name, tokenizer):
    """It begins as the first turn alone does, and goes on as with the template's own system prompt."""
    made = tokenizer(name)
    bare, whole = rendered(made, CONVERSATION, False), rendered(made, CONVERSATION)
    opening = BARE[name].partition("How?")[0]
    assert bare.startswith(opening + "How?")
    assert bare.removeprefix(opening) == whole[whole.index("How?") :]


def test_turns_that_are_no_conversation(tokenizer):
    made = tokenizer("qwen2")
    with pytest.raises(PromptError, match=r"begins and ends with the user, \[user, model, user\], .* got no turns$"):
        rendered(made, [])
    with pytest.raises(PromptError, match=r"got 2 turns; give the beginning of the model's answer as answer="):
        rendered(made, ["How?", "Like this."])
    for neither in (
        None,
        3,
        {"role": "user", "content": "How?"},
        [{"role": "user", "content": "How?"}],
        ["How?", None, "?"],
    ):
        with pytest.raises(PromptError, match="a conversation is a user's text, or a list of texts"):
            rendered(made, neither)


def test_a_template_that_refuses_several_turns(tokenizer):
    only_one = "{% if messages[1] is defined %}{{ raise_exception('only one') }}{% endif %}hi"
    with pytest.raises(PromptError, match="the chat template of toy refuses a conversation of 3 turns: only one"):
        rendered(tokenizer("llama", template=only_one), CONVERSATION[:3], name="toy")
