"""Shards of images with expressions: one image in one range, in any order and process, and damage that is named."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siglino_core import schema
from siglino_core.errors import DamagedError, DataError, StoreError
from siglino_core.grounding.data import shards as module
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.shards import GroundingShards, index_of, shards_of
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.data.table import to_table
from siglino_core.store import Files, Ranges, Run
from tests.siglino_core.grounding.data.test_table import require_same, row

NAMES = ["train-0-00000", "train-0-00001", "train-0-00002", "train-1-00000"]
COUNTS = [2, 0, 3, 1]


def written(folder: Path | str) -> tuple[Files, list[Referring]]:
    """Some shards, one of them empty, as the stage writes them; and all their images."""
    images = [row(seed, masks=seed % 2 == 0) for seed in range(4)]
    images += [Scenes(seed, (64, 80), count=1)[0] for seed in range(2)]
    stage, at = Run(str(folder)).stage("expressions"), 0
    for name, count in zip(NAMES, COUNTS, strict=True):
        some, at = images[at : at + count], at + count
        with stage.writer(name, "f") as out:
            with out.parquet(f"{name}.parquet", schema.GROUNDING) as rows:
                for one in some:
                    rows.write_table(to_table([one]))
            out.write(f"index/{name}.parquet", index_of(some), schema.GROUNDING_INDEX)
            out.commit(rows=count)
    return stage.files, images


def test_every_image_by_its_number_in_any_order(tmp_path: Path) -> None:
    files, images = written(tmp_path)
    shards = GroundingShards.open(files, NAMES)
    assert len(shards) == 6
    for i in (5, 0, 3, 3, 1, 4, 2, -1, -6):
        require_same(shards[i], images[i])
    for one, other in zip(shards, images, strict=True):
        require_same(one, other)
    assert [r.image_id for r in shards[1:6:2]] == [r.image_id for r in images[1:6:2]]
    assert shards.heights_N.tolist() == [r.height for r in images]
    assert shards.widths_N.tolist() == [r.width for r in images] == [48] * 4 + [80] * 2
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            shards[wrong]
    assert len(GroundingShards.open(files, [])) == 0


def test_an_image_is_one_range_of_its_file_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, images = written(tmp_path)
    shards = GroundingShards.open(files, NAMES)
    asked: list[Any] = []
    read = Ranges.read
    monkeypatch.setattr(Ranges, "read", lambda self, requests: asked.append(requests) or read(self, requests))
    require_same(shards[3], images[3])
    ((name, offset, length),) = asked[0]
    group = pq.read_metadata(tmp_path / "expressions" / name).row_group(1)
    assert (name, len(asked)) == ("train-0-00002.parquet", 1)
    assert length == sum(group.column(i).total_compressed_size for i in range(group.num_columns))
    assert offset == min(group.column(i).data_page_offset for i in range(group.num_columns))


def test_footers_are_read_once_and_only_some_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = written(tmp_path)
    opened: list[str] = []
    parquet = Files.parquet
    shards = GroundingShards.open(files, NAMES)
    monkeypatch.setattr(Files, "parquet", lambda self, name: opened.append(name) or parquet(self, name))
    for i in (0, 1, 5, 0, 1):
        shards[i]
    assert opened == ["train-0-00000.parquet", "train-1-00000.parquet"]
    monkeypatch.setattr(module, "FOOTERS", 3)
    for i in (2, 5, 2, 0):  # the first two shards go, then the one that was asked for last stays
        shards[i]
    assert opened[2:] == ["train-0-00002.parquet", "train-1-00000.parquet", "train-0-00002.parquet", opened[0]]
    assert sum(f.num_row_groups for f in shards._footers.values()) <= 3


def test_a_copy_in_another_process_is_the_same(tmp_path: Path) -> None:
    files, images = written(tmp_path)
    shards = GroundingShards.open(files, NAMES)
    shards[0]
    copy = pickle.loads(pickle.dumps(shards))
    assert not copy._footers
    require_same(copy[4], images[4])
    assert copy.widths_N.tolist() == shards.widths_N.tolist()


def test_on_any_store(tmp_path: Path) -> None:
    files, images = written(f"memory://shards-{tmp_path.name}")
    shards = GroundingShards.open(files, NAMES)
    require_same(shards[4], images[4])
    assert len(shards) == len(images)


def test_damage_is_named_with_its_mend(tmp_path: Path) -> None:
    files, _ = written(tmp_path)
    shards = GroundingShards.open(files, NAMES)
    path = tmp_path / "expressions/train-0-00002.parquet"
    whole = path.read_bytes()
    group = pq.read_metadata(path).row_group(0)
    texts = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema.endswith("text"))
    at = texts.data_page_offset
    path.write_bytes(whole[:at] + bytes(40) + whole[at + 40 :])
    with pytest.raises(DamagedError, match=r"train-0-00002.parquet is damaged .*verify RUN expressions --mend"):
        shards[2]
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError, match="is damaged"):
        GroundingShards.open(files, NAMES)[2]
    path.write_bytes((tmp_path / "expressions/train-1-00000.parquet").read_bytes())
    with pytest.raises(DamagedError, match="has 1 rows in 1 row groups, and its index 3"):
        GroundingShards.open(files, NAMES)[2]
    path.unlink()
    with pytest.raises(StoreError, match=r"train-0-00002\.parquet"):
        GroundingShards.open(files, NAMES)[2]
    index = tmp_path / "expressions/index/train-0-00002.parquet"
    index.write_bytes(b"PAR1 and no more")
    with pytest.raises(DamagedError, match="index/train-0-00002"):
        GroundingShards.open(files, NAMES)


def test_a_row_that_is_not_what_it_says_is_an_error(tmp_path: Path) -> None:
    files, images = written(tmp_path)
    path = tmp_path / "expressions/train-1-00000.parquet"
    stored = to_table(images[5:]).set_column(2, schema.GROUNDING.field("width"), pa.array([81], pa.int32()))
    pq.write_table(stored, path)
    with pytest.raises(DataError, match="has 80 x 64 pixels, and what is said of it is for 81 x 64"):
        GroundingShards.open(files, NAMES)[5]


def test_the_index_has_sizes_counts_and_boxes_as_shares() -> None:
    images = [row(1), row(2)]
    found = schema.check(index_of(images), schema.GROUNDING_INDEX, "index").to_pylist()
    assert [(r["image_id"], r["width"], r["height"], r["expressions"]) for r in found] == [
        ("x/1", 48, 32, 3),
        ("x/2", 48, 32, 3),
    ]
    assert found[0]["content"] == hashlib.sha256(images[0].data).hexdigest()[:32]
    boxes_K4 = np.concatenate([e.boxes_K4 for e in images[0].expressions])
    assert np.allclose(np.array(found[0]["boxes"]) * [48, 32, 48, 32], boxes_K4, atol=1e-5)


def test_shards_by_kind_and_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Run(str(tmp_path)).stage("expressions")
    planned = [{"name": n, "kind": n[:-2], "set": int(n[-1])} for n in ("test-0", "train-0", "train-1")]
    monkeypatch.setattr(type(stage), "shards", lambda self, kind: [s for s in planned if s["kind"] == kind])
    assert shards_of(stage, "train") == ["train-0", "train-1"]
    assert shards_of(stage, "train", 1) == ["train-1"]
    assert shards_of(stage, "test", 1) == []
