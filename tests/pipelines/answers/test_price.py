"""What answers cost, told from settings alone."""

import pytest

from pipelines.answers import plan
from pipelines.answers.price import counted
from siglino_core.config import Config, ReferringConfig, ReferringLayout, build


def config(*sets: dict[str, object]) -> Config:
    return build(Config, {"expressions": {"test": list(sets)}, "runtime": {"device": "cpu"}})


def test_images_and_expressions_of_every_layout() -> None:
    assert counted(ReferringConfig(count=100)) == (100, 400)
    assert counted(ReferringConfig(layout=ReferringLayout.REFER)) == (1_500, 10_834)
    assert counted(ReferringConfig(layout=ReferringLayout.REFER, split="testA", limit=75)) == (75, 566)
    assert counted(ReferringConfig(layout=ReferringLayout.REFER, dataset="refcocog", split="test")) == (2_600, 9_602)
    assert counted(ReferringConfig(layout=ReferringLayout.PARQUET, uri="x")) is None
    assert counted(ReferringConfig(layout=ReferringLayout.COCO, uri="x", limit=10)) == (10, 40)


def test_twice_the_expressions_cost_more_and_are_told() -> None:
    one = plan(config({"count": 100}), {})
    two = plan(config({"count": 100}, {"count": 100, "difficulty": "hard"}), {})
    assert (one.stage, one.rows, two.rows) == ("answers", 400, 1_000)
    assert two.device_hours == pytest.approx(2.2 * one.device_hours, rel=0.2)
    assert two.bytes > one.bytes > 0
    assert "200 images and 1,000 expressions, each asked twice" in two.note
    unknown = plan(config({"name": "own", "layout": "parquet", "uri": "x"}), {})
    assert "without own, not counted yet" in unknown.note
    assert plan(config(), {}).device_hours == 0
