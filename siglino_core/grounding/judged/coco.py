"""Answers as a list of COCO-style results, for other tools; written as they come, whatever their number."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

DIGITS = 3  # of a pixel


def entries(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """An entry a predicted box of a row of `siglino_core.schema.ANSWERS`: x, y, width and height in pixels."""
    scores = row["scores"] or [1.0] * len(row["predicted"])
    masks = row["masks"] or [None] * len(row["predicted"])
    for box, score, mask in zip(row["predicted"], scores, masks, strict=True):
        left, top, right, bottom = box
        entry: dict[str, Any] = {
            "image_id": row["image_id"],
            "expression": row["text"],
            "expression_number": row["number"],
            "bbox": [round(v, DIGITS) for v in (left, top, right - left, bottom - top)],
            "score": round(score, 6),
        }
        if mask is not None:
            entry["segmentation"] = {"size": [row["height"], row["width"]], "counts": mask.decode("ascii")}
        yield entry


def write(rows: Iterable[Mapping[str, Any]], out: BinaryIO) -> int:
    """A JSON list of all entries, a line each; returns how many there are."""
    count = 0
    out.write(b"[")
    for row in rows:
        for entry in entries(row):
            out.write(b",\n" if count else b"\n")
            out.write(json.dumps(entry, ensure_ascii=True, allow_nan=False).encode())
            count += 1
    out.write(b"\n]\n")
    return count
