"""What images with expressions cost: counted where files are there, assumed in so many words where they are not."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import expressions
from siglino_core.config import Config, ExpressionsConfig, ReferringConfig, ReferringLayout
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.table import to_table
from siglino_core.store import Files, Run
from tests.pipelines.expressing import REFS, SCENES, coco, config, refer
from tests.refer import instances, write
from tests.siglino_core.grounding.data.test_table import row

AWAY = {"uri": "/nowhere/data", "images": "/nowhere/images"}


def planned(train: list[ReferringConfig], test: list[ReferringConfig] | None = None) -> Any:
    return expressions.plan(Config(expressions=ExpressionsConfig(train=train, test=test or [])), {})


def test_the_plan_has_the_shards_and_rows_of_the_run_and_reads_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(to_table([row(n) for n in range(5)]), tmp_path / "rows.parquet")
    stored = ReferringConfig(layout=ReferringLayout.PARQUET, uri=str(tmp_path / "rows.parquet"))
    folders = write(tmp_path, REFS)
    made = config([SCENES, stored, coco(tmp_path, [105, 106, 107])], [refer(folders)])
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "__init__", lambda self, uri: pytest.fail("images are looked for"))
        before = expressions.plan(made, {})
    manifest = expressions.run(made, Run(str(tmp_path / "run"))).manifest
    assert (before.stage, before.device) == ("expressions", "CPU core")
    assert (before.shards, before.rows) == (manifest.shards, manifest.rows) == (10, 16)
    assert before.train == 15
    assert before.bytes > 0
    assert before.device_hours > 0
    assert before.note == ("images: test refcoco/unc/val 1, train synthetic-easy 7, train rows 5, train coco 3")


def test_a_price_is_near_what_is_written(tmp_path: Path) -> None:
    made = config([ReferringConfig(count=20, side=256)], rows_per_shard=20)
    manifest = expressions.run(made, Run(str(tmp_path / "run"))).manifest
    written = sum(size for size, _ in manifest.files.values())
    assert written / 2 < expressions.plan(made, {}).bytes < 3 * written


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({}, 16_994),
        ({"dataset": "refcoco+", "split": "testA"}, 750),
        ({"dataset": "refcocog"}, 21_899),
        ({"dataset": "refcocog", "split_by": "google"}, 24_698),
        ({"limit": 100}, 100),
    ],
)
def test_of_files_that_are_not_there_the_published_counts(settings: dict[str, Any], rows: int) -> None:
    estimate = planned([ReferringConfig(layout=ReferringLayout.REFER, **AWAY, **settings)])
    assert (estimate.rows, estimate.shards) == (rows, -(-rows // 256))
    assert "as published; the files are not there yet" in estimate.note
    assert "no test set, so training alone" in estimate.note


def test_a_store_that_lets_nobody_look_is_priced_by_the_published_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any) -> bool:
        raise StoreError("s3://bucket: no credentials found")

    monkeypatch.setattr(Files, "exists", closed)
    where = {"uri": "s3://bucket/refer/x.json", "images": "s3://bucket/train2014"}
    sets = [ReferringConfig(layout=layout, **where) for layout in (ReferringLayout.REFER, ReferringLayout.COCO)]
    estimate = planned(sets)
    assert estimate.rows == 16_994 + 118_287
    assert "(as published; their store does not let us look)" in estimate.note
    assert "(as train2017 has; their store does not let us look)" in estimate.note


def test_cocos_images_are_counted_or_assumed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(instances(list(range(9)), [])))
    images = {"layout": ReferringLayout.COCO, "images": "/nowhere"}
    assert planned([ReferringConfig(uri=str(tmp_path / "a.json"), **images)]).rows == 9
    away = planned([ReferringConfig(uri=str(tmp_path / "b.json"), **images)])
    assert away.rows == 118_287
    assert "as train2017 has; b.json is not there yet" in away.note
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="is no COCO instances JSON"):
        planned([ReferringConfig(uri=str(tmp_path / "a.json"), **images)])


def test_what_there_is_not_is_said_before_anything_is_fetched() -> None:
    with pytest.raises(ConfigError, match="split=test: refcoco by unc has the splits train, val, testA, testB"):
        planned([ReferringConfig(layout=ReferringLayout.REFER, **AWAY, split="test")])
    with pytest.raises(DataError, match=r"uri=/nowhere\.parquet: nothing is there"):
        planned([ReferringConfig(layout=ReferringLayout.PARQUET, uri="/nowhere.parquet")])
    with pytest.raises(ConfigError, match=r"expressions\.train is empty"):
        planned([], [SCENES])
