"""Sets as a config names them: their names, what decides them, and what is in them."""

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from siglino_core.config import Difficulty, ReferringConfig, ReferringLayout
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.grounding.data import sets as module
from siglino_core.grounding.data.refs import refs_there
from siglino_core.grounding.data.sets import ReferringSet, sets_of
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.data.table import to_table
from siglino_core.hashing import fingerprint
from siglino_core.store import Identity, Run
from tests.cutouts import cutouts
from tests.pictures import picture
from tests.refer import SIZE, annotation, file_name, instances, ref, write
from tests.siglino_core.grounding.data.test_table import require_same, row

REFS = [ref(1, 5, "train", "a cat"), ref(2, 7, "train", "b cat"), ref(4, 9, "val", "c cat")]
LAYOUT = ReferringLayout


def opened(config: ReferringConfig, *, train: bool = True, seed: int = 0) -> ReferringSet:
    (one,) = sets_of([config], train=train, seed=seed)
    return one


def of_refer(folders: tuple[str, str], **settings: Any) -> ReferringConfig:
    plain = {"layout": LAYOUT.REFER, "uri": folders[0], "images": folders[1], "published": False}
    return ReferringConfig(**(plain | settings))


def coco(folder: Path, numbers: list[int], call: Any = file_name, **change: Any) -> ReferringConfig:
    folder.mkdir(exist_ok=True, parents=True)
    stored = instances(numbers, [annotation(n, n) for n in numbers])
    for one in stored["images"]:
        one["file_name"] = call(one["id"])
        (folder / one["file_name"]).write_bytes(picture(one["id"], size=SIZE))
    (folder / "mine.json").write_text(json.dumps(stored))
    where = {"uri": str(folder / "mine.json"), "images": str(folder)}
    return ReferringConfig(layout=LAYOUT.COCO, **(where | change))


def ids(one: ReferringSet) -> list[str]:
    rows = one.open()
    return [item.image_id for unit in rows.units(2) for item in rows.read(unit)]


@pytest.mark.parametrize(
    ("config", "train", "test"),
    [
        (ReferringConfig(), "synthetic-easy", "synthetic-easy"),
        (ReferringConfig(difficulty=Difficulty.HARD), "synthetic-hard", "synthetic-hard"),
        (ReferringConfig(layout=LAYOUT.COCO, uri="a/b.json", images="c"), "coco", "coco"),
        (ReferringConfig(layout=LAYOUT.PARQUET, uri="a/b.parquet"), "b", "b"),
        (ReferringConfig(layout=LAYOUT.PARQUET, uri="s3://a/b/"), "b", "b"),
        (ReferringConfig(layout=LAYOUT.REFER, uri="a", images="b"), "refcoco/unc/train", "refcoco/unc/val"),
        (
            ReferringConfig(layout=LAYOUT.REFER, uri="a", images="b", dataset="refcocog", split="test"),
            "refcocog/umd/test",
            "refcocog/umd/test",
        ),
        (ReferringConfig(name="mine"), "mine", "mine"),
    ],
)
def test_names(config: ReferringConfig, train: str, test: str) -> None:
    assert opened(config).name == train
    assert opened(config, train=False).name == test


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match="two sets are called coco"):
        sets_of([ReferringConfig(layout=LAYOUT.COCO, uri=u, images="i") for u in "ab"], train=False, seed=0)
    assert len(sets_of([ReferringConfig(), ReferringConfig(side=64)], train=True, seed=0)) == 2
    twice = [ReferringConfig(name="a"), ReferringConfig(name="b", count=5)]
    with pytest.raises(
        ConfigError, match=r"train: a and b are the same images\. Leave one out\. For more scenes raise"
    ):
        sets_of(twice, train=True, seed=0)
    with pytest.raises(ConfigError, match="no such data set"):
        opened(ReferringConfig(layout=LAYOUT.REFER, dataset="refclef"))
    with pytest.raises(ConfigError, match="was split by unc"):
        opened(ReferringConfig(layout=LAYOUT.REFER, dataset="refcoco+", split_by="umd"))


def test_identity_is_of_contents_and_settings_and_of_no_place(tmp_path: Path) -> None:
    def told(place: str, **settings: Any) -> str:
        return fingerprint(opened(of_refer(write(tmp_path / place, REFS), **settings)).identity())

    first = told("a")
    assert first == told("b")
    assert first != told("b", split="val")
    assert first == told("b", split="train", published=True)
    write(tmp_path / "b", REFS[:2], "refcoco+")
    assert first != told("b")
    (tmp_path / "a/images/train2014" / file_name(7)).write_bytes(b"longer than it was")
    one = opened(of_refer((str(tmp_path / "a/data"), str(tmp_path / "a/images"))))
    assert first != fingerprint(one.identity())


