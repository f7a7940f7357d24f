"""What Hugging Face `datasets` and the Hub read of a card: which files are which table, and their columns."""

import re

import pyarrow as pa

from siglino_core import schema
from siglino_core.config import Shards

TABLES = {  # of a sample: where each lies in its folder, and what one row is
    "images": ("images/part-*", "a curated image, as training reads it"),
    "decisions": ("part-*.parquet", "an image of the pool, kept or not, with the reason"),
    "clusters": ("clusters/part-*.parquet", "a cluster of the finest level, and what of it is kept"),
}
RUN_CARD = """---
{front}
---

# A run of SigLino

`datasets.load_dataset(FOLDER)` opens its curated images, `{images}`. How they were chosen, what else there is, and what
is known of their licence: [sample/README.md](sample/README.md).
"""
COLUMNS = re.compile(r"^dataset_info:\n(?:[- ] .*\n)*", re.M)  # of a card, in its front matter


def run_card(shards: Shards, levels: int) -> str:
    """The card of a run's folder, which has its images' columns and no more: what the run is stands in the sample's.

    Of tars `datasets` finds the columns without being told.
    """
    front = _configs(["images"], "sample/")
    if shards is Shards.PARQUET:
        front += _columns(["images"], shards, levels, "bytes")
    return RUN_CARD.format(front="\n".join(front), images=f"sample/{TABLES['images'][0]}")


def with_columns(owners: str, card: str) -> str:
    """A run's card as its owner has it, with the columns of another: they are the files', whoever wrote the words.

    Without front matter that tells where the files lie it stays, since `datasets` then looks for itself.
    """
    text, found = owners.replace("\r\n", "\n"), COLUMNS.search(card)
    columns = found.group() if found else ""
    if COLUMNS.search(text):
        return COLUMNS.sub(lambda _: columns, text, count=1)
    front, end, rest = text.partition("\n---\n")
    return f"{front}\n{columns}---\n{rest}" if end and "\nconfigs:" in front else text


def front_matter(shards: Shards, levels: int, column: str) -> list[str]:
    """The lines of YAML that tell where a sample's tables lie, from its folder, and which columns they have.

    Args:
        column: the images', as in :func:`image_columns`.
    """
    return [*_configs(opened(shards)), *_columns(opened(shards), shards, levels, column)]


def opened(shards: Shards) -> list[str]:
    """The tables that `datasets` opens by a card: it has one reader for all of them, of Parquet or of tars."""
    return list(TABLES) if shards is Shards.PARQUET else ["images"]


def image_columns(shards: Shards, levels: int, column: str) -> list[tuple[str, str, str]]:
    """Name, type and meaning of what a curated image has, as `datasets` shows it.

    Args:
        column: the image's: ``bytes`` in Parquet, in tars their suffix.
    """
    absent = " (may be null)" if shards is Shards.PARQUET else " (may be empty)"
    stored = [
        (c.name, _kind(c.type), (c.metadata or {})[b"doc"].decode() + absent * c.nullable)
        for c in schema.images(levels)
    ]
    if shards is Shards.PARQUET:
        return stored
    image = (column, "image", "encoded image, whatever its format: json.format tells it")
    told = [(f"json.{name}", kind, doc) for name, kind, doc in stored if kind != "image"]
    return [image, ("txt", "string", f"its caption{absent}"), *told]


def _configs(names: list[str], folder: str = "") -> list[str]:
    lines = ["configs:"]
    for name in names:
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: {folder}{TABLES[name][0]}"]
        lines += ["  default: true"] if name == "images" else []
    return lines


def _columns(names: list[str], shards: Shards, levels: int, column: str) -> list[str]:
    others = {"decisions": schema.sample(levels), "clusters": schema.clusters(levels)}
    lines = ["dataset_info:"]
    for name in names:
        lines += [f"- config_name: {name}", "  features:"]
        if name == "images":
            lines += _image_features(shards, levels, column)
        else:
            lines += [line for c in others[name] for line in _feature(c.name, _kind(c.type))]
    return lines


def _image_features(shards: Shards, levels: int, column: str) -> list[str]:
    lines: list[str] = []
    inner: list[str] = []
    for name, kind, _ in image_columns(shards, levels, column):
        if name.startswith("json."):
            inner += _feature(name.removeprefix("json."), kind, "    ")
        else:
            lines += _feature(name, kind)
    if inner:
        lines += ["  - name: json", "    struct:", *inner]
        lines += [*_feature("__key__", "string"), *_feature("__url__", "string")]
    return lines


def _feature(name: str, kind: str, indent: str = "  ") -> list[str]:
    return [f"{indent}- name: {name}", f"{indent}  dtype: {kind}"]


def _kind(kind: pa.DataType) -> str:
    """The name of a type in `datasets`, for which a card makes images of bytes."""
    return "image" if kind == pa.binary() else str(kind)
