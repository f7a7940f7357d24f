"""The artifacts' columns: Arrow schemas with a sentence on every column, checked on write and on read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from siglino_core.errors import DataError

if TYPE_CHECKING:
    from siglino_core.encoders.card import Card


def _column(name: str, kind: pa.DataType, doc: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


FORMATS = "jpeg, png, webp, gif, bmp, tiff, avif, jp2, heic, jxl"  # as `siglino_core.images.formats` names them
IMAGE_ID = _column("image_id", pa.string(), "SHA-256 of the encoded image's bytes, first 32 hex digits")
SOURCE_URI = _column("source_uri", pa.string(), "file that holds the image: an image, a tar or a Parquet file")
SOURCE_KEY = _column("source_key", pa.string(), "name of the image inside its pool: path, tar key or row key")
ROW = _column("row", pa.int32(), "row of the image in the source shard of the same name")
CAPTION = _column("caption", pa.string(), "text that came with the image", nullable=True)
LABEL = _column("label", pa.string(), "class that came with the image, if any", nullable=True)

SOURCE = pa.schema(
    [
        IMAGE_ID,
        SOURCE_URI,
        SOURCE_KEY,
        _column("source_offset", pa.int64(), "byte offset in a tar, row number in a Parquet file, else 0"),
        _column("format", pa.string(), f"encoding found in the bytes: {FORMATS}"),
        _column("width", pa.int32(), "pixels"),
        _column("height", pa.int32(), "pixels"),
        _column("num_bytes", pa.int64(), "length of the encoded image"),
        CAPTION,
        LABEL,
        _column("bytes", pa.binary(), "encoded image; null when source.keep=pointer", nullable=True),
    ]
)
"""``source/part-*.parquet``: one image of the pool a row."""

REJECTS = pa.schema(
    [
        SOURCE_URI,
        SOURCE_KEY,
        _column("reason", pa.string(), "one word: why the image cannot be used"),
        _column("error", pa.string(), "the same in a sentence, with the values"),
        _column(
            "images",
            pa.int64(),
            "images that it stands for: 1, or those that a tar was planned to hold; 0: an expression of one that stays",
        ),
    ]
)
"""``source/rejects/``, ``embed/rejects/`` and ``expressions/rejects/``: one file a row that is no usable image, or an
expression that cannot be used; in the last, ``source_uri`` is the data set and ``source_key`` the image's id."""

DUPLICATES = pa.schema(
    [
        IMAGE_ID,
        _column("shard", pa.string(), "source shard that holds the copy"),
        ROW,
        _column("kept_shard", pa.string(), "source shard that holds the copy which stays (the first)"),
        _column("kept_row", pa.int32(), "its row there"),
    ]
)
"""``source/duplicates/``: one exact copy a row."""


CLUSTER_LOSS = pa.schema(
    [
        _column("cluster", pa.int32(), "curation cluster, of the level that the manifest names"),
        _column("first_step", pa.int64(), "first step of the window"),
        _column("last_step", pa.int64(), "last step of the window"),
        _column("images", pa.int64(), "images of the cluster that were trained on in it"),
        _column("loss", pa.float64(), "their mean error: weighted, summed over teachers, relations apart"),
    ]
)
"""``train/clusters/``: one curation cluster in one window of the training a row."""


def embed(dim: int) -> pa.Schema:
    """``embed/part-*.parquet``: one embedding a row; ``dim`` is the encoder's width."""
    doc = "unit-length feature of the image"
    return pa.schema([IMAGE_ID, ROW, _column("embedding", pa.list_(pa.float16(), dim), doc)])


def centroids(dim: int) -> pa.Schema:
    """``cluster/centroids_L/``: one centroid of level L a row."""
    return pa.schema(
        [
            _column("centroid_id", pa.int32(), "row number within the level"),
            _column("parent_id", pa.int32(), "its centroid in the next level up; null at the top", nullable=True),
            _column("size", pa.int64(), "images of the pool under it"),
            _column("centroid", pa.list_(pa.float32(), dim), "its vector, in the clustered space"),
        ]
    )


def features(views: Mapping[str, int], dense: Sequence[str]) -> pa.Schema:
    """``features/KEY/part-*.parquet``: one sample of a data set a row, as one network sees it.

    Args:
        views: the width of each of the network's feature spaces.
        dense: those whose features of patches are stored; then the masks are too.
    """
    columns = [
        _column("sample_id", pa.string(), "name of the sample in its split"),
        _column("image_id", pa.string(), "SHA-256 of the encoded image's bytes, first 32 hex digits; empty: not read"),
        LABEL,
        _column("captions", pa.list_(pa.string()), "texts that came with the image"),
        _column("error", pa.string(), "why the sample could not be read; null: it could", nullable=True),
        _column("height", pa.int32(), "of the pixels that the network saw"),
        _column("width", pa.int32(), "of the pixels that the network saw"),
    ]
    for view, dim in views.items():
        doc = f"summary of the image in the space {view}, of any length; zeros where it could not be read"
        columns.append(_column(f"summary_{view}", pa.list_(pa.float32(), dim), doc))
    for view in dense:
        doc = f"features of patches in the space {view}: float16 [grid_height, grid_width, {views[view]}], row by row"
        columns.append(_column(f"patches_{view}", pa.large_binary(), doc))
    if dense:
        columns += [
            _column("grid_height", pa.int32(), "patches"),
            _column("grid_width", pa.int32(), "patches"),
            _column("mask", pa.binary(), "class number a pixel, as a PNG; null: there is none", nullable=True),
        ]
    return pa.schema(columns)


