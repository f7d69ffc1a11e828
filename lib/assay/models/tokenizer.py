"""Small tokenizers in the style of each family: byte-level BPE, so that any text can be written in them.

    >>> write_tokenizer(Path("llama"), "llama")["bos_token_id"]       # BOS, header markers
    0
    >>> write_tokenizer(Path("qwen"), "qwen2")["eos_token_id"]        # ChatML, no BOS, default system prompt
    [2]

These are as in the original: BOS and what adds it, the special tokens, and the chat template with its turn markers and
default system prompt. The vocabulary is smaller, and Gemma's is byte-level here.

transformers replaces the tokenizer of some families (qwen2, whatever class the files declare) by its own, rebuilt
from vocabulary and merges: normalizer and splitting rules of the file are ignored. So `STYLES` has, for each family,
the rules that transformers would put there; `assay.models.load` compares the two at every load.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from assay.errors import CheckpointError
from assay.models.files import write_json

# Splits text into words, single digits, punctuation and spaces before any merge: Qwen2's rule.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_SPLIT = QWEN_SPLIT.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")  # up to three digits together

GEMMA_CHAT = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n'"
    " + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
LLAMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
QWEN_CHAT = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + QWEN_SYSTEM + "<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' if message['role'] == 'user'"
    " else message['content'] + eos_token }}"
    "{% endfor %}"
)
PHI_CHAT = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Style:
    """How a family writes a conversation."""

    specials: tuple[str, ...]
    """Special tokens; their order is their ids, from 0."""
    chat: str
    """Chat template (Jinja)."""
    bos: str | None
    """Put before every text by the tokenizer itself; None for families without one."""
    eos: str
    """Ends a text."""
    turn_end: str
    """Ends a turn: generation stops here too."""
    pad: str
    split: str = LLAMA_SPLIT
    normalize: bool = False
    """Whether texts are composed first (NFC); decoding then gives the composed form."""
    extra: dict[str, str] = field(default_factory=dict)
    """More entries of tokenizer_config.json."""


GEMMA = Style(
    specials=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    chat=GEMMA_CHAT,
    bos="<bos>",
    eos="<eos>",
    turn_end="<end_of_turn>",
    pad="<pad>",
    extra={"unk_token": "<unk>"},
)
LLAMA = Style(
    specials=(
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|finetune_right_pad_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ),
    chat=LLAMA_CHAT,
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    turn_end="<|eot_id|>",
    pad="<|finetune_right_pad_id|>",
)
QWEN = Style(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    chat=QWEN_CHAT,
    bos=None,
    eos="<|im_end|>",
    turn_end="<|im_end|>",
    pad="<|endoftext|>",
    split=QWEN_SPLIT,
    normalize=True,
)
MISTRAL = Style(
    specials=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
    chat=MISTRAL_CHAT,
    bos="<s>",
    eos="</s>",
    turn_end="</s>",
    pad="<unk>",
)
PHI = Style(
    specials=("<unk>", "<s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
    chat=PHI_CHAT,
    bos=None,
    eos="<|endoftext|>",
    turn_end="<|end|>",
    pad="<|endoftext|>",
)

STYLES: dict[str, Style] = {
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "llama": LLAMA,
    "qwen2": QWEN,
    "qwen3": QWEN,
    "mistral": MISTRAL,
    "phi3": PHI,
}

CORPUS = (
    "The capital of the state containing Dallas is Austin.",
    "What is the largest city of the country in which the tower stands? It is the capital.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all.",
    "I think that you are right. I am not sure, but the answer is yes. No, the answer is no.",
    "Q: hot\nA: cold\n\nQ: big\nA: small\n\nQ: up\nA: down\n",
)
"""A little English, so that common words of prompts are one token each."""


def write_tokenizer(
    path: Path, family: str, *, corpus: Iterable[str] = CORPUS, vocab_size: int = 512
) -> dict[str, int | list[int] | None]:
    """Writes tokenizer.json and tokenizer_config.json; returns the ids for config.json (bos, eos, pad).

    `vocab_size` is an upper bound: special tokens, 256 bytes, then merges learned from `corpus`, always the same
    for the same corpus. Raises CheckpointError when there is not even room for the bytes.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    style = STYLES[family]
    smallest = len(style.specials) + 256
    if vocab_size < smallest:
        raise CheckpointError(f"a {family} tokenizer needs {smallest} tokens or more, not {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    if style.normalize:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(style.split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[AddedToken(token, special=True, normalized=False) for token in style.specials],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    id_of = {token: i for i, token in enumerate(style.specials)}
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if style.bos:
        template = processors.TemplateProcessing(
            single=f"{style.bos} $A", pair=f"{style.bos} $A $B", special_tokens=[(style.bos, id_of[style.bos])]
        )
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, template])
    path.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Qwen2Tokenizer" if style is QWEN else "PreTrainedTokenizerFast",
        "bos_token": style.bos,
        "eos_token": style.eos,
        "pad_token": style.pad,
        "chat_template": style.chat,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
        **style.extra,
    }
    write_json(path / "tokenizer_config.json", settings)
    return {
        "bos_token_id": id_of[style.bos] if style.bos else None,
        "eos_token_id": sorted({id_of[style.eos], id_of[style.turn_end]}),
        "pad_token_id": id_of[style.pad],
    }
