"""The expressions stage: every image is a row, left out by a rule, or a reject; no test image is trained on."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import expressions
from siglino_core import schema
from siglino_core.config import ReferringConfig, ReferringLayout
from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data.coco import Categories
from siglino_core.grounding.data.left_out import NOTHING
from siglino_core.grounding.data.refer import Refer
from siglino_core.grounding.data.synthetic.level import EASY
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.data.table import to_table
from siglino_core.store import Run
from tests.pictures import broken, picture
from tests.pipelines.expressing import REFS, SCENES, coco, config, facts, made, refer, rejects, require_equal, rows
from tests.refer import file_name, instances, ref, write


def test_scenes_of_train_and_test_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    run, result = made(tmp_path, [SCENES], [SCENES])
    made_of = {"size": (64, 64), "count": 7, "level": EASY}
    require_equal(rows(run, "train"), list(Scenes(0, **made_of)))
    require_equal(rows(run, "test"), list(Scenes(0, split="test", **made_of)))
    assert result.manifest.rows == 14
    one = facts(result)["train", 0]
    asked = [e for row in rows(run, "train") for e in row.expressions]
    assert one == {
        "which": "train",
        "number": 0,
        "name": "synthetic-easy",
        "limit": 0,
        "images": 7,
        "expressions": len(asked),
        "instances": sum(len(e.boxes_K4) for e in asked),
        "absent": sum(e.absent for e in asked),
        "masks": True,
        "left_out": {},
    }


def test_shards_are_named_by_set_and_number_those_to_test_on_first_an_image_a_row_group(tmp_path: Path) -> None:
    run, result = made(tmp_path, [SCENES, replace(SCENES, side=72)], [SCENES])
    stage = run.stage("expressions")
    names = [s["name"] for s in stage.shards()]
    assert names[:4] == [f"test-0-{n:05}" for n in range(4)]
    assert names[4:] == [f"train-{s}-{n:05}" for s in range(2) for n in range(4)]
    assert [(s["start"], s["stop"]) for s in stage.shards("test")] == [(0, 2), (2, 4), (4, 6), (6, 7)]
    files = {f"{folder}{name}.parquet" for name in names for folder in ("", "index/")}
    assert result.manifest.files.keys() == files
    path = tmp_path / "run/expressions/test-0-00001.parquet"
    stored = pq.ParquetFile(path)
    assert stored.num_row_groups == stored.metadata.num_rows == 2
    group = stored.metadata.row_group(0)
    images = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "bytes")
    assert (images.compression, images.has_dictionary_page) == ("UNCOMPRESSED", False)
    index = schema.check(pq.read_table(tmp_path / f"run/expressions/index/{path.name}"), schema.GROUNDING_INDEX, "i")
    schema.check(stored.read(), schema.GROUNDING, "rows")
    assert index["image_id"].to_pylist() == stored.read(["image_id"])["image_id"].to_pylist()


def test_a_test_of_another_seed_has_other_bytes(tmp_path: Path) -> None:
    digests = {made(tmp_path, [SCENES], run=str(seed), seed=seed)[1].manifest.digest for seed in (0, 1)}
    assert len(digests) == 2


def test_refer_as_its_own_reader_has_it_whole_or_in_pieces(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    run, result = made(tmp_path, [refer(folders)], [refer(folders)])
    require_equal(rows(run, "train"), list(Refer(*folders, published=False)))
    require_equal(rows(run, "test"), list(Refer(*folders, published=False, split="val")))
    told = facts(result)
    assert [told[k]["name"] for k in told] == ["refcoco/unc/val", "refcoco/unc/train"]
    assert (told["train", 0]["images"], told["train", 0]["expressions"], told["train", 0]["absent"]) == (3, 5, 0)


def test_coco_as_its_own_reader_has_it(tmp_path: Path) -> None:
    one = coco(tmp_path, [5, 6, 9, 11, 12])
    run, result = made(tmp_path, [one], seed=3)
    require_equal(rows(run, "train"), list(Categories(one.uri, one.images, seed=3)))
    assert facts(result)["train", 0]["absent"] == 5
    assert rows(run, "train")[0].image_id == "coco/5"


def test_rows_of_parquet_come_back_as_they_are(tmp_path: Path) -> None:
    expected = list(Scenes(1, (64, 64), count=9))
    for name, some, group in (("a", expected[:5], 3), ("b", expected[5:], 100)):
        (tmp_path / "rows").mkdir(exist_ok=True)
        pq.write_table(to_table(some), tmp_path / f"rows/{name}.parquet", row_group_size=group)
    one = ReferringConfig(layout=ReferringLayout.PARQUET, uri=str(tmp_path / "rows"))
    run, result = made(tmp_path, [one])
    require_equal(rows(run, "train"), expected)
    assert facts(result)["train", 0]["name"] == "rows"
    run, result = made(
        tmp_path, [ReferringConfig(layout=ReferringLayout.PARQUET, uri=f"{run.url}/expressions")], run="b"
    )
    require_equal(rows(run, "train"), expected)  # what the stage wrote, without its index


def test_only_so_many_images_the_first(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    sets = [refer(folders, limit=2), coco(tmp_path, [5, 6, 7], limit=1)]
    run, result = made(tmp_path, sets)
    assert [facts(result)["train", i]["images"] for i in range(2)] == [2, 1]
    require_equal(rows(run, "train", 0), list(Refer(*folders, published=False))[:2])


def test_no_image_that_is_tested_on_is_trained_on(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    one = coco(tmp_path, [5, 6, 9, 11])
    run, result = made(tmp_path, [one], [refer(folders), coco(tmp_path, [11], "two.json", name="mine/val")])
    assert [r.image_id for r in rows(run, "train")] == ["coco/5", "coco/6"]
    assert facts(result)["train", 0]["left_out"] == {"image_of_a_test_set": 2}
    assert [r.image_id for r in rows(run, "test", 1)] == ["coco/11"]


def test_a_tested_image_of_another_name_is_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for name, numbers in (("train", range(6)), ("test", range(4, 8))):
        some = [replace(scene, image_id=f"{name}/{i}") for i, scene in enumerate(Scenes(1, (64, 64), count=8))]
        pq.write_table(to_table([some[i] for i in numbers]), tmp_path / f"rows/{name}.parquet")
    train, test = (
        ReferringConfig(layout=ReferringLayout.PARQUET, uri=str(tmp_path / f"rows/{name}.parquet"))
        for name in ("train", "test")
    )
    run, result = made(tmp_path, [train], [test])
    assert [r.image_id for r in rows(run, "train")] == [f"train/{i}" for i in range(4)]
    assert facts(result)["train", 0]["left_out"] == {"image_of_a_test_set": 2}
    assert [r.image_id for r in rows(run, "test")] == [f"test/{i}" for i in range(4, 8)]


def test_no_test_image_of_any_refer_data_set_that_is_there_is_trained_on(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    write(tmp_path, [ref(1, 5, "testB", "x"), ref(2, 7, "train", "y")], "refcoco+")
    run, result = made(tmp_path, [refer(folders)])
    assert [r.image_id for r in rows(run, "train")] == ["coco/7", "coco/6"]
    assert facts(result)["train", 0]["left_out"] == {"image_of_a_test_split": 1}
    write(tmp_path, [ref(1, 6, "val", "x")], "refcocog", "umd")
    with pytest.raises(ConfigError, match=r"train\.0\.files\.held_out\.refcocog/umd: 'unset' there"):
        made(tmp_path, [refer(folders)])
    assert [r.image_id for r in rows(made(tmp_path, [refer(folders)], redo="stale")[0], "train")] == ["coco/7"]


def test_what_cannot_be_used_is_a_reject_and_the_rest_stays(tmp_path: Path) -> None:
    bad = [ref(n, n, "train", f"cat {n}") for n in range(10, 18)]
    long = "x" * 10_000
    folders = write(tmp_path, [*REFS, *bad, ref(20, 5, "train", " "), ref(21, 7, "train", long)])
    images = tmp_path / "images/train2014"
    damage = broken()
    for number, kind in ((10, "empty"), (11, "html"), (12, "truncated_jpeg")):
        (images / file_name(number)).write_bytes(damage[kind][0])
    (images / file_name(13)).write_bytes(picture(0, size=(48, 31)))
    path = tmp_path / "data/refcoco/instances.json"
    stored = json.loads(path.read_text())
    change = {
        14: {"bbox": [14, 4, 0, 8]},
        15: {"bbox": [15.0, 12.0, 10.0, -8.0]},
        16: {"bbox": [100.0, 4.0, 10.0, 8.0]},
        17: {"segmentation": []},
    }
    stored["annotations"] = [a | change.get(a["id"], {}) for a in stored["annotations"]]
    path.write_text(json.dumps(stored))
    run, result = made(tmp_path, [refer(folders)], max_reject_share=0.9)
    assert rejects(run, result) == [
        ("coco/7", "sentence_too_long", 0),
        ("coco/5", "sentence_without_words", 0),
        ("coco/10", "zero_size", 1),
        ("coco/11", "not_an_image", 1),
        ("coco/12", "truncated", 1),
        ("coco/13", "another_size", 1),
        *((f"coco/{n}", *what) for n in range(14, 18) for what in (("box_or_mask", 0), (NOTHING, 1))),
    ]
    require_equal(rows(run, "train"), list(Refer(*write(tmp_path / "good", REFS), published=False)))
    left_out = facts(result)["train", 0]["left_out"]
    assert (left_out["box_or_mask"], left_out["image_without_expression"], left_out["truncated"]) == (4, 4, 1)
    assert result.manifest.rejects == {
        "another_size": 1,
        "image_without_expression": 4,
        "not_an_image": 1,
        "truncated": 1,
        "zero_size": 1,
    }


def test_too_many_rejects_name_the_set_and_examples_and_can_be_allowed(tmp_path: Path) -> None:
    one = coco(tmp_path, [5, 6, 7])
    (tmp_path / "photos" / file_name(6)).write_bytes(b"<html>")
    with pytest.raises(DataError) as caught:
        made(tmp_path, [SCENES], [one])
    first, example = str(caught.value).splitlines()
    assert first.startswith(r"expressions.test[0] (coco): 1 of 3 images cannot be used, more than")
    assert "not_an_image 1" in first
    assert "image coco/6 cannot be used" in example
    assert made(tmp_path, [SCENES], [one], max_reject_share=0.4)[1].state == "Resumed"


def test_a_set_without_images_is_an_error_that_names_it(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    with pytest.raises(DataError, match=r"train\[0\] \(refcoco/unc/val\): no image of it is left \(image_of_a_test"):
        made(tmp_path, [refer(folders, split="val")])
    (tmp_path / "none.json").write_text(json.dumps(instances([], [])))
    empty = ReferringConfig(layout=ReferringLayout.COCO, uri=str(tmp_path / "none.json"), images=folders[1])
    with pytest.raises(DataError, match=r"test\[0\] \(coco\): there is no image in it"):
        made(tmp_path, [SCENES], [empty], run="b")


def test_nothing_to_train_on_and_two_tests_of_one_name_cannot_be(tmp_path: Path) -> None:
    for do in (lambda c: expressions.plan(c, {}), lambda c: expressions.run(c, Run(str(tmp_path / "run")))):
        with pytest.raises(ConfigError, match=r"nothing to ground on\. Take experiment=openlvd-ground"):
            do(config([], [SCENES]))
        with pytest.raises(ConfigError, match="two sets are called synthetic-easy: give each a name"):
            do(config([SCENES], [SCENES, ReferringConfig(count=3)]))
        with pytest.raises(ConfigError, match="there is no such data set"):
            do(config([ReferringConfig(layout=ReferringLayout.REFER, uri="x", images="x", dataset="refclef")]))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda at: (at / "data/refcoco/refs(unc).p").write_bytes(pickle.dumps([print])), "no pickle of plain values"),
        (lambda at: (at / "images/train2014" / file_name(7)).unlink(), "1 of the 3 images are not there"),
        (lambda at: (at / "data/refcoco/instances.json").write_text("{"), "is no JSON"),
        (lambda at: (at / "data/refcoco/instances.json").unlink(), "instances.json: nothing is there"),
    ],
)
def test_what_is_wrong_with_a_whole_set_is_one_sentence(tmp_path: Path, break_it: Any, says: str) -> None:
    folders = write(tmp_path, REFS)
    break_it(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        made(tmp_path, [refer(folders)])
    assert len(str(caught.value).splitlines()) == 1


def test_counts_must_be_the_published_ones_unless_told_otherwise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train has 5 expressions instead of 120,624"):
        made(tmp_path, [refer(write(tmp_path, REFS), published=True)])
