"""Texts on which two tokenizers differ if they differ at all: always the same ones, made from a seed.

    texts(500)                          # 500 different strings, the same in every run
    texts(60, specials=["<|im_end|>"])  # some of them with these markers inside

By hand: scripts, white space, digits, contractions, code. By the seed: pieces of those put together, runs of one
character, and characters from all over Unicode, unassigned ones included (no surrogates: they are not text).
"""

import json
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

COMPOSED = "Ünïcödé façade, naïve coöperation; Ångström, Þórsmörk, Gdańsk, Đà Nẵng"

WRITTEN = (
    "The capital of the state containing Dallas is Austin.",
    COMPOSED,
    unicodedata.normalize("NFD", COMPOSED),
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "مرحبا بالعالم، كيف حالك اليوم؟ ١٢٣",
    "שלום עולם, מה שלומך? שָׁלוֹם",
    "नमस्ते दुनिया, आप कैसे हैं? क्षत्रिय १२३४",
    "สวัสดีชาวโลก วันนี้อากาศดี ๑๒๓",
    "你好，世界。今天天气很好！一二三，2024年1月5日。",
    "東京は日本の首都です。カタカナとひらがな、ﾊﾝｶｸ。",
    "안녕하세요 세계, 오늘 날씨가 좋네요.",
    unicodedata.normalize("NFD", "안녕하세요 한국"),
    "বাংলা தமிழ் తెలుగు ქართული Հայերեն አማርኛ ខ្មែរ",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 thumb, 🇫🇷🇯🇵 flags, ☃️ ❤️‍🔥 1️⃣",
    "def f(x: int) -> int:\n    return x**2 + 1  # square\n\n\nclass A(B):\n\tpass\n",
    "for (int i = 0; i < n; ++i) { a[i] += b[i] * 0x1F; }",
    '{"key": [1, 2.5, -3e-7, null], "käse": "ünï\\u00e9"}',
    "SELECT * FROM t WHERE a='it''s' AND b<>\"x\";",
    "<html><body><table>\n<tr><td>1</td></tr></table></body></html>",
    "https://example.org/a_b-c/d?e=f&g=%20h#i user.name+tag@mail.example",
    "\\frac{a}{b} \\sum_{i=1}^{n} x_i^2 \\neq \\emptyset",
    "I'm you're he's she'd we've they'll it'S I'M YOU'RE HE'S SHE'D WE'VE THEY'LL don't DON'T o'clock 'tis ’s ’re",
    "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D 'ſ s' 'x ''s",
    "0 1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 1e10 007 v2.0.1 ½ ² ⅷ ④ ٣ 五 x86_64",
    "...!?!? -- --- ---- ===== ##### ***** ///// _____ ~~~ ``` «quoted» “quoted” ‘it’ „so“ ¿qué? ¡no!",
    "$5 €6 £7 ¥8 ₿9 50% 20°C ±1 a≤b x→y ∀ε>0 √2 ∞ © ® ™ § ¶ • …",
    "camelCase PascalCase snake_case SCREAMING_CASE kebab-case XMLHttpRequest iPhone15Pro",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ﬁ ﬂ ½ ① Ⅳ ﷺ ㎏ ℻ Å Å K Ω ≠ ≠ ｆｕｌｌｗｉｄｔｈ １２３",
    "Z̸̧̢a̶̧l̴g̷o̸ ẛ̣ e\u0301\u0301 \u0301 start",
    "zero\u200bwidth\u200cjoin\u200der \ufeffmark \u2060word soft\u00adhyphen \u202eright\u202c",
    "\x00\x01\x1b[31mred\x1b[0m\x7f\x85\x9f bell\x07",
    "\ue000 \uf8ff \U000f0000 \U0010fffd \ufffd \ufffe \uffff \u0378 \U000e0041",
    "𝕳𝖊𝖑𝖑𝖔 𐍈𐌰𐌽 𒀀𒁀 𓀀𓂀 𠜎𠜱 🀄 𝟘𝟙𝟚",
)

BLANKS = (
    "",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\t\t\t",
    " \n",
    "\n ",
    " \n \n  \n",
    "\u00a0",
    " \u00a0 ",
    "\u3000",
    "\u2003\u2009",
    "\u2028\u2029",
    "\x0b\x0c",
    "▁",
    "▁▁ ▁",
    " ▁x",
    " leading",
    "  leading",
    "trailing ",
    "trailing  ",
    "two  spaces   three    four",
    "tab\tin\t\tbetween",
    "a\nb\n\nc\n\n\nd",
    "a\r\nb\r\n\r\nc\rd",
    "x \n y\n z \t\n",
    "no\u00a0break\u00a0 space\u202fnarrow\u3000wide",
    "line!\n\n  next?\r\n\tthird.\n",
)

RUNS = (" ", "\n", "\t", "\r\n", "-", "=", "0", "7", "a", "é", "の", "🙂", "▁", "\u00a0", ".", "'")


def texts(count: int, specials: Sequence[str] = (), seed: int = 0) -> list[str]:
    """`count` different texts, by hand first and then by the seed; `specials` are markers to be put inside some."""
    rng = random.Random(seed)
    found = dict.fromkeys([*WRITTEN, *BLANKS])
    for special in specials:
        found |= dict.fromkeys((special, f"a{special}b", f" {special} {special}\n", f"x{special[:-1]} {special} y"))
    makers = (_mixture, _run, _characters, _spread)
    while len(found) < count:
        text = rng.choice(makers)(rng)
        if specials and rng.random() < 0.2:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(specials) + text[at:]
        found[text] = None
    kept = list(found)
    return kept if len(kept) == count else rng.sample(kept, count)


def _mixture(rng: random.Random) -> str:
    """Pieces of the texts written by hand, with white space or nothing between them."""
    pieces = []
    for _ in range(rng.randint(2, 6)):
        text = rng.choice(WRITTEN)
        start = rng.randrange(len(text))
        pieces.append(text[start : start + rng.randint(1, 15)])
        pieces.append(rng.choice(("", " ", *BLANKS)))
    return "".join(pieces)


def _run(rng: random.Random) -> str:
    """Runs of one character, up to 70 long."""
    return "x".join(rng.choice(RUNS) * rng.randint(1, 70) for _ in range(rng.randint(1, 3)))


def _characters(rng: random.Random) -> str:
    """Anything from Unicode but surrogates."""
    return "".join(_character(rng, 0x110000) for _ in range(rng.randint(1, 20)))


def _spread(rng: random.Random) -> str:
    """Neighbours from one block of 256, with spaces, as text of one script has them."""
    block = rng.randrange(0x400) << 8 if rng.random() < 0.5 else rng.randrange(0x30) << 8
    text = "".join(rng.choice((" ", "", "", "")) + chr(block + rng.randrange(256)) for _ in range(rng.randint(1, 30)))
    return "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000) or "?"


def _character(rng: random.Random, limit: int) -> str:
    while 0xD800 <= (code := rng.randrange(limit)) < 0xE000:
        pass
    return chr(code)


def settings_in(folder: Path) -> dict:
    """The content of a folder's tokenizer_config.json."""
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
