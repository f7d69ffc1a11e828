"""tokenizer.json and tokenizer_config.json from a GGUF file's metadata: the model's published tokenizer, rebuilt.

    ids = write(metadata, folder)                     # ids of BOS, EOS and padding, for config.json
    mlx_lm.utils.load_tokenizer(folder)               # opens the tokenizer as it is, without rules of its own

- Byte-level BPE (`tokenizer.ggml.model` = gpt2): `assay.models.gguf.pretokenize` has the rules that a file only names.
- SentencePiece (`llama`): `assay.models.gguf.sentencepiece`.

**Control** tokens and **user-defined** ones are found in a text before it is cut into words; control tokens are
special: decoding can leave them out. Several ids may end a generation: the file's end of text, of turn and of message,
and the ends of turns that its chat template writes. A setting that is not supported here is an error.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import CheckpointError, unknown
from assay.models.files import write_json
from assay.models.gguf import pretokenize, sentencepiece
from assay.models.gguf.vocabulary import CONTROL, PREFIX, UNKNOWN, USER_DEFINED, Vocabulary, read

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.processors import PostProcessor

log = logging.getLogger(__name__)

TEMPLATE = "tokenizer.chat_template"

TURN_ENDS = ("<end_of_turn>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>")
"""Control tokens that end a turn. Files often omit their ids, so each one that the chat template writes counts."""

NOT_STRIPPED = ("<unk>", "<s>", "<|endoftext|>")
"""The control tokens of Phi-3 that do not strip the white space behind them, as its other ones do."""


def write(metadata: Mapping[str, Any], folder: Path) -> dict[str, int | list[int] | None]:
    """Writes both files into `folder` (made if need be); returns bos, eos and pad ids for config.json.

    Raises CheckpointError for an unknown tokenizer model or splitting rule, a list that is missing or not as long as the
    vocabulary, and an id or a merge outside the vocabulary.
    """
    model = metadata.get(PREFIX + "model")
    if model not in BUILDERS:
        raise unknown(CheckpointError, f"kind of tokenizer ({PREFIX}model)", model, BUILDERS)
    vocabulary = read(metadata)
    tokenizer, add_bos = BUILDERS[model](vocabulary)
    said = vocabulary.flag("add_bos_token")
    add_bos = add_bos if said is None else said
    add_eos = bool(vocabulary.flag("add_eos_token"))
    tokenizer.post_processor = _post_processor(vocabulary, add_bos, add_eos)

    templates = _templates(metadata)
    ids = {role: vocabulary.id(role) for role in ("bos", "eos", "unknown", "pad")}
    ends = _ends(vocabulary, templates)
    # A family without BOS (Qwen) has no BOS in its tokenizer, even if its file names a token for other programs.
    if not add_bos and not any("bos_token" in template for template in templates.values()):
        ids["bos"] = None
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # opened unchanged; for qwen2 transformers rebuilds the same rules
        "bos_token": _content(vocabulary, ids["bos"]),
        "eos_token": _content(vocabulary, ids["eos"]),
        "unk_token": _content(vocabulary, ids["unknown"]),
        "pad_token": _content(vocabulary, ids["pad"]),
        "clean_up_tokenization_spaces": False,
    }
    if length := metadata.get(f"{metadata.get('general.architecture')}.context_length"):
        settings["model_max_length"] = length
    if templates:
        settings["chat_template"] = _written(templates)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "tokenizer_config.json", {key: value for key, value in settings.items() if value is not None})
    return {
        "bos_token_id": vocabulary.id("bos"),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": ids["pad"],
    }


# --- the two kinds ----------------------------------------------------------------------------------------


def _byte_level(vocabulary: Vocabulary) -> tuple["Tokenizer", bool]:
    """Byte-level BPE, and whether its rule puts BOS before a text."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    name = vocabulary.metadata.get(PREFIX + "pre")
    if name in (None, "default"):
        log.warning("the GGUF file does not say how its model splits words (%spre): as GPT-2 does, is assumed", PREFIX)
        name = "gpt-2"
    rule = pretokenize.find(name)
    if vocabulary.merges is None:
        raise CheckpointError(f"the file has no {PREFIX}merges, and byte-level BPE cannot encode a text without them")
    tokenizer = Tokenizer(
        models.BPE(
            vocab=_ids(vocabulary, vocabulary.tokens),
            merges=vocabulary.merges,
            ignore_merges=rule.ignore_merges,
            fuse_unk=False,
        )
    )
    if rule.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pretokenize.pre_tokenizer(rule)
    tokenizer.decoder = decoders.ByteLevel()
    _add(tokenizer, vocabulary, vocabulary.tokens)
    return tokenizer, rule.add_bos


