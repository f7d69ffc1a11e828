"""Byte-level BPE: the rules that cut a text into words before the first merge, by their names in GGUF files.

    >>> rule = find("llama-bpe")
    >>> rule.ignore_merges                   # a word that is a token is never built from merges
    True
    >>> [word for word, _ in pre_tokenizer(rule).pre_tokenize_str("Paris, 1889")]      # Ġ stands for a space
    ['Paris', ',', 'Ġ', '188', '9']

A GGUF file does not hold its tokenizer's rule, only the rule's name (`tokenizer.ggml.pre`). A rule has the steps of the
publisher's tokenizer.json. Each step is one of

- a regular expression: every match is a word of its own, and so is what lies between two matches;
- `DIGITS`: every digit is a word of its own;
- `WORDS`: GPT-2's expression (words with the space before them, numbers, punctuation, white space).

Rules differ in digits (one by one, in threes, or whole), contractions ('s in any case or only in lower case), and in
whether line breaks go with the punctuation before them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.errors import CheckpointError, unknown

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

DIGITS = "<digits>"
WORDS = "<words>"

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"

TIKTOKEN = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN2 = TIKTOKEN % ""
LLAMA3 = TIKTOKEN % "{1,3}"
QWEN35 = QWEN2.replace(r"\p{L}+|", r"[\p{L}\p{M}]+|").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")

# A word is capitals, then small letters; letters without case, and marks, may stand in either part.
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*%s"
    r"|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES
)
TEKKEN = CASED % ("", "", "")
GPT4O = CASED % (CONTRACTION + "?", CONTRACTION + "?", "{1,3}")

CJK = "[一-龥ࠀ-一가-퟿]+"
# Letters of scripts with capitals, as DeepSeek lists them; as code points where Unicode would compose them to other letters.
CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184"
    "Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
DEEPSEEK_LLM = ("[\r\n]", rf"\s?[{CASED_LETTERS}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", CJK, DIGITS)
DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, DIGITS)
DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES,
)


@dataclass(frozen=True)
class Rule:
    """The rule of one name: the publisher's tokenizer.json without vocabulary and merges."""

    steps: tuple[str, ...]
    """Applied in order, each to the words that the previous step made."""
    nfc: bool = False
    """The text is composed first (Unicode's NFC)."""
    ignore_merges: bool = False
    """A word in the vocabulary becomes that token, even if the merges would give other tokens."""
    add_bos: bool = False
    """Whether BOS precedes every text, if the file does not say."""


GPT2 = Rule((WORDS,))
STARCODER = Rule((DIGITS, WORDS))
LLAMA_BPE = Rule((LLAMA3,), ignore_merges=True, add_bos=True)
QWEN = Rule((QWEN2,), nfc=True)

RULES: dict[str, Rule] = {
    "default": GPT2,
    "gpt-2": GPT2,
    "smollm": STARCODER,
    "starcoder": STARCODER,
    "refact": STARCODER,  # Granite
    "qwen2": QWEN,  # Qwen2, Qwen2.5, Qwen3
    "deepseek-r1-qwen": QWEN,
    "qwen35": Rule((QWEN35,), nfc=True),
    "llama-bpe": LLAMA_BPE,  # Llama 3, its distillations
    "llama3": LLAMA_BPE,
    "llama-v3": LLAMA_BPE,
    "smaug-bpe": Rule((LLAMA3,)),
    "dbrx": Rule((LLAMA3,)),  # Phi-4
    "gpt-4o": Rule((GPT4O,)),  # Phi-4-mini
    "tekken": Rule((TEKKEN,), ignore_merges=True, add_bos=True),  # Mistral Nemo, Ministral, Mistral Small 3
    "deepseek-llm": Rule(DEEPSEEK_LLM),
    "deepseek-coder": Rule(DEEPSEEK_CODER),
    "deepseek-v3": Rule(DEEPSEEK_V3),
}
"""By `tokenizer.ggml.pre`: the names that files of the families llama, mistral, qwen2, qwen3 and phi3 carry."""


def find(name: object) -> Rule:
    """The rule called `name`; CheckpointError, with the names that are known, for any other."""
    if isinstance(name, str) and name in RULES:
        return RULES[name]
    raise unknown(CheckpointError, "rule for splitting words (tokenizer.ggml.pre)", name, RULES)


def pre_tokenizer(rule: Rule) -> "PreTokenizer":
    """The rule's steps for `tokenizers`; the last writes each byte of a word as one printable character."""
    from tokenizers import Regex, pre_tokenizers

    steps: list[PreTokenizer] = []
    for step in rule.steps:
        if step == DIGITS:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        elif step != WORDS:
            steps.append(pre_tokenizers.Split(Regex(step), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=WORDS in rule.steps))
    return pre_tokenizers.Sequence(steps)