OVERLAP = pa.schema(
    [
        _column("sample_id", pa.string(), "test image of the data set; empty in the parts that are gathered"),
        _column("image_id", pa.string(), "SHA-256 of the encoded image's bytes, first 32 hex digits"),
        _column("train_id", pa.string(), "image_id of the image in the training sample that is most like it"),
        _column("cosine", pa.float32(), "of their embeddings by the run's encoder; 1 where they are the same bytes"),
        _column("exact", pa.bool_(), "whether they are the same bytes"),
    ]
)
"""``evaluate/overlap/``: one test image that is in the training sample, byte by byte or nearly, a row."""


GROUNDING = pa.schema(
    [
        _column("image_id", pa.string(), "name of the image: of its data set and its id there, such as coco/581857"),
        _column("bytes", pa.binary(), "encoded image, PNG or JPEG"),
        _column("width", pa.int32(), "pixels"),
        _column("height", pa.int32(), "pixels"),
        _column("split", pa.string(), "data set and part of it, such as refcoco/unc/val"),
        _column(
            "expressions",
            pa.list_(
                pa.struct(
                    [
                        pa.field("text", pa.string()),
                        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),
                        pa.field("masks", pa.list_(pa.binary())),
                    ]
                )
            ),
            "texts, each with the boxes that it refers to (left, top, right, bottom in pixels, half-open; none: it is "
            "absent) and their masks (compressed counts of COCO's run-length code; null: there are none)",
        ),
    ]
)
"""``expressions/train-*.parquet``, ``expressions/test-*.parquet``: one image with expressions a row and a row group."""

GROUNDING_INDEX = pa.schema(
    [
        GROUNDING.field("image_id"),
        GROUNDING.field("width"),
        GROUNDING.field("height"),
        _column("content", pa.string(), "of the encoded image: the first 32 hexadecimal digits of its SHA-256"),
        _column("expressions", pa.int32(), "how many expressions the image has"),
        _column(
            "boxes",
            pa.list_(pa.list_(pa.float32(), 4)),
            "of all their instances, one after the other: left, top, right, bottom as shares of the image's sides",
        ),
    ]
)
"""``expressions/index/``: one image a row, without its bytes; row-aligned with the shard of the same name."""


ANSWERS = pa.schema(
    [
        _column("set", pa.int32(), "number of the test set, as the expressions' manifest has it"),
        GROUNDING.field("image_id"),
        _column("row", pa.int32(), "row of the image in the expressions' shard of the same name"),
        _column("number", pa.int32(), "place of the expression among its image's, from 0"),
        GROUNDING.field("width"),
        GROUNDING.field("height"),
        _column("text", pa.string(), "the expression, to whose referents the answer is compared"),
        _column("kind", pa.string(), "whose answer: model, shuffled, centre, prior, or other"),
        _column("asked", pa.string(), "the text that was asked: the expression, or another image's"),
        _column("boxes", pa.list_(pa.list_(pa.float32(), 4)), "true boxes: left, top, right, bottom in pixels"),
        _column("predicted", pa.list_(pa.list_(pa.float32(), 4)), "boxes of the answer, the surest first"),
        _column("scores", pa.list_(pa.float32()), "of each of them, 0 to 1; none where the answer has none"),
        _column("present", pa.float32(), "chance that the text refers to anything; null: none was said", nullable=True),
        _column("said", pa.bool_(), "whether the answer is that it refers to something"),
        _column("iou", pa.float64(), "of the surest box with the true one that it fits best; 0: one is missing"),
        _column("best_iou", pa.float64(), "the highest of any box with any true one"),
        _column("pairs", pa.list_(pa.float64()), "IoU of each pair of boxes matched one to one; pairs apart are none"),
        _column("inter", pa.int64(), "pixels in the masks of both sides; null: no mask was asked for", nullable=True),
        _column("union", pa.int64(), "pixels in the masks of either side, likewise", nullable=True),
        _column(
            "masks",
            pa.list_(pa.binary()),
            "compressed counts of COCO's run-length code for each predicted box; null: not kept, or none was given",
            nullable=True,
        ),
        _column("malformed", pa.int32(), "parts of another model's answer that were no box"),
        _column("missing", pa.bool_(), "whether another model gave no answer, which counts as a miss"),
    ]
)
"""``answers/answers/`` and ``answers/others/``: one answer to one expression of a test image a row."""