def _sentencepiece(vocabulary: Vocabulary) -> tuple["Tokenizer", bool]:
    """SentencePiece's BPE; BOS stands before a text unless the file says otherwise."""
    from tokenizers import Tokenizer, models

    pieces = sentencepiece.pieces_of(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=_ids(vocabulary, pieces.tokens),
            merges=sentencepiece.merges(pieces),
            unk_token=_content(vocabulary, vocabulary.id("unknown")),
            fuse_unk=True,
            byte_fallback=pieces.bytes,
        )
    )
    tokenizer.normalizer = sentencepiece.normalizer(pieces)
    if cutter := sentencepiece.pre_tokenizer(pieces):
        tokenizer.pre_tokenizer = cutter
    tokenizer.decoder = sentencepiece.decoder(pieces)
    _add(tokenizer, vocabulary, pieces.tokens)
    return tokenizer, True


BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}
"""By `tokenizer.ggml.model`."""


def _ids(vocabulary: Vocabulary, tokens: list[str]) -> dict[str, int]:
    padding = vocabulary.padding
    return {token: i for i, token in enumerate(tokens) if i not in padding}


def _add(tokenizer: "Tokenizer", vocabulary: Vocabulary, tokens: list[str]) -> None:
    """Registers the tokens to be found before a text is cut into words; the vocabulary has their ids already."""
    from tokenizers import AddedToken

    kind_of_phi3 = (vocabulary.metadata.get("general.architecture"), vocabulary.metadata[PREFIX + "model"])
    strips = kind_of_phi3 == ("phi3", "llama")  # Phi-4, of the same architecture, has byte-level BPE
    special: list[AddedToken] = []
    plain: list[AddedToken] = []
    for token, kind in zip(tokens, vocabulary.types, strict=True):
        if kind in (CONTROL, UNKNOWN):
            rstrip = strips and token not in NOT_STRIPPED
            special.append(AddedToken(token, special=True, normalized=False, rstrip=rstrip))
        elif kind == USER_DEFINED:
            plain.append(AddedToken(token, special=False, normalized=False))
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(plain)


def _post_processor(vocabulary: Vocabulary, add_bos: bool, add_eos: bool) -> "PostProcessor":
    """Puts BOS before and EOS behind each text, if asked. Never absent: transformers would then add its own."""
    from tokenizers import processors

    before = _marker(vocabulary, "bos", "add_bos_token") if add_bos else []
    behind = _marker(vocabulary, "eos", "add_eos_token") if add_eos else []
    steps: list[PostProcessor] = []
    if vocabulary.metadata[PREFIX + "model"] == "gpt2":
        steps.append(processors.ByteLevel(trim_offsets=False))
    if before or behind or not steps:
        first = [*(f"{token}:0" for token, _ in before), "$A:0", *(f"{token}:0" for token, _ in behind)]
        second = [*(f"{token}:1" for token, _ in before), "$B:1", *(f"{token}:1" for token, _ in behind)]
        steps.append(
            processors.TemplateProcessing(single=first, pair=[*first, *second], special_tokens=[*before, *behind])
        )
    return steps[0] if len(steps) == 1 else processors.Sequence(steps)


def _marker(vocabulary: Vocabulary, role: str, flag: str) -> list[tuple[str, int]]:
    i = vocabulary.id(role)
    if i is None:
        raise CheckpointError(f"{PREFIX}{flag} is set and the file does not say which token {role.upper()} is")
    return [(vocabulary.tokens[i], i)]


# --- what stands in tokenizer_config.json -------------------------------------------------------------------


def _content(vocabulary: Vocabulary, i: int | None) -> str | None:
    return None if i is None else vocabulary.tokens[i]


def _templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Chat templates by name; the one without a name is `default`."""
    found = {}
    for key, template in metadata.items():
        if key == TEMPLATE or key.startswith(TEMPLATE + "."):
            if not isinstance(template, str):
                raise CheckpointError(f"{key} should be a text, and is {type(template).__name__}")
            found[key.removeprefix(TEMPLATE).removeprefix(".") or "default"] = template
    return found


def _written(templates: dict[str, str]) -> str | list[dict[str, str]]:
    """Chat templates in Hugging Face's form: one is a string, several are a list."""
    if list(templates) == ["default"]:
        return templates["default"]
    return [{"name": name, "template": template} for name, template in sorted(templates.items())]


def _ends(vocabulary: Vocabulary, templates: dict[str, str]) -> list[int]:
    """Ids that end a generation, in ascending order."""
    ends = {vocabulary.id(role) for role in ("eos", "eot", "eom")} - {None}
    written = [end for end in TURN_ENDS if any(end in template for template in templates.values())]
    if written:
        ends |= {
            i
            for i, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True))
            if kind == CONTROL and token in written
        }
    return sorted(i for i in ends if i is not None)
