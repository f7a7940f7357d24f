"""Another model's answers, judged on the same expressions as the model's own."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.answers.ask import ROW_GROUP
from pipelines.answers.layout import AnswersWork, images, other_file
from siglino_core import schema
from siglino_core.config import OtherAnswersConfig
from siglino_core.errors import DataError, StoreError
from siglino_core.grounding.judged.answer import Kind, Saying, judged
from siglino_core.grounding.judged.others import NO_BOXES, Others
from siglino_core.store import Files, Shard

SHOWN = 3  # images that a message names


def digest_of(one: OtherAnswersConfig) -> str:
    """SHA-256 of a file of answers.

    Raises:
        StoreError: it is not there.
    """
    with _opened(one) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other(work: AnswersWork, shard: Shard) -> dict[str, Any]:
    """Read, judge and commit; returns the commit record.

    Raises:
        DataError: a line of the file cannot be used, or none of them is about a test image's expression.
    """
    one = next(o for o in work.config.answers.others if o.name == shard["model"])
    counts = {"answered": 0, "missing": 0, "malformed": 0, "boxes": 0, "outside": 0, "within_one": 0, "masks": False}
    with _opened(one) as file, work.writer(shard["name"]) as out:
        others = Others(file, f"answers.others, {one.name}: {one.uri}", one.format)
        with out.parquet(other_file(one.name), schema.ANSWERS) as table:
            held: list[dict[str, Any]] = []
            for row in _rows(work, others, counts):
                held.append(row)
                if len(held) >= ROW_GROUP:
                    table.write_table(pa.Table.from_pylist(held, schema.ANSWERS))
                    held = []
            table.write_table(pa.Table.from_pylist(held, schema.ANSWERS))
        if not counts["answered"]:
            shown = ", ".join(sorted(others.images())[:SHOWN])
            raise DataError(
                f"answers.others, {one.name}: none of the {len(others)} answers in {one.uri} is about an expression of "
                f"a test image. They are about {shown}; image_id and expression have to be those of the expressions' "
                "shards."
            )
        if counts["boxes"] and counts["within_one"] == counts["boxes"]:
            raise DataError(
                f"answers.others, {one.name}: each of the {counts['boxes']} boxes in {one.uri} lies within one pixel. "
                "Boxes have to be in pixels of the image, not in shares of its sides."
            )
        facts = {**counts, "lines": len(others), "says": f"{counts['answered']} answers of {one.name}"}
        return out.commit(rows=counts["answered"] + counts["missing"], facts=facts)


def _rows(work: AnswersWork, others: Others, counts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row an expression of a test set, answered or not."""
    for number, names in work.shards.items():
        for name in names:
            for row, image in images(work.expressions, name):
                for place, expression in enumerate(image.expressions):
                    said = others.answer(image.image_id, expression.text, image.width, image.height)
                    counts["answered" if said is not None else "missing"] += 1
                    saying = said or Saying(boxes_P4=NO_BOXES, masks=(), missing=True)
                    counts["malformed"] += saying.malformed
                    for name, count in _where(saying.boxes_P4, image.width, image.height).items():
                        counts[name] += count
                    counts["masks"] = counts["masks"] or bool(saying.masks)
                    about = {"set": number, "image_id": image.image_id, "row": row, "number": place}
                    size = image.height, image.width
                    yield {**about, **judged(expression, saying, size=size, kind=Kind.OTHER)}


def _where(boxes_P4: np.ndarray, width: int, height: int) -> dict[str, int]:
    """How many boxes there are, how many reach beyond the image by more than a pixel, how many lie within one pixel."""
    with np.errstate(invalid="ignore"):
        inside_P4 = (boxes_P4 >= -1) & (boxes_P4 <= np.array([width, height] * 2) + 1)  # NaN is not inside
        first_P4 = (boxes_P4 >= 0) & (boxes_P4 <= 1)
    outside, within = int((~inside_P4.all(1)).sum()), int(first_P4.all(1).sum())
    return {"boxes": len(boxes_P4), "outside": outside, "within_one": within}


@contextmanager
def _opened(one: OtherAnswersConfig) -> Iterator[Any]:
    """The file, to be read and sought in.

    Raises:
        StoreError: it is not there, or is no file.
    """
    folder, _, name = one.uri.rpartition("/")
    try:
        with Files(folder or ".").open(name) as file:
            yield file
    except StoreError as e:
        raise StoreError(f"answers.others, {one.name}: {one.uri} cannot be read ({e})") from e
