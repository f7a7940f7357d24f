"""What a reader yields, and how captions and labels are found."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from siglino_core.config import SourceConfig

CAPTION_NAMES = ("caption", "text", "captions", "sentences", "alt_text", "alt", "description", "txt")
LABEL_NAMES = ("label", "class", "class_name", "category", "cls", "fine_label", "labels")
IMAGE_SUFFIXES = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff")
# Read too, so that each is a reject with its reason instead of being passed over in silence.
OTHER_SUFFIXES = ("avif", "heic", "heif", "jp2", "jxl", "ico", "psd", "svg", "ppm", "pgm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An encoded image of the pool; ``key`` and ``offset`` as in `siglino_core.schema.SOURCE`."""

    uri: str
    key: str
    offset: int = 0
    data: bytes
    caption: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something of the pool that is no image, or was not read; as in `siglino_core.schema.REJECTS`."""

    uri: str
    key: str
    reason: str
    error: str


def suffix(name: str) -> str:
    """The extension in lower case, without its dot."""
    return name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def is_image(name: str) -> bool:
    return suffix(name) in IMAGE_SUFFIXES or suffix(name) in OTHER_SUFFIXES


def pick(wanted: str, names: Iterable[str], known: Iterable[str]) -> str | None:
    """The column or key that ``wanted`` names, or else the first of ``known`` there is, in any case."""
    if wanted:
        return wanted if wanted in set(names) else None
    by_lower = {n.lower(): n for n in reversed(list(names))}
    return next((by_lower[k] for k in known if k in by_lower), None)


def text(value: Any) -> str | None:
    """A caption or label as text: of several the first, and None for what is empty."""
    while isinstance(value, list | tuple):
        value = value[0] if value else None
    if value is None or isinstance(value, dict | bytes):
        return None
    return str(value).strip() or None


def from_text(data: bytes) -> str | None:
    return text(data.decode("utf-8", "replace"))


def from_json(data: bytes, config: SourceConfig) -> tuple[str | None, str | None]:
    """(caption, label) of a JSON object beside an image; (None, None) for anything else."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(values, dict):
        return None, None
    caption = pick(config.caption_column, values, CAPTION_NAMES)
    label = pick(config.label_column, values, LABEL_NAMES)
    return text(values[caption]) if caption else None, text(values[label]) if label else None
