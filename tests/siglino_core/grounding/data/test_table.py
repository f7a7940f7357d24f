"""Rows of Parquet and back: exactly the same, and nothing that is not what it says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.grounding.data import table as tables
from siglino_core.grounding.data.referring import Expression, Referring
from siglino_core.grounding.data.table import from_table, to_table
from tests.pictures import picture

IMAGE = picture(0, "png", (48, 32))


def row(seed: int = 0, *, masks: bool = True) -> Referring:
    rng = np.random.default_rng(seed)
    expressions = []
    for k in (0, 1, 3):
        at_K22 = np.sort(rng.uniform(0, 1, (k, 2, 2)), axis=1) * [48, 32]
        drawn = tuple(rng.random((32, 48)) < 0.3 for _ in range(k)) if masks else None
        boxes_K4 = at_K22.reshape(k, 4).astype(np.float32)
        for mask_HW, (left, top, _, _) in zip(drawn or (), boxes_K4, strict=bool(drawn)):
            mask_HW[int(top), int(left)] = True  # some of it lies in its box
        expressions.append(Expression(text=f"thing {k} é", boxes_K4=boxes_K4, masks=drawn))
    return Referring(
        image_id=f"x/{seed}", data=IMAGE, width=48, height=32, split="x/val", expressions=tuple(expressions)
    )


def require_same(one: Referring, other: Referring) -> None:
    names = ("image_id", "data", "width", "height", "split")
    assert [getattr(one, n) for n in names] == [getattr(other, n) for n in names]
    assert len(one.expressions) == len(other.expressions)
    for a, b in zip(one.expressions, other.expressions, strict=True):
        assert a.text == b.text
        assert a.boxes_K4.tobytes() == b.boxes_K4.tobytes()
        assert (a.masks is None) == (b.masks is None)
        for mask, same in zip(a.masks or (), b.masks or (), strict=True):
            assert np.array_equal(mask, same)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.booleans())
def test_a_round_trip_is_exact(seed: int, masks: bool) -> None:
    rows = [row(seed, masks=masks), row(seed + 1, masks=not masks)]
    back = list(from_table(to_table(rows)))
    for one, other in zip(rows, back, strict=True):
        require_same(one, other)
    assert to_table(back).equals(to_table(rows))


def test_through_a_file(tmp_path: Path) -> None:
    pq.write_table(to_table([row(1), row(2, masks=False)]), tmp_path / "a.parquet")
    read = pq.read_table(tmp_path / "a.parquet")
    assert read.schema.equals(schema.GROUNDING)
    for one, other in zip([row(1), row(2, masks=False)], from_table(read), strict=True):
        require_same(one, other)
    assert list(from_table(to_table([]))) == []


def changed(**columns: object) -> pa.Table:
    stored = to_table([row(0)]).to_pylist()[0]
    return pa.Table.from_pylist([stored | columns], schema.GROUNDING)


BOXES = [[0.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (changed(width=47), "row 0: image x/0 has 48 x 32 pixels, and what is said of it is for 47 x 32"),
        (changed(bytes=b"GIF89a"), "image x/0 cannot be used"),
        (changed(expressions=[None]), "lacks its text"),
        (changed(expressions=[{"text": None, "boxes": [], "masks": None}]), "lacks its text"),
        (changed(expressions=[{"text": "a", "boxes": None, "masks": None}]), "or its boxes"),
        (changed(expressions=[{"text": "a", "boxes": [None], "masks": None}]), "'a' has a null"),
        (changed(expressions=[{"text": "a", "boxes": [[0, 0, None, 1]], "masks": None}]), "'a' has a null"),
        (changed(expressions=[{"text": "a", "boxes": BOXES, "masks": [None]}]), "'a' has a null"),
        (changed(expressions=[{"text": "a", "boxes": BOXES, "masks": [b"S1"]}]), "runs of 35 pixels"),
        (changed(expressions=[{"text": "a", "boxes": BOXES, "masks": []}]), "1 boxes and 0 masks"),
        (changed(expressions=[{"text": "a", "boxes": [[0, 0, 49, 1]], "masks": None}]), "outside"),
        (changed().drop_columns(["split"]), "lacks the column"),
    ],
)
def test_what_is_wrong_is_named(table: pa.Table, says: str) -> None:
    with pytest.raises(DataError, match=says):
        list(from_table(table))


def test_masks_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_MASK_PIXELS", 4 * 48 * 32 - 1)
    with pytest.raises(DataError, match="4 masks of 48 x 32 pixels are more"):
        list(from_table(to_table([row(0)])))
