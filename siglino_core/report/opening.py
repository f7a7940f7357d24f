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

`datasets.load_dataset(FOLDER)` opens the curated images, `load_dataset(FOLDER, "decisions")` another table:

{tables}

How the images were chosen, and what is known of their licence: [sample/README.md](sample/README.md).
"""


def run_card() -> str:
    """The card of a run's folder, which is the same for every run: what it is stands in the sample's."""
    return RUN_CARD.format(configs="\n".join(configs("sample/")), tables=tables("sample/"))


def configs(folder: str = "") -> list[str]:
    """The lines of YAML that tell where a sample's tables lie.

    Args:
        folder: from the card to the sample, with a slash at its end.
    """
    lines = ["configs:"]
    for name, (files, _) in TABLES.items():
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: {folder}{files}"]
        lines += ["  default: true"] if name == "images" else []
    return lines


def tables(folder: str = "") -> str:
    """The same as a table in Markdown."""
    rows = [f"| `{name}` | `{folder}{files}` | {what} |" for name, (files, what) in TABLES.items()]
    return "\n".join(["| name | files | a row is |", "| --- | --- | --- |", *rows])


def dataset_info(shards: Shards, levels: int, column: str) -> list[str]:
    """The lines of YAML that tell which columns a sample's tables have.

    Args:
        column: the images', as in :func:`image_columns`.
    """
    lines = ["dataset_info:", "- config_name: images", "  features:"]
    inner: list[str] = []
    for name, kind, _ in image_columns(shards, levels, column):
        if name.startswith("json."):
            inner += _feature(name.removeprefix("json."), kind, "    ")
        else:
            lines += _feature(name, kind)
    if inner:
        lines += [
            "  - name: json",
            "    struct:",
            *inner,
            *_feature("__key__", "string"),
            *_feature("__url__", "string"),
        ]
    for table, columns in (("decisions", schema.sample(levels)), ("clusters", schema.clusters(levels))):
        lines += [f"- config_name: {table}", "  features:"]
        lines += [line for c in columns for line in _feature(c.name, _kind(c.type))]
    return lines


def image_columns(shards: Shards, levels: int, column: str) -> list[tuple[str, str, str]]:
    """Name, type and meaning of what a curated image has, as `datasets` shows it.

    Args:
        column: the image's: ``image`` in Parquet, in tars their suffix.
    """
    stored = [
        (c.name, _kind(c.type), (c.metadata or {})[b"doc"].decode(), schema.may_be_null(c))
        for c in schema.images(levels)
    ]
    if shards is Shards.PARQUET:
        return [(name, kind, doc + " (may be null)" * null) for name, kind, doc, null in stored]
    told = [(f"json.{name}", kind, doc + " (may be empty)" * null) for name, kind, doc, null in stored[:-1]]
    image = (column, "image", "encoded image, whatever its format: json.format tells it")
    return [image, ("txt", "string", "its caption (may be empty)"), *told]


def _feature(name: str, kind: str, indent: str = "  ") -> list[str]:
    return [f"{indent}- name: {name}", f"{indent}  dtype: {kind}"]


def _kind(kind: pa.DataType) -> str:
    """The name of a type in `datasets`."""
    return "image" if kind == schema.PICTURE else str(kind)