@pytest.mark.parametrize("change", [{"seed": 1}, {"count": 3}, {"side": 80}, {"train": False}])
def test_scenes_are_told_apart(change: dict[str, Any]) -> None:
    def first(train: bool = True, seed: int = 0, **settings: Any) -> tuple[int, str]:
        one = opened(ReferringConfig(**({"count": 2, "side": 64} | settings)), train=train, seed=seed)
        return len(ids(one)), ids(one)[0]

    assert first() == first()
    assert first() != first(**change)


def test_cut_outs_of_a_run_go_one_half_to_training_the_other_to_testing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(module, "run_cutouts", lambda c, seed: asked.append((c.run, seed)) or cutouts())
    config = ReferringConfig(difficulty=Difficulty.MEDIUM, count=2, side=64, cutouts="runs/x")
    halves = []
    for train in (True, False):
        scenes = opened(config, train=train, seed=3).open().source.scenes  # pyright: ignore
        assert isinstance(scenes, Scenes)
        halves.append({c.cutout_id for c in scenes._cutouts})
    assert asked == [("runs/x", 3)] * 2
    assert all(halves)
    assert not halves[0] & halves[1]
    assert len(halves[0] | halves[1]) == 30


def sampled(url: Path, data: bytes) -> str:
    """A run whose sample holds a file; its address."""
    stage, identity = Run(str(url)).stage("sample"), Identity(stage="sample", version=1, config={}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "a", "kind": "a"}])
    with stage.writer("a", identity.fingerprint) as out:
        out.put("a", data)
        out.commit(rows=1)
    stage.finish(identity, todo)
    return str(url)


def test_cut_outs_are_told_apart_by_the_sample_they_come_from(tmp_path: Path) -> None:
    runs = [sampled(tmp_path / name, name[:1].encode()) for name in ("a", "also", "b")]
    told = [fingerprint(opened(ReferringConfig(cutouts=run)).identity()) for run in (*runs, "")]
    assert told[0] == told[1]
    assert len(set(told)) == 3
    with pytest.raises(StoreError, match="sample is not finished: run `siglino curate"):
        opened(ReferringConfig(cutouts=str(tmp_path / "none"))).identity()


def test_images_held_out_are_those_of_the_data_sets_that_are_there(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    write(tmp_path, [ref(1, 5, "testB", "x"), ref(2, 7, "train", "y")], "refcoco+")
    assert refs_there(folders[0]) == [("refcoco", "unc"), ("refcoco+", "unc")]
    assert opened(of_refer(folders)).held_out() == {"coco/9", "coco/5"}
    assert opened(of_refer(folders), train=False).held_out() == frozenset()
    write(tmp_path, [ref(1, 7, "val", "x"), ref(2, 5, "train", "x")], "refcocog", "google")
    assert opened(of_refer(folders)).held_out() == {"coco/9", "coco/5"}  # no results are reported on this split
    own = opened(of_refer(folders, dataset="refcocog", split_by="google"))
    assert own.held_out() == {"coco/9", "coco/5", "coco/7"}


def test_annotations_are_measured_for_the_memory_they_take(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    size = (tmp_path / "data/refcoco/instances.json").stat().st_size
    assert opened(of_refer(folders)).annotation_bytes() == size
    one = opened(coco(tmp_path / "coco", [1]))
    assert one.annotation_bytes() == (tmp_path / "coco/mine.json").stat().st_size
    assert opened(ReferringConfig()).annotation_bytes() == 0
    with pytest.raises(DataError, match="it is a folder or several files"):
        opened(ReferringConfig(layout=LAYOUT.COCO, uri=folders[1] + "/..", images="x")).annotation_bytes()


def test_images_called_as_cocos_have_its_ids_and_no_others(tmp_path: Path) -> None:
    assert ids(opened(coco(tmp_path / "a", [3, 4], name="instances/val"))) == ["coco/3", "coco/4"]
    assert ids(opened(coco(tmp_path / "b", [3], lambda n: f"{n:012}.jpg"))) == ["coco/3"]
    assert ids(opened(coco(tmp_path / "c", [3], lambda n: f"{n}.jpg"))) == ["mine/3"]
    assert ids(opened(coco(tmp_path / "d", [3], lambda n: f"{n}.jpg", name="lvis/val"))) == ["lvis/3"]


def test_parquet_is_read_as_it_lies_there(tmp_path: Path) -> None:
    rows = [row(1), row(2)]
    pq.write_table(to_table(rows), tmp_path / "a.parquet")
    one = pickle.loads(pickle.dumps(opened(ReferringConfig(layout=LAYOUT.PARQUET, uri=str(tmp_path)))))
    assert ids(one) == ["x/1", "x/2"]
    found = [item for unit in one.open().units(9) for item in one.open().read(unit)]
    require_same(found[1], rows[1])
