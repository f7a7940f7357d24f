"""Text to token ids: CLIP's byte-pair vocabulary, which ships in open_clip's wheel, and ids of our own for control.

An expression is encoded by a tokenizer that knows no special token, so that no text can spell one: control tokens are
added by their ids.

Source: Radford et al. 2021, "CLIP" (arXiv 2103.00020), section 2.4.
"""

import gzip
import importlib.util
import unicodedata
from enum import IntEnum
from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.referring import LONGEST as MOST_CHARACTERS

BYTES = 256  # of the alphabet; each again as the last one of a word
MERGES = 49_152 - BYTES - 2
TEXT_TOKENS = 2 * BYTES + MERGES + 2  # 49,408 with CLIP's two special tokens, which nothing here produces
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
LONGEST = 64  # tokens of an expression


class Control(IntEnum):
    """Tokens that no text spells, by id."""

    END_OF_IMAGE = TEXT_TOKENS
    START_OF_ANSWER = TEXT_TOKENS + 1
    PRESENT = TEXT_TOKENS + 2
    ABSENT = TEXT_TOKENS + 3
    COORDINATE = TEXT_TOKENS + 4
    SIZE = TEXT_TOKENS + 5
    SEGMENT = TEXT_TOKENS + 6
    END = TEXT_TOKENS + 7


VOCABULARY = TEXT_TOKENS + len(Control)
ANSWERS = (Control.PRESENT, Control.ABSENT, Control.COORDINATE, Control.SIZE, Control.SEGMENT, Control.END)
"""What an answer consists of; the output layer has one row for each."""


def encode(expression: str) -> list[int]:
    """Ids of an expression's tokens, 1 to ``LONGEST`` of them, each below ``TEXT_TOKENS - 2``.

    Raises:
        DataError: no text, or too long a one.
    """
    if not expression.strip():
        raise DataError("an expression without text: say what is to be found")
    if len(expression) > MOST_CHARACTERS:
        raise DataError(
            f"an expression of {len(expression):,} characters, {printable(expression, 60)}: at most {MOST_CHARACTERS:,}"
        )
    ids: list[int] = tokenizer().encode(canonical(expression), add_special_tokens=False).ids
    if not ids:
        raise DataError(f"an expression without text, {printable(expression, 60)}: say what is to be found")
    if len(ids) > LONGEST:
        raise DataError(f"an expression of {len(ids)} tokens, {printable(expression, 60)}: at most {LONGEST}")
    return ids


def canonical(text: str) -> str:
    """Unicode composed, blanks of any kind made one space each, lower case; what prints nothing is dropped."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(" " if c.isspace() else c for c in composed if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split()).lower()


def decode(ids: list[int]) -> str:
    """The text of ids, in lower case, without control tokens."""
    return tokenizer().decode([i for i in ids if i < TEXT_TOKENS - 2])


@cache
def tokenizer() -> Tokenizer:
    """CLIP's tokenizer without its special tokens."""
    pairs = merges()
    alphabet = list(_bytes_to_unicode().values())
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in pairs)]
    bpe = models.BPE(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=pairs,
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
        fuse_unk=False,
    )
    made = Tokenizer(bpe)
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])  # type: ignore[assignment]
    made.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("</w>", " "), decoders.Strip(" ", 0, 1)])  # type: ignore[assignment]
    return made


def merges() -> list[tuple[str, str]]:
    """CLIP's merges, in their order, out of open_clip's wheel, which is not imported for it.

    Raises:
        DataError: open_clip is not installed, or its file is another.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("open_clip is not installed, whose wheel has CLIP's vocabulary: pip install open_clip_torch")
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    pairs = [tuple(line.split()) for line in lines]
    if len(pairs) != MERGES or any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{path}: not CLIP's vocabulary; reinstall open_clip_torch")
    return [(a, b) for a, b in pairs]


def _bytes_to_unicode() -> dict[int, str]:
    """A visible character for every byte, as byte-level vocabularies have them (Radford et al. 2019, GPT-2)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [b for b in range(BYTES) if b not in visible]
    return {b: chr(b) for b in visible} | {b: chr(BYTES + i) for i, b in enumerate(hidden)}
