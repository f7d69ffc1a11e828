"""Tokenizers of every kind, made in memory, with tiny models around them: how each writes the start of a text differs.

    lm = kinds.lm("prepend")             # SentencePiece's BPE as in Llama 2: "▁" before every text, byte fallback
    kinds.KINDS                          # all names
    kinds.PREFIXED                       # those that write a space before a text that stands alone
    lm.chat("hot")                       # "[INST] hot:"

Words of CORPUS that follow a space are one token each (" Paris"), and so are runs of spaces.
"""

import functools
import json
from typing import Any

import tiny
from mlx_lm.tokenizer_utils import TokenizerWrapper
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
from transformers import PreTrainedTokenizerFast

from assay.forward.lm import LM
from assay.models.tokenizer import LLAMA_SPLIT

VOCAB = 640
CHAT = "{% for message in messages %}[INST] {{ message['content'] }}:{% endfor %}"
CORPUS = ["The capital of France is Paris", "and the city of Rome is in Italy", "Is Oslo", "or Austin"] * 9
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
SPACE = "▁"
WORDS = sorted({word for line in CORPUS for word in line.split()})
LETTERS = sorted({c for word in WORDS for c in word} | set("019(:."))


def _bpe(*, spaces: bool) -> Tokenizer:
    """BPE over pieces with "▁" for spaces and bytes for other characters, as SentencePiece writes them."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")
    special = [*SPECIAL, *BYTES]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=LETTERS, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
    if spaces:  # "▁▁" is a piece, as in Llama 2 and Gemma: two spaces are merged before any word
        vocab[SPACE * 2] = len(vocab)
        merges.insert(0, (SPACE, SPACE))
    made = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return made


def _sentencepiece(prefix: bool) -> Tokenizer:
    """Llama 2 (prefix) and Gemma: spaces are replaced, nothing is cut into words."""
    made = _bpe(spaces=True)
    replace = normalizers.Replace(" ", SPACE)
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if prefix else replace
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return made


def _metaspace(scheme: str, split: bool = False) -> Tokenizer:
    made = _bpe(spaces=not split)
    made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=split)
    drop = [] if scheme == "never" else [decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *drop]  # type: ignore[list-item]
    )
    return made


def _unigram(squeeze: bool) -> Tokenizer:
    """Unigram with a space before every word; squeeze: as in T5, spaces at the ends and repeated ones are dropped."""
    pieces = [(token, 0.0) for token in SPECIAL]
    pieces += [(SPACE, -4.0), *((letter, -9.0) for letter in LETTERS), *((SPACE + word, -6.0) for word in WORDS)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    if squeeze:
        made.normalizer = normalizers.Sequence(
            [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace(Regex(r"\A +| +\z"), "")]
        )
    made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")
    made.decoder = decoders.Metaspace(SPACE, prepend_scheme="always")
    return made


def _byte_level(prefix: bool) -> Tokenizer:
    made = Tokenizer(models.BPE())
    split = [] if prefix else [pre_tokenizers.Split(Regex(LLAMA_SPLIT), behavior="isolated")]
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [*split, pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=prefix)]  # type: ignore[list-item]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


KINDS: dict[str, tuple[Any, str]] = {
    "byte-level": (lambda: _byte_level(prefix=False), "<s> $A"),
    "byte-level, no BOS": (lambda: _byte_level(prefix=False), "$A"),
    "byte-level, prefix": (lambda: _byte_level(prefix=True), "<s> $A"),
    "byte-level, end": (lambda: _byte_level(prefix=False), "$A </s>"),
    "prepend": (lambda: _sentencepiece(prefix=True), "<s> $A"),
    "prepend, end": (lambda: _sentencepiece(prefix=True), "<s> $A </s>"),
    "replace": (lambda: _sentencepiece(prefix=False), "<s> $A"),
    "metaspace, first": (lambda: _metaspace("first"), "<s> $A"),
    "metaspace, always": (lambda: _metaspace("always"), "<s> $A"),
    "metaspace, always, words": (lambda: _metaspace("always", split=True), "<s> $A"),
    "metaspace, never": (lambda: _metaspace("never"), "<s> $A"),
    "unigram": (lambda: _unigram(squeeze=False), "$A </s>"),
    "unigram, squeezed": (lambda: _unigram(squeeze=True), "$A </s>"),
}
PREFIXED = [
    "byte-level, prefix", "prepend", "prepend, end", "metaspace, first", "metaspace, always", "metaspace, always, words",
    "unigram", "unigram, squeezed",
]  # fmt: skip


@functools.cache
def plain(kind: str) -> Tokenizer:
    """The tokenizer itself, which puts its BOS and end token around a text."""
    make, template = KINDS[kind]
    made = make()
    special = [(token, made.token_to_id(token)) for token in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return made


@functools.cache
def lm(kind: str, family: str = "llama") -> LM:
    """A tiny random model around a tokenizer."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=plain(kind), bos_token="<s>" if "<s>" in KINDS[kind][1] else None, eos_token="</s>",
        unk_token="<unk>", chat_template=CHAT,
    )  # fmt: skip
    model = tiny.build(family, vocab_size=max(VOCAB, plain(kind).get_vocab_size()))
    return LM(model, TokenizerWrapper(wrapped), name=f"{family}, {kind}")
