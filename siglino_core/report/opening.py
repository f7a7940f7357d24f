"""What Hugging Face `datasets` and the Hub read of a card: which files are which table, and their columns."""

import pyarrow as pa

from siglino_core import schema
from siglino_core.config import Shards

TABLES = {  # of a sample: where each lies in its folder, and what one row is
    "images": ("images/part-*", "a curated image, as training reads it"),
    "decisions": ("part-*.parquet", "an image of the pool, kept or not, with the reason"),
    "clusters": ("clusters/part-*.parquet", "a cluster of the finest level, and what of it is kept"),
}
RUN_CARD = """---
{configs}
---

# A run of SigLino

`datasets.load_dataset(FOLDER)` opens its curated images, `{images}`. How they were chosen, what else there is, and what
is known of their licence: [sample/README.md](sample/README.md).
"""


def run_card() -> str:
    """The card of a run's folder, which is the same for every run: what it is stands in the sample's."""
    images = f"sample/{TABLES['images'][0]}"
    return RUN_CARD.format(configs="\n".join(_configs(["images"], "sample/")), images=images)


def front_matter(shards: Shards, levels: int, column: str) -> list[str]:
    """The lines of YAML that tell where a sample's tables lie, from its folder, and which columns they have.

    Args:
        column: the images', as in :func:`image_columns`.
    """
    columns = {"decisions": schema.sample(levels), "clusters": schema.clusters(levels)}
    lines = [*_configs(opened(shards)), "dataset_info:"]
    for name in opened(shards):
        lines += [f"- config_name: {name}", "  features:"]
        if name == "images":
            lines += _image_features(shards, levels, column)
        else:
            lines += [line for c in columns[name] for line in _feature(c.name, _kind(c.type))]
    return lines


def opened(shards: Shards) -> list[str]:
    """The tables that `datasets` opens by a card: it has one reader for all of them, of Parquet or of tars."""
    return list(TABLES) if shards is Shards.PARQUET else ["images"]


def image_columns(shards: Shards, levels: int, column: str) -> list[tuple[str, str, str]]:
    """Name, type and meaning of what a curated image has, as `datasets` shows it.

    Args:
        column: the image's: ``image`` in Parquet, in tars their suffix.
    """
    absent = " (may be null)" if shards is Shards.PARQUET else " (may be empty)"
    stored = [
        (c.name, _kind(c.type), (c.metadata or {})[b"doc"].decode() + absent * schema.may_be_null(c))
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
    """The name of a type in `datasets`."""
    return "image" if kind == schema.PICTURE else str(kind)
