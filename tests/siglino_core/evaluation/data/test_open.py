"""The door to all data sets: which reader is taken, what a recipe adds, and what it refuses."""

import io
import json
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from pipelines import cluster, sample
from siglino_core.config.evaluate import DatasetConfig, Layout
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data import recipe as recipes
from siglino_core.evaluation.data.coco import CocoFile
from siglino_core.evaluation.data.open import NoTrainingError, find_train, open_split, require_apart
from siglino_core.evaluation.data.opened import OpenSplit
from siglino_core.evaluation.data.run import RunSplit
from siglino_core.evaluation.data.sample import EvalSample
from siglino_core.store import Run
from tests import stages
from tests.pictures import encode, picture
from tests.pools import parquet_file, tar_bytes, write_files


def opened(which: Any = "test", seed: int = 0, **settings: Any) -> OpenSplit:
    return open_split(
        DatasetConfig(**{k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}), which, seed
    )


def labels(split: OpenSplit) -> list[tuple[str, str | None]]:
    sent = pickle.loads(pickle.dumps(split))  # it reads units, and need not make any
    return [(s.sample_id, s.label) for unit in split.units() for s in sent.read(unit)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes whose splits hold two images and whose classes are two."""
    real = recipes.tomllib.loads

    def loads(text: str) -> dict[str, Any]:
        stored = real(text)
        stored["class_count"] = 2 if stored.get("class_count") else 0
        for split in stored["splits"].values():
            split["count"] = 2
            split.pop("captions", None)
        return stored

    monkeypatch.setattr(recipes, "tomllib", SimpleNamespace(loads=loads))


def test_the_layouts_are_seen(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"folders/a/1.jpg": b"1", "folders/b/2.jpg": b"2", "tars/0.tar": tar_bytes([("x.jpg", b"1")])}
    )
    parquet_file(tmp_path / "rows/0.parquet", {"image": [b"1"], "label": ["q"]})
    write_files(tmp_path, {"set.tsv": b"filepath\tlabel\nfolders/a/1.jpg\tz\n"})
    coco = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "c"}]}
    write_files(tmp_path, {"captions.json": json.dumps(coco).encode()})
    assert labels(opened(uri=tmp_path / "folders")) == [("a/1.jpg", "a"), ("b/2.jpg", "b")]
    assert labels(opened(uri=tmp_path / "tars")) == [("0.tar/x", None)]
    assert labels(opened(uri=tmp_path / "rows")) == [("0.parquet:0", "q")]
    assert labels(opened(uri=tmp_path / "set.tsv")) == [("folders/a/1.jpg", "z")]
    assert labels(opened(annotations=tmp_path / "set.tsv", uri=tmp_path)) == [("folders/a/1.jpg", "z")]
    assert labels(opened(uri=tmp_path / "captions.json")) == [("1.jpg", None)]
    assert labels(opened(annotations=tmp_path / "captions.json", uri=tmp_path / "folders")) == [("1.jpg", None)]
    with pytest.raises(DataError, match="parquet was asked for"):
        opened(uri=tmp_path / "folders", layout=Layout.PARQUET)
    with pytest.raises(ConfigError, match=r"neither .json"):
        opened(annotations=tmp_path / "a.xml", uri=tmp_path)


def test_a_url_by_its_layout() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/opened/val/n01440764/1.jpg", b"1")
    fs.pipe_file("/opened/val/n01443537/2.jpg", b"2")
    try:
        split = opened(uri="memory://opened", recipe="imagenet", limit=5)
        assert [label for _, label in labels(split)] == ["tench", "goldfish"]
    finally:
        fs.rm("/opened", recursive=True)


@pytest.mark.usefixtures("small")
def test_a_recipe_finds_its_lists_and_names(tmp_path: Path) -> None:
    names = ["001.Laysan_Albatross/a.jpg", "002.Sooty_Albatross/b.jpg", "001.Laysan_Albatross/c.jpg"]
    listed = "".join(f"{i} {name}\n" for i, name in enumerate([*names, "002.Sooty_Albatross/d.jpg"], 1))
    write_files(tmp_path / "CUB", {"images.txt": listed.encode(), "train_test_split.txt": b"1 0\n2 0\n3 1\n4 1\n"})
    write_files(tmp_path / "CUB/images", {n: n.encode() for n in [*names, "002.Sooty_Albatross/d.jpg"]})
    config = DatasetConfig(recipe="cub200", uri=str(tmp_path))
    split = open_split(config)
    assert labels(split) == [(f"images/{names[0]}", "Laysan Albatross"), (f"images/{names[1]}", "Sooty Albatross")]
    assert split.classes == ("Laysan Albatross", "Sooty Albatross")
    assert (split.name, split.notes) == ("test", ())
    assert split.passed == {"image_of_no_list_or_another": 2}
    train = find_train(config)
    assert train is not None
    assert [i for i, _ in labels(train)] == [f"images/{names[2]}", "images/002.Sooty_Albatross/d.jpg"]
    assert train.classes == split.classes


def test_counts_that_differ(tmp_path: Path) -> None:
    write_files(tmp_path, {"banded/1.jpg": b"1", "woven/2.jpg": b"2"})
    with pytest.raises(DataError, match=r"recipe=dtd: 2 images, and the split 'test1' .* has 1880.*all 5,640 images"):
        opened(uri=tmp_path, recipe="dtd")


@pytest.mark.usefixtures("small")
def test_with_a_limit_a_count_is_a_note(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{c}/{i}.jpg": b"1" for c in ("banded", "woven") for i in range(3)})
    split = opened(uri=tmp_path, recipe="dtd", limit=4)
    assert len(labels(split)) == 4
    assert len(split.notes) == 2
    assert "recipe=dtd: 6 images" in split.notes[0]
    assert split.notes[1] == "a try on 4 of 6 samples"
    assert opened(uri=tmp_path, limit=6).notes == ()
    assert labels(opened(uri=tmp_path, limit=3, seed=0)) != labels(opened(uri=tmp_path, limit=3, seed=3))


@pytest.mark.usefixtures("small")
def test_karpathys_split_by_its_recipe(tmp_path: Path) -> None:
    def image(i: int, split: str) -> dict[str, Any]:
        return {"filepath": "val2014", "filename": f"{i}.jpg", "split": split, "sentences": [{"raw": f"text {i}"}]}

    stored = {"images": [image(i, s) for i, s in enumerate(["test", "restval", "train", "test"])]}
    write_files(tmp_path, {f"val2014/{i}.jpg": b"%d" % i for i in range(4)})
    with pytest.raises(DataError, match=r"dataset_coco.json is not there. Set annotations"):
        opened(uri=tmp_path, recipe="coco_retrieval")
    write_files(tmp_path, {"dataset_coco.json": json.dumps(stored).encode()})
    config = DatasetConfig(recipe="coco_retrieval", uri=str(tmp_path))
    split = open_split(config)
    assert [i for i, _ in labels(split)] == ["val2014/0.jpg", "val2014/3.jpg"]
    train = find_train(config)
    assert train is not None
    assert [i for i, _ in labels(train)] == ["val2014/1.jpg", "val2014/2.jpg"]
    plain = opened(annotations=tmp_path / "dataset_coco.json", uri=tmp_path)
    assert [i for i, _ in labels(plain)] == ["val2014/0.jpg", "val2014/3.jpg"]
    assert CocoFile(annotations="a", uri="b").splits == ()


def test_with_a_limit_some_classes_are_a_note(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{c}/1.jpg": b"1" for c in ("banded", "woven")})
    split = opened(uri=tmp_path, recipe="dtd", limit=1)
    assert split.notes[1:] == ("recipe=dtd: 2 classes here, of 47", "a try on 1 of 2 samples")
    assert split.classes == ("banded", "woven")


@pytest.mark.usefixtures("small")
def test_captions_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"filename": "1.jpg", "split": "test", "sentences": [{"raw": "x"}]}
    write_files(tmp_path, {"1.jpg": b"", "2.jpg": b""})
    write_files(tmp_path, {"a.json": json.dumps({"images": [image, image | {"filename": "2.jpg"}]}).encode()})
    settings = {"annotations": tmp_path / "a.json", "uri": tmp_path, "recipe": "flickr30k_retrieval"}
    assert len(labels(opened(**settings))) == 2
    real = recipes._split
    monkeypatch.setattr(recipes, "_split", lambda stored: real(stored | {"captions": 5}))
    with pytest.raises(DataError, match=r"2 captions, and the split 'test \(1k\)' .* has 5"):
        opened(**settings)


@pytest.mark.usefixtures("small")
def test_the_first_captions_count_and_all_are_compared_with_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = {"filename": "1.jpg", "split": "test", "sentences": [{"raw": f"{i}"} for i in range(7)]}
    write_files(tmp_path, {"1.jpg": b"", "a.json": json.dumps({"images": [image]}).encode()})
    real = recipes._split
    monkeypatch.setattr(recipes, "_split", lambda stored: real(stored | {"captions": 7, "count": 1}))
    settings = {"annotations": tmp_path / "a.json", "uri": tmp_path, "recipe": "coco_retrieval"}
    split = opened(**settings)
    assert [s.captions for u in split.units() for s in split.read(u)] == [("0", "1", "2", "3", "4")]
    assert split.notes == ("the first captions of each image count; 2 beyond them do not",)
    more = opened(**settings, captions=6)
    assert [len(s.captions) for u in more.units() for s in more.read(u)] == [6]
    assert more.identity != split.identity


def test_units_of_the_size_that_is_asked_for(tmp_path: Path) -> None:
    write_files(tmp_path, {f"{c}/{i}.jpg": b"1" for c in "ab" for i in range(5)})
    lines = "".join(f"{c}/{i}.jpg,{c}\n" for c in "ab" for i in range(5))
    write_files(tmp_path, {"set.csv": ("image,label\n" + lines).encode()})
    for settings in ({"uri": str(tmp_path)}, {"annotations": str(tmp_path / "set.csv")}):
        split = open_split(DatasetConfig(**settings), rows=4)
        assert [u["rows"] for u in split.units()] == [4, 4, 2]


def test_what_is_learned_from_is_not_what_is_asked_about(tmp_path: Path) -> None:
    write_files(tmp_path, {"test/a/1.jpg": b"1", "same/a/1.jpg": b"1", "other/a/2.jpg": b"1"})
    test, other = opened(uri=tmp_path / "test"), opened("train", uri=tmp_path / "test", train=tmp_path / "other")
    require_apart(test, None, "x")
    require_apart(test, other, "x")
    with pytest.raises(ConfigError, match="x: by names and sizes of files its training images are its test images"):
        require_apart(test, opened("train", uri=tmp_path / "test", train=tmp_path / "same"), "x")


def test_training_images(tmp_path: Path) -> None:
    write_files(tmp_path, {"test/a/1.jpg": b"1", "test/b/1.jpg": b"1", "more/a/2.jpg": b"2", "more/b/2.jpg": b"2"})
    with pytest.raises(NoTrainingError, match="no training images"):
        opened("train", uri=tmp_path / "test")
    assert find_train(DatasetConfig(uri=str(tmp_path / "test"))) is None
    assert find_train(DatasetConfig(uri=str(tmp_path), recipe="dtd", limit=2)) is None
    train = find_train(DatasetConfig(uri=str(tmp_path / "test"), train=str(tmp_path / "more")))
    assert train is not None
    assert labels(train) == [("a/2.jpg", "a"), ("b/2.jpg", "b")]


@pytest.mark.usefixtures("small")
def test_a_recipes_folders(tmp_path: Path) -> None:
    names = {"test/apple_pie/1.jpg": b"1", "test/waffles/2.jpg": b"2", "train/apple_pie/3.jpg": b"3"}
    write_files(tmp_path, {**names, "train/waffles/4.jpg": b"4"})
    config = DatasetConfig(uri=str(tmp_path), recipe="food101")
    assert labels(open_split(config)) == [("apple_pie/1.jpg", "apple pie"), ("waffles/2.jpg", "waffles")]
    train = find_train(config)
    assert train is not None
    assert [i for i, _ in labels(train)] == ["apple_pie/3.jpg", "waffles/4.jpg"]


@pytest.mark.usefixtures("small")
def test_caltechs_background_is_left_out(tmp_path: Path) -> None:
    files = {"101_ObjectCategories/BACKGROUND_Google/1.jpg": b"", "101_ObjectCategories/Faces/1.jpg": b""}
    write_files(tmp_path, {**files, "101_ObjectCategories/ant/1.jpg": b""})
    split = opened(uri=tmp_path, recipe="caltech101")
    assert [label for _, label in labels(split)] == ["face with surroundings", "ant"]
    assert split.passed["image_of_a_folder_that_is_no_class"] == 1


def test_a_run(tmp_path: Path) -> None:
    run = stages.write(Run(str(tmp_path / "run")), stages.pool(160, classes=6, near=20))
    config = stages.config()
    cluster.run(config, run)
    sample.run(config, run)
    for settings in ({"run": run.url}, {"uri": run.url}, {"uri": run.url, "layout": Layout.RUN}):
        test, train = opened(**settings), opened("train", **settings) if "run" in settings else None
        assert isinstance(test.split, RunSplit)
        held_out = {i for i, _ in labels(test)}
        assert held_out
        if train is not None:
            assert len(train.units()) > 0
            assert not held_out & {i for i, _ in labels(train)}


def test_a_runs_test_images_may_be_held_apart_by_a_cosine_of_ones_own(tmp_path: Path) -> None:
    run = stages.write(Run(str(tmp_path / "run")), stages.pool(160, classes=6, near=20))
    config = stages.config(sample={"near_duplicate": 1.0})
    cluster.run(config, run)
    sample.run(config, run)
    counts = [len(labels(opened(run=run.url, near_duplicate=cosine))) for cosine in (0, 1.0, 0.99, 0.95)]
    assert counts[0] == counts[1] > counts[2] > counts[3] > 0


def test_readers_of_other_layouts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        identity, classes = "x", ("a",)

        def __init__(self, *given: Any) -> None:
            self.given = given

        def units(self) -> list[dict[str, Any]]:
            return [{"rows": 1}]

        def read(self, unit: dict[str, Any]) -> Any:
            return iter([EvalSample(sample_id="1", data=b"")])

    for name in ("masks", "composites"):
        module = ModuleType(name)
        setattr(module, f"open_{name}", Made)
        monkeypatch.setitem(sys.modules, f"siglino_core.evaluation.data.{name}", module)
    split: Any = opened(uri="x", masks="y").split
    assert split.given[1:] == ("test", None)
    split = opened(uri="x", recipe="ade20k", limit=1).split
    assert split.given[2].name == "ade20k"
    split = opened(uri="x", layout=Layout.COMPOSITES, seed=7).split
    assert split.given[1:] == ("test", 7)


def test_a_segmentation_recipe(tmp_path: Path) -> None:
    mask = encode(Image.fromarray(np.array([[0, 1], [150, 7]], np.uint8)), "png")
    write_files(tmp_path, {"images/validation/a.jpg": picture(0, size=(2, 2)), "annotations/validation/a.png": mask})
    split = opened(uri=tmp_path, recipe="ade20k", limit=3)
    assert (split.name, len(split.classes), split.classes[149]) == ("validation", 150, "flag")
    (found,) = [s for unit in split.units() for s in split.read(unit)]
    assert isinstance(found, EvalSample)
    assert np.array(Image.open(io.BytesIO(found.mask or b""))).tolist() == [[255, 0], [149, 6]]


def test_empty_and_unset(tmp_path: Path) -> None:
    parquet_file(tmp_path / "0.parquet", {"image": [b"x"][:0], "label": ["q"][:0]})
    with pytest.raises((DataError, ConfigError)):
        opened(uri=tmp_path)
    with pytest.raises(ConfigError, match="uri is not set"):
        opened(name="mine")
    with pytest.raises(ConfigError, match=r"no such recipe. Did you mean food101"):
        opened(uri="x", recipe="food-101")


def test_a_label_that_is_no_class(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.jpg": b"1", "b/2.jpg": b"2", "classes.txt": b"a\nc\n"})
    split = opened(uri=tmp_path, classes=tmp_path / "classes.txt")
    assert split.classes == ("a", "c")
    with pytest.raises(DataError, match="the label 'b' is none of the 2 classes"):
        labels(split)
