"""Images with expressions as rows of Parquet (`siglino_core.schema.GROUNDING`), and back, exactly."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data import rle
from siglino_core.grounding.data.encoded import require_size
from siglino_core.grounding.data.left_out import Frame, Item, LeftOut, assembled, tried
from siglino_core.grounding.data.referring import MOST_BOXES, SHOWN, Expression, Referring

MOST_MASK_PIXELS = 1 << 29  # of all masks of an image; each is a byte in memory
TOO_MANY_MASKS = "too_many_masks"


def to_table(rows: Sequence[Referring]) -> pa.Table:
    """One image a row."""
    return pa.Table.from_pylist([_row(row) for row in rows], schema.GROUNDING)


def _row(row: Referring) -> dict[str, Any]:
    expressions = [
        {
            "text": e.text,
            "boxes": e.boxes_K4.tolist(),
            "masks": None if e.masks is None else [rle.encode(m) for m in e.masks],
        }
        for e in row.expressions
    ]
    return {
        "image_id": row.image_id,
        "bytes": row.data,
        "width": row.width,
        "height": row.height,
        "split": row.split,
        "expressions": expressions,
    }


def from_table(table: pa.Table, what: str = "the table") -> Iterator[Referring]:
    """The images of a table, one by one; masks are decoded as each is asked for.

    Args:
        what: its name, for messages.

    Raises:
        DataError: other columns, or a row that :class:`Referring` refuses, or whose image has another size.
    """
    table = schema.check(table, schema.GROUNDING, what)
    for i in range(len(table)):
        row = table.slice(i, 1).to_pylist()[0]
        try:
            yield _referring(row)
        except DataError as e:
            raise DataError(f"{what}, row {i}: {e}") from e


def sifted(table: pa.Table, what: str = "the table") -> Iterator[Item]:
    """The images of a table with what can be used of them, and what cannot; arguments as of :func:`from_table`.

    Raises:
        DataError: other columns.
    """
    table = schema.check(table, schema.GROUNDING, what)
    for i in range(len(table)):
        row = table.slice(i, 1).to_pylist()[0]
        frame = Frame(**{name: row[name] for name in ("image_id", "width", "height", "split")})
        try:
            _require_few_masks(row)
        except DataError as e:
            yield LeftOut(image_id=frame.image_id, reason=TOO_MANY_MASKS, error=str(e), whole=True)
            continue
        expressions = (
            tried(frame.image_id, (e or {}).get("text"), partial(_expression, e, frame.width, frame.height))
            for e in row["expressions"]
        )
        yield from assembled(frame, partial(row.__getitem__, "bytes"), expressions)


def _require_few_masks(row: Mapping[str, Any]) -> None:
    width, height = row["width"], row["height"]
    count = sum(len(e["masks"] or ()) for e in row["expressions"] if e is not None)
    if count * width * height > MOST_MASK_PIXELS:
        raise DataError(f"{count} masks of {width} x {height} pixels are more than {MOST_MASK_PIXELS} pixels")


def _referring(row: Mapping[str, Any]) -> Referring:
    width, height = row["width"], row["height"]
    require_size(row["image_id"], row["bytes"], width, height)
    _require_few_masks(row)
    return Referring(
        image_id=row["image_id"],
        data=row["bytes"],
        width=width,
        height=height,
        split=row["split"],
        expressions=tuple(_expression(e, width, height) for e in row["expressions"]),
    )


def _expression(stored: Mapping[str, Any] | None, width: int, height: int) -> Expression:
    if stored is None or stored["text"] is None or stored["boxes"] is None:
        raise DataError("an expression lacks its text or its boxes")
    boxes, codes = stored["boxes"], stored["masks"]
    if any(box is None or None in box for box in boxes) or (codes is not None and None in codes):
        raise DataError(f"'{printable(stored['text'], SHOWN)}' has a null for a box or a mask")
    if codes is not None and len(codes) > MOST_BOXES:
        raise DataError(f"'{printable(stored['text'], SHOWN)}' has {len(codes)} masks, more than {MOST_BOXES}")
    return Expression(
        text=stored["text"],
        boxes_K4=np.asarray(boxes, np.float32).reshape(-1, 4),
        masks=None if codes is None else tuple(rle.decode(code, height, width) for code in codes),
    )
