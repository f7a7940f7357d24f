"""What a reader yields, and how captions and labels are found."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from siglino_core.config import SourceConfig
from siglino_core.errors import ConfigError
from siglino_core.images.reasons import too_many_bytes

CAPTION_NAMES = ("caption", "text", "captions", "sentences", "alt_text", "alt", "description", "txt")
LABEL_NAMES = ("label", "class", "class_name", "category", "cls", "fine_label", "labels")
IMAGE_SUFFIXES = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"),
    *("avif", "heic", "heif", "hif", "jp2", "j2k", "jpx", "jxl"),
)
# Read too, so that each is a reject with its reason instead of being passed over in silence.
OTHER_SUFFIXES = ("ico", "psd", "svg", "ppm", "pgm")
NOT_DOWNLOADED = "not_downloaded"  # the reason of rows that never had an image: they are no fault of the pool's images
TOO_LONG = "text_too_long"
SHOWN = 20  # keys in a message
MAX_TEXT = 1 << 20  # bytes of a caption, label or JSON file; longer ones are passed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An encoded image of the pool; ``key`` and ``offset`` as in `siglino_core.schema.SOURCE`.

    Attributes:
        caption: the first; of a text file beside the image all of it.
        captions: all that it has: of a list each, of a text file each line.
    """

    uri: str
    key: str
    offset: int = 0
    data: bytes
    caption: str | None = None
    label: str | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something of the pool that is no image, or was not read; as in `siglino_core.schema.REJECTS`.

    Attributes:
        label, captions: what is known of the image nevertheless.
    """

    uri: str
    key: str
    reason: str
    error: str
    images: int = 1
    label: str | None = None
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Something of the pool that is no image and was not asked for; counted by ``what`` it is, so many ``times``."""

    uri: str
    key: str
    what: str
    times: int = 1


def too_long(
    uri: str, key: str, size: int, config: SourceConfig, label: str | None = None, captions: tuple[str, ...] = ()
) -> Refused:
    """The reject of an image that is longer than ``max_bytes``, read or not."""
    bad = too_many_bytes(size, config.max_bytes)
    return Refused(uri=uri, key=key, reason=bad.reason, error=bad.message, label=label, captions=captions)


def suffix(name: str) -> str:
    """The extension in lower case, without its dot."""
    return name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def is_image(name: str) -> bool:
    return suffix(name) in IMAGE_SUFFIXES or suffix(name) in OTHER_SUFFIXES


def picks(wanted: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The column or key that ``wanted`` names, or else all of ``known`` there are, in any case and their order."""
    if wanted:
        return [wanted] if wanted in set(names) else []
    by_lower = {n.lower(): n for n in reversed(list(names))}
    return [by_lower[k] for k in known if k in by_lower]


def pick(wanted: str, names: Iterable[str], known: Iterable[str]) -> str | None:
    """The first of :func:`picks`, if there is one."""
    return next(iter(picks(wanted, names, known)), None)


def text(value: Any) -> str | None:
    """A caption or label as text: of several the first, and None for what is empty."""
    if isinstance(value, list | tuple):
        return next((found for v in value if (found := text(v)) is not None), None)
    if value is None or isinstance(value, dict | bytes) or value != value:  # NaN is how tables write that there is none
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a class number of a column with gaps
    return str(value).strip() or None


def all_texts(value: Any) -> tuple[str, ...]:
    """Every text that a value holds, in order: one, or those of a list; what is empty is left out."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(found for v in values if (found := text(v)) is not None)


def described(
    texts: Mapping[str, bytes], values: dict[str, Any], config: SourceConfig
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """(caption, label, captions) that texts beside an image give: its own files first, then a row of the metadata.

    Args:
        texts: the contents by kind: txt, json, cls.
        values: of the row; empty: there is none.
    """
    captions, label = _from_values(object_of(texts.get("json", b"")), config)
    more, other = _from_values(values, config)
    whole = _decoded(texts.get("txt", b""))
    captions = all_texts((whole or "").splitlines()) or captions or more
    return whole or next(iter(captions), None), _decoded(texts.get("cls", b"")) or label or other, captions


def _decoded(data: bytes) -> str | None:
    kind = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return text(data.decode(kind, "replace"))


def require_keys(values: Iterable[dict[str, Any]], config: SourceConfig, where: str) -> None:
    """Refuse keys that are asked for and that none of some objects has; of no objects nothing is known.

    Raises:
        ConfigError: which setting, and what keys there are.
    """
    there = list(dict.fromkeys(key for one in values for key in one))
    for setting in ("caption_column", "label_column"):
        wanted = getattr(config, setting)
        if wanted and there and wanted not in there:
            raise ConfigError(f"source.{setting}={wanted} is not there. {where} has {', '.join(there[:SHOWN])}.")


def object_of(data: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _from_values(values: dict[str, Any], config: SourceConfig) -> tuple[tuple[str, ...], str | None]:
    filled = {name: found for name, value in values.items() if (found := text(value)) is not None}
    caption = pick(config.caption_column, filled, CAPTION_NAMES)
    label = pick(config.label_column, filled, LABEL_NAMES)
    return all_texts(values[caption]) if caption else (), filled[label] if label else None
