"""Rows of Parquet in pieces: each row once, row groups whole where they fit, and single bad rows told of."""

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.grounding.data.left_out import LeftOut
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.stored import Stored
from siglino_core.grounding.data.table import to_table
from tests.siglino_core.grounding.data.test_table import require_same, row

ROWS = [row(seed, masks=seed % 2 == 0) for seed in range(12)]


def write(folder: Path, groups: dict[str, list[int]], rows: list[Referring] = ROWS) -> None:
    """Files with row groups of so many rows."""
    folder.mkdir(exist_ok=True, parents=True)
    at = 0
    for name, sizes in groups.items():
        with pq.ParquetWriter(folder / name, schema.GROUNDING) as out:
            for size in sizes:
                out.write_table(to_table(rows[at : at + size]))
                at += size


def reads(stored: Stored, rows: int, limit: int = 0) -> list[list[tuple[str, int, int]]]:
    return [[tuple(r) for r in unit["reads"]] for unit in stored.units(rows, limit)]


def test_small_row_groups_share_a_piece_and_large_ones_are_split(tmp_path: Path) -> None:
    write(tmp_path, {"a.parquet": [2, 1], "b.parquet": [1, 7], "c.parquet": [1]})
    stored = Stored(str(tmp_path))
    assert reads(stored, 4) == [
        [("a.parquet", 0, 2), ("a.parquet", 2, 3), ("b.parquet", 0, 1)],
        [("b.parquet", 1, 4)],
        [("b.parquet", 4, 8)],
        [("c.parquet", 0, 1)],
    ]
    assert [(u["start"], u["stop"]) for u in stored.units(4)] == [(0, 4), (4, 7), (7, 11), (11, 12)]
    found = [item for unit in stored.units(4) for item in stored.read(unit)]
    for one, other in zip(found, ROWS, strict=True):
        assert isinstance(one, Referring)
        require_same(one, other)


@pytest.mark.parametrize("limit", [1, 3, 5, 12, 100])
def test_only_the_first(tmp_path: Path, limit: int) -> None:
    write(tmp_path, {"a.parquet": [2, 1], "b.parquet": [1, 7], "c.parquet": [1]})
    stored = Stored(str(tmp_path))
    found = [item.image_id for unit in stored.units(4, limit) for item in stored.read(unit)]
    assert found == [r.image_id for r in ROWS[:limit]]


def test_of_a_folder_those_that_lie_in_it_or_else_those_below(tmp_path: Path) -> None:
    write(tmp_path / "deep/er", {"a.parquet": [3]})
    assert reads(Stored(str(tmp_path)), 9) == [[("deep/er/a.parquet", 0, 3)]]
    write(tmp_path, {"b.parquet": [2]})
    assert reads(Stored(str(tmp_path)), 9) == [[("b.parquet", 0, 2)]]
    assert reads(Stored(str(tmp_path / "b.parquet")), 9) == [[("b.parquet", 0, 2)]]


def test_on_any_store(tmp_path: Path) -> None:
    write(tmp_path, {"a.parquet": [2]})
    url = f"memory://stored-{tmp_path.name}/rows"
    fsspec.filesystem("memory").pipe_file(f"{url}/a.parquet", (tmp_path / "a.parquet").read_bytes())
    stored = Stored(url)
    assert [item.image_id for unit in stored.units(9) for item in stored.read(unit)] == ["x/0", "x/1"]


def changed(**columns: Any) -> dict[str, Any]:
    return to_table(ROWS[:1]).to_pylist()[0] | columns


def test_a_bad_row_or_expression_is_told_of_and_the_rest_stays(tmp_path: Path) -> None:
    box = [[0.0, 0.0, 9.0, 9.0]]
    good = {"text": "good", "boxes": box, "masks": None}
    asked: list[Any] = [
        good,
        None,
        {"text": " ", "boxes": box, "masks": None},
        {"text": "x" * 10_000, "boxes": box, "masks": None},
        {"text": "inverted", "boxes": [[9.0, 0.0, 0.0, 9.0]], "masks": None},
        {"text": "outside", "boxes": [[0.0, 0.0, 49.0, 9.0]], "masks": None},
        {"text": "empty", "boxes": [[4.0, 0.0, 4.0, 9.0]], "masks": None},
        {"text": "odd mask", "boxes": box, "masks": [b"S1"]},
        {"text": "two masks", "boxes": box, "masks": []},
        {"text": "absent", "boxes": [], "masks": None},
    ]
    rows = [
        changed(expressions=asked),
        changed(bytes=b"<html>"),
        changed(width=47),
        changed(expressions=[]),
        changed(image_id=""),
        changed(width=1 << 30, height=1 << 30, expressions=[{"text": "a", "boxes": box, "masks": [b"S1"]}]),
        changed(image_id="last"),
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema.GROUNDING), tmp_path / "a.parquet")
    stored = Stored(str(tmp_path))
    found = list(stored.read(stored.units(99)[0]))
    left_out = [item for item in found if isinstance(item, LeftOut)]
    assert [item.reason for item in left_out] == [
        *("sentence_without_words", "sentence_without_words", "sentence_too_long"),
        *["box_or_mask"] * 5,
        *("not_an_image", "another_size", "image_without_expression", "no_id", "too_many_masks"),
    ]
    assert [item.whole for item in left_out] == [False] * 8 + [True] * 5
    assert [bool(item.error) for item in left_out] == [True] * 10 + [False, True, True]
    first, last = (item for item in found if isinstance(item, Referring))
    assert [e.text for e in first.expressions] == ["good", "absent"]
    assert last.image_id == "last"


def test_images_that_are_to_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"a.parquet": [3]})
    stored = Stored(str(tmp_path))
    found = list(stored.read(stored.units(99)[0], {"tested": {"x/1"}}))
    assert [(type(item), item.image_id) for item in found] == [(Referring, "x/0"), (LeftOut, "x/1"), (Referring, "x/2")]


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="no Parquet file is among its 1 files"):
        Stored(str(tmp_path))
    pq.write_table(pa.table({"image_id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet lacks the column\(s\) bytes"):
        Stored(str(tmp_path)).units(9)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        Stored(str(tmp_path)).units(9)


def test_a_file_with_fewer_rows_than_planned_has_changed(tmp_path: Path) -> None:
    write(tmp_path, {"a.parquet": [4]})
    stored = Stored(str(tmp_path))
    (unit,) = stored.units(9)
    write(tmp_path, {"a.parquet": [2]})
    with pytest.raises(DataError, match="has changed: rows 0 to 4 were planned, and 2 are there"):
        list(stored.read(unit))
