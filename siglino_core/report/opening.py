"""What Hugging Face `datasets` and the Hub read of a card: which files are which table, and their columns."""

import pyarrow as pa

from siglino_core import schema
from siglino_core.config import Shards

TABLES = {  # of a sample: where each lies, and what one row is
    "images": ("images/part-*", "a curated image, as training reads it"),
    "decisions": ("part-*.parquet", "an image of the pool, kept or not, with the reason"),
    "clusters": ("clusters/part-*.parquet", "a cluster of the finest level, and what of it is kept"),
}
FOLDER_CARD = """---
configs:
{configs}
---

# {title}

Made by SigLino. `datasets.load_dataset(FOLDER)` opens the images, `load_dataset(FOLDER, "decisions")` another table:

| name | files | a row is |
| --- | --- | --- |
{rows}

How the images were chosen, and what is known of their licence: [{card}]({card}).
"""


def folder_card(sample: str = "") -> str:
    """The card of a folder that holds the tables of a sample among other files; it is the same for every run.

    Args:
        sample: where the sample lies in the folder, with a slash at its end; empty: it is the folder.
    """
    configs = [
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {sample}{files}"
        + ("\n  default: true" if name == "images" else "")
        for name, (files, _) in TABLES.items()
    ]
    rows = [f"| `{name}` | `{sample}{files}` | {what} |" for name, (files, what) in TABLES.items()]
    title = "The run's artifacts" if sample else "The sample's tables"
    return FOLDER_CARD.format(
        configs="\n".join(configs), rows="\n".join(rows), title=title, card=f"{sample}images/README.md"
    )


def front_matter(shards: Shards, levels: int, column: str) -> list[str]:
    """The lines of YAML that tell which files beside the card are the set, and which columns it has.

    Args:
        column: the images', as in :func:`columns`.
    """
    suffix = "parquet" if shards is Shards.PARQUET else "tar"
    configs = ["configs:", "- config_name: default", "  data_files:", "  - split: train", f"    path: part-*.{suffix}"]
    info = ["dataset_info:", "  features:"]
    inner: list[str] = []
    for name, kind, _ in columns(shards, levels, column):
        if name.startswith("json."):
            inner += _feature(name.removeprefix("json."), kind, "    ")
        else:
            info += _feature(name, kind, "  ")
    if inner:
        info += ["  - name: json", "    struct:", *inner]
        info += [line for name in ("__key__", "__url__") for line in _feature(name, "string", "  ")]
    return [*configs, *info]


def columns(shards: Shards, levels: int, column: str) -> list[tuple[str, str, str]]:
    """Name, type and meaning of what a sample of the set has, as `datasets` shows it.

    Args:
        column: the images': ``image`` in Parquet, in tars their suffix.
    """
    stored = [(c.name, _kind(c.type), _doc(c)) for c in schema.images(levels)]
    if shards is Shards.PARQUET:
        return stored
    told = [(f"json.{name}", kind, doc.replace(" (may be null)", " (empty: none)")) for name, kind, doc in stored[:-1]]
    image = (column, "image", "encoded image, whatever its format: json.format tells it")
    return [image, ("txt", "string", "its caption (empty: none)"), *told]


def _feature(name: str, kind: str, indent: str) -> list[str]:
    return [f"{indent}- name: {name}", f"{indent}  dtype: {kind}"]


def _kind(kind: pa.DataType) -> str:
    return "image" if kind == schema.PICTURE else str(kind)


def _doc(column: pa.Field) -> str:
    doc = (column.metadata or {}).get(b"doc", b"").decode()
    return f"{doc} (may be null)" if schema.may_be_null(column) else doc
