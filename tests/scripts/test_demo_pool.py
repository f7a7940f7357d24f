"""The committed demo pool has what the demo promises: size, long tail, duplicates, junk and broken files."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import flows.demo
from scripts.demo import planted

POOL = Path(flows.demo.__file__).with_name("pool.parquet")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return pq.read_table(POOL).to_pylist()


def kinds(rows: list[dict], prefix: str) -> list[dict]:
    return [row for row in rows if row["key"].startswith(prefix)]


def test_it_is_small_and_has_the_promised_columns():
    file = pq.ParquetFile(POOL)
    assert POOL.stat().st_size <= 12_000_000
    assert 2_900 <= file.metadata.num_rows <= 3_100
    assert file.metadata.num_row_groups == -(-file.metadata.num_rows // 256)
    assert file.schema_arrow.names == ["key", "image", "caption", "label"]


def test_keys_are_unique(rows):
    assert len({row["key"] for row in rows}) == len(rows)


def test_every_broken_file_fails_and_every_other_decodes(rows):
    broken = kinds(rows, "broken/")
    assert Counter(row["key"].split("/")[1] for row in broken) == dict.fromkeys(planted.BROKEN_KINDS, 3)
    wrong = [row["key"] for row in rows if planted.decodes(row["image"]) == row["key"].startswith("broken/")]
    assert wrong == []


def test_labels_have_a_head_and_a_long_tail(rows):
    sizes = [size for _, size in Counter(row["label"] for row in rows if row["label"]).most_common()]
    assert 80 <= len(sizes) <= 150
    assert sum(sizes[: len(sizes) // 10]) > 0.5 * sum(sizes)
    assert sum(2 <= size <= 5 for size in sizes) >= 25
    head = [row for row in rows if row["label"] == "icon, flat theme"]
    assert sum("~" not in row["key"] for row in head) > 300  # the head is many distinct images


def test_duplicates_are_present(rows):
    assert 0.02 < 1 - len({row["image"] for row in rows}) / len(rows) < 0.05
    assert 0.15 < sum("~" in row["key"] for row in rows) / len(rows) < 0.2


def test_junk_carries_no_label(rows):
    junk = kinds(rows, "junk/")
    assert len(junk) == 30
    assert all(row["label"] is None and row["caption"] for row in junk)


def test_encodings_and_captions_are_mixed(rows):
    suffixes = Counter(row["key"].rsplit(".", 1)[1] for row in rows)
    assert min(suffixes[name] for name in ("jpg", "png", "webp")) > 400
    assert sum(row["caption"] is not None for row in rows) > 2_500
