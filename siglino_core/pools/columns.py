"""Which columns of a Parquet pool hold the image, its name, caption and label."""

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from siglino_core.config import SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools.record import CAPTION_NAMES, LABEL_NAMES, pick, text

IMAGE_NAMES = (
    "image",
    "bytes",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "img",
    "image_bytes",
    "img_bytes",
    "image_data",
    "content",
)
KEY_NAMES = ("key", "__key__", "id", "filename", "file_name", "path")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns to read; None where there is none."""

    image: str
    caption: str | None
    label: str | None
    key: str | None
    class_names: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return [n for n in dict.fromkeys((self.image, self.caption, self.label, self.key)) if n]

    def label_text(self, value: Any) -> str | None:
        """A label as text; a Hugging Face class number by its name, and None for its "unlabelled", -1."""
        if self.class_names and isinstance(value, int):
            return self.class_names[value] if 0 <= value < len(self.class_names) else None
        return text(value)


def find_columns(schema: pa.Schema, config: SourceConfig, url: str) -> Columns:
    """The columns of a file, by the config's names or else by the usual ones.

    Raises:
        DataError: a column that is asked for, or any column of images, is not there.
    """
    for setting in ("image_column", "caption_column", "label_column"):
        wanted = getattr(config, setting)
        if wanted and wanted not in schema.names:
            raise DataError(f"{url}: source.{setting}={wanted} is not there. {_has(schema)}")
    image = pick(config.image_column, [f.name for f in schema if _holds_images(f.type)], IMAGE_NAMES)
    if image is None:
        if config.image_column:
            kind = schema.field(config.image_column).type
            raise DataError(f"{url}: source.image_column={config.image_column} is {kind}, not bytes. {_has(schema)}")
        raise DataError(f"{url}: no column of image bytes was found; set source.image_column. {_has(schema)}")
    others = [f.name for f in schema if f.name != image and _holds_text(f.type)]
    label = pick(config.label_column, others, LABEL_NAMES)
    return Columns(
        image=image,
        caption=pick(config.caption_column, [n for n in others if n != label], CAPTION_NAMES),
        label=label,
        key=pick("", others, KEY_NAMES),
        class_names=_class_names(schema, label),
    )


def _has(schema: pa.Schema) -> str:
    return "It has " + ", ".join(f"{f.name} ({f.type})" for f in schema) + "."


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _holds_images(kind.field(at).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
    )


def _class_names(schema: pa.Schema, label: str | None) -> list[str]:
    """The names of a Hugging Face ClassLabel, from the metadata that `datasets` writes."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(n) for n in names] if isinstance(names, list) else []
