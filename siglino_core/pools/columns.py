"""Which columns of a Parquet pool hold the image, its name, caption and label."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from siglino_core.config import SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools.record import CAPTION_NAMES, LABEL_NAMES, pick, picks, text

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
URL_NAMES = ("url", "urls", "image_url", "img_url", "image_link", "link", "uri")
STATUS = "status"  # img2dataset's: success, failed_to_download or failed_to_resize
ERROR = "error_message"
NO_CLASS = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns to read; None where there is none.

    Attributes:
        captions: the first of them that has a value in a row is its caption.
        status, error: img2dataset's columns of what became of a download.
        folder_label: the label of all the file's rows, by a folder such as ``label=cat``.
    """

    image: str
    captions: list[str]
    label: str | None
    key: str | None
    status: str | None = None
    error: str | None = None
    class_names: list[str] = field(default_factory=list)
    folder_label: str | None = None

    def names(self) -> list[str]:
        wanted = (self.image, *self.captions, self.label, self.key, self.status, self.error)
        return [n for n in dict.fromkeys(wanted) if n]

    def label_text(self, value: Any) -> str | None:
        """A label as text; a Hugging Face class number by its name, and None for its "unlabelled", -1."""
        if self.class_names and isinstance(value, int):
            return self.class_names[value] if 0 <= value < len(self.class_names) else None
        return text(value)


def find_columns(schema: pa.Schema, config: SourceConfig, name: str, url: str) -> Columns:
    """The columns of a file, by the config's names or else by the usual ones.

    Args:
        name: of the file in the pool; its folders may be partitions, as ``label=cat``.

    Raises:
        DataError: a column that is asked for, or any column of images, is not there.
    """
    partitions = _partitions(name)
    twice = sorted({n for n in schema.names if schema.names.count(n) > 1})
    if twice:
        raise DataError(f"{url}: two columns are named {twice[0]}. Rename one of them. {_has(schema)}")
    for setting in ("image_column", "caption_column", "label_column"):
        wanted = getattr(config, setting)
        there = [*schema.names, *(partitions if setting == "label_column" else ())]
        if wanted and wanted not in there:
            raise DataError(f"{url}: source.{setting}={wanted} is not there. {_has(schema)}")
        if setting != "image_column" and wanted in schema.names and not _holds_text(schema.field(wanted).type):
            raise DataError(
                f"{url}: source.{setting}={wanted} is {schema.field(wanted).type}, not text. {_has(schema)}"
            )
    image = pick(config.image_column, [f.name for f in schema if _holds_images(f.type)], IMAGE_NAMES)
    if image is None:
        raise DataError(f"{url}: {_no_images(schema, config)} {_has(schema)}")
    others = [f.name for f in schema if f.name != image and _holds_text(f.type)]
    label = pick(config.label_column, others, LABEL_NAMES)
    partition = pick(config.label_column, partitions, LABEL_NAMES) if label is None else None
    texts = [n for n in others if n != label or config.caption_column]
    has_status = STATUS in others
    return Columns(
        image=image,
        captions=picks(config.caption_column, texts, CAPTION_NAMES),
        label=label,
        key=pick("", others, KEY_NAMES),
        status=STATUS if has_status else None,
        error=ERROR if has_status and ERROR in others else None,
        class_names=_class_names(schema, label),
        folder_label=partitions[partition] if partition else None,
    )


def _no_images(schema: pa.Schema, config: SourceConfig) -> str:
    if config.image_column:
        return f"source.image_column={config.image_column} is {schema.field(config.image_column).type}, not bytes."
    urls = pick("", schema.names, URL_NAMES)
    if urls:
        return (
            f"it has no images, only where they are ({urls}). Download them first, for example with `img2dataset "
            f"--input_format parquet --url_col {urls} --output_format webdataset`, and give the folder that it writes."
        )
    return "no column of image bytes was found; set source.image_column."


def _partitions(name: str) -> dict[str, str]:
    """The values that a warehouse writes into folders: ``label=cat/part-0.parquet``."""
    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {key: unquote(value) for key, _, value in pairs if value != NO_CLASS}


def _has(schema: pa.Schema) -> str:
    return "It has " + ", ".join(f"{f.name} ({f.type})" for f in schema) + "."


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_images(kind.value_type)
    if pa.types.is_struct(kind):
        names = [f.name for f in kind]
        if "bytes" not in names:
            return False
        bytes_type = kind.field("bytes").type  # null: every row has a path alone
        return _holds_images(bytes_type) or ("path" in names and pa.types.is_null(bytes_type))
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