def _levels(levels: int, *, nullable: bool = False) -> list[pa.Field]:
    return [
        _column(f"level_{i}", pa.int32(), f"centroid of level {i} (1 = finest)", nullable=nullable)
        for i in range(1, levels + 1)
    ]


def assignments(levels: int) -> pa.Schema:
    """``cluster/assignments/``: one image a row, with its centroid at every level."""
    distance = _column("distance", pa.float32(), "Euclidean distance to its level-1 centroid")
    return pa.schema([IMAGE_ID, ROW, *_levels(levels), distance])


def sample(levels: int) -> pa.Schema:
    """``sample/part-*.parquet``: one image of the pool a row, kept or not; row-aligned with the source shard."""
    return pa.schema(
        [
            IMAGE_ID,
            _column("kept", pa.bool_(), "whether the image is in the curated set"),
            _column("repeat", pa.int32(), "how often it appears there: 1 if kept, else 0"),
            _column(
                "reason",
                pa.string(),
                "kept, over_quota, near_duplicate, outlier, exact_duplicate, or rejected (by embed)",
            ),
            _column("duplicate_of", pa.string(), "image_id of the copy that stands for it", nullable=True),
            *_levels(levels, nullable=True),
        ]
    )


def clusters(levels: int) -> pa.Schema:
    """``sample/clusters/``: one level-1 cluster a row, and what of it is kept."""
    return pa.schema(
        [
            *_levels(levels),
            _column("size", pa.int64(), "embedded images in it"),
            _column("candidates", pa.int64(), "of those, the ones left when near-duplicates and outliers are gone"),
            _column("kept", pa.int64(), "of those, the ones in the curated set"),
        ]
    )


def images(levels: int) -> pa.Schema:
    """``sample/images/``: one curated image a row, as training reads it."""
    picked = [SOURCE.field(n) for n in ("format", "width", "height", "caption", "label")]
    data = _column("bytes", pa.binary(), "encoded image")
    return pa.schema([IMAGE_ID, SOURCE_URI, SOURCE_KEY, *picked, *_levels(levels), data])


def index(levels: int) -> pa.Schema:
    """``sample/index/``: where a curated image's bytes lie; row-aligned with the training shard of the same number."""
    shard = "in the training shard of the same number"
    return pa.schema(
        [
            IMAGE_ID,
            SOURCE.field("width"),
            SOURCE.field("height"),
            *_levels(levels),
            _column("offset", pa.int64(), f"byte range of the encoded image {shard}: its first byte"),
            _column("length", pa.int32(), f"byte range of the encoded image {shard}: its number of bytes"),
        ]
    )


GRID = (
    _column("height", pa.int32(), "of the image's grid, in patches"),
    _column("width", pa.int32(), "of the image's grid, in patches"),
)


def targets(cards: "Sequence[Card]", keep: str) -> pa.Schema:
    """``targets/part-*.parquet``: what the teachers say of a curated image; row-aligned with the training shard."""
    columns: list[pa.Field] = []
    for card in cards:
        doc = f"teacher {card.name}'s vector for the image"
        columns.append(_column(f"{card.name}_summary", pa.list_(pa.float16(), card.dim), doc))
        if keep == "summary":
            continue
        if card.registers:
            doc = f"teacher {card.name}'s {card.registers} registers, one after the other"
            columns.append(_column(f"{card.name}_registers", pa.list_(pa.float16(), card.registers * card.dim), doc))
        if card.patches:
            doc = f"teacher {card.name}'s vectors for the grid's patches, row by row, as {keep} (see targets/codec.py)"
            columns.append(_column(f"{card.name}_patches", pa.binary(), doc))
    return pa.schema([IMAGE_ID, *GRID, *columns])


def targets_columns(cards: "Sequence[Card]", keep: str) -> list[str]:
    """The columns of :func:`targets` that hold targets."""
    return targets(cards, keep).names[1 + len(GRID) :]


def targets_index(columns: Sequence[str]) -> pa.Schema:
    """``targets/index/``: where a curated image's targets lie in the shard of the same number."""
    fields: list[pa.Field] = []
    for name in columns:
        fields.append(_column(f"{name}_offset", pa.int64(), f"byte range of {name} in the shard: its first byte"))
        fields.append(_column(f"{name}_length", pa.int32(), f"byte range of {name} in the shard: its number of bytes"))
    return pa.schema([IMAGE_ID, *GRID, *fields])


def check(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """The table cast to ``schema``, or a :class:`DataError` that names the column.

    Raises:
        DataError: a column is missing, has another type, or holds nulls where none may be.
    """
    missing = [n for n in schema.names if n not in table.column_names]
    if missing:
        raise DataError(f"{what} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.column_names)}")
    table = table.select(schema.names)
    for field in schema:
        column = table.column(field.name)
        if column.type != field.type:
            raise DataError(f"{what}: column {field.name} is {column.type}, expected {field.type}")
        if not field.nullable and column.null_count:
            raise DataError(f"{what}: column {field.name} holds {column.null_count} nulls")
    return table.cast(schema)
