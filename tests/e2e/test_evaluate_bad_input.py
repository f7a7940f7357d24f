"""What a user gets wrong about an evaluation, by the command itself: one clear message and the right exit code.

The command runs in this process, on a few small images and small networks.
"""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from flows.cli import main
from tests import pools
from tests.hostile import ALL, file_name
from tests.pictures import encode, picture
from tests.pipelines.curated import curated
from tests.siglino_core.evaluation.network.folders import siglino

pytestmark = pytest.mark.slow

USAGE, FAILED = 2, 1
LITE = {"network": "efficientnet_lite0"}
LABELLED = {f"{c}/{i}.png": picture(10 * k + i, "png", (40, 40)) for k, c in enumerate("ab") for i in range(3)}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Evaluate in a run of its own; the exit code, and what was said."""

    def asked(datasets: list[dict[str, Any]] | None, models: list[dict[str, Any]] | None = None, *words: str) -> Any:
        settings = {"models": [LITE] if models is None else models} | ({"datasets": datasets} if datasets else {})
        (tmp_path / "asked.yaml").write_text(json.dumps({"evaluate": settings}))
        here = ["runtime.runner=local", "runtime.device=cpu"]
        run = [] if any(word.startswith("run=") for word in words) else [f"run={tmp_path / 'run'}"]
        code = main(["evaluate", f"experiment={tmp_path / 'asked.yaml'}", *run, *here, *words])
        return code, *capsys.readouterr()

    return asked


def one_message(err: str, *says: str) -> None:
    assert "Traceback" not in err
    assert err.startswith(("ConfigError: ", "DataError: ", "StoreError: ")), err
    flat = " ".join(err.split())
    assert all(part in flat for part in says), err
    assert err.replace("\n", "").isprintable()


def made(folder: Path, files: dict[str, bytes]) -> str:
    pools.write_files(folder, files)
    return str(folder)


def grey(level: int) -> bytes:
    return encode(Image.fromarray(np.full((32, 48), level, np.uint8)), "png")


CASES: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {
    "unreadable": ({"uri": "bad"}, FAILED, ("1 of 7 samples cannot be read", "a/x.png", "evaluate.unread=wrong")),
    "no labels": ({"uri": "flat", "tasks": ["knn"]}, FAILED, ("knn on flat", "no sample has a label")),
    "other classes": ({"uri": "good", "classes": "names.txt"}, FAILED, ("do not match", "'a'", "'cat', 'dog'")),
    "no recipe": ({"uri": "good", "recipe": "imagnet"}, USAGE, ("recipe=imagnet", "Did you mean imagenet?")),
    "counts": ({"uri": "good", "recipe": "dtd"}, FAILED, ("recipe=dtd: 6 images", "has 1880")),
    "no tower": ({"uri": "good", "tasks": ["zero_shot"]}, FAILED, ("zero shot on good", "no view has a text side")),
    "empty folder": ({"uri": "empty"}, FAILED, ("uri=", "empty: nothing is there")),
    "not there": ({"uri": "nowhere"}, FAILED, ("nowhere: nothing is there", "Give a folder, file or glob")),
    "test is train": ({"uri": "good", "train": "good"}, USAGE, ("training images are its test images",)),
    "coloured masks": ({"uri": "good/a", "masks": "good/a"}, FAILED, ("its pixels are colours, not class numbers",)),
    "captions alone": ({"uri": "flat", "annotations": "captions.json"}, FAILED, ("none of the 1 images", "x.jpg")),
    "unknown columns": ({"annotations": "odd.csv"}, FAILED, ("no column of labels or captions", "it", "image, foo")),
    "no such column": ({"annotations": "odd.csv", "label_column": "fo"}, USAGE, ("label_column=fo", "foo")),
    "nothing": ({"name": "x"}, USAGE, ("x has neither uri, annotations nor run",)),
    "no run": ({"run": "nowhere"}, FAILED, ("nowhere/sample is not finished", "siglino curate")),
    "odd name": ({"uri": "good", "name": "<b>../\x1b[31m"}, USAGE, ("evaluate.datasets", "is no name", "\\x1b")),
}


@pytest.mark.parametrize("case", CASES)
def test_data_sets(case: str, tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    settings, code, says = CASES[case]
    made(tmp_path / "good", LABELLED)
    made(tmp_path / "bad", {**LABELLED, "a/x.png": b"no image"})
    made(tmp_path / "flat", {f"{i}.png": picture(i, "png") for i in range(4)})
    (tmp_path / "empty").mkdir()
    named = {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [{"image_id": 1, "caption": "t"}]}
    files = {"names.txt": b"cat\ndog\n", "captions.json": json.dumps(named).encode(), "odd.csv": b"image,foo\n1,x\n"}
    made(tmp_path, files)
    paths = ("uri", "train", "masks", "annotations", "classes", "run")
    found, _, err = ask([{k: str(tmp_path / v) if k in paths else v for k, v in settings.items()}])
    assert found == code, err
    one_message(err, *says)
    assert not (tmp_path / "run/evaluate/manifest.json").exists()


def test_masks_without_class_names(tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    splits = {"test": "ab", "train": "cd"}
    files = {f"{s}/image/{name}.png": picture(ord(name), "png") for s, names in splits.items() for name in names}
    files |= {f"{s}/mask/{name}.png": grey(ord(name) % 2) for s, names in splits.items() for name in names}
    made(tmp_path, files)
    data = {"uri": "test/image", "masks": "test/mask", "train": "train/image", "train_masks": "train/mask"}
    paths = {key: str(tmp_path / value) for key, value in data.items()}
    code, _, err = ask([{**paths, "name": "seg"}], [{"network": "lite"}])
    assert code == FAILED, err
    one_message(err, "seg", "class names", "classes")


MODELS: dict[str, tuple[list[dict[str, Any]], int, tuple[str, ...]]] = {
    "no such student": ([{"network": "siglino:/nowhere"}], USAGE, ("/nowhere", "there is nothing there")),
    "no such kind": ([{"network": "resnet"}], USAGE, ("resnet: not one of",)),
    "two of one name": ([LITE, LITE], USAGE, ("efficientnet_lite0 stands there twice",)),
    "an odd name": ([{"name": "../x\x1b[31m", **LITE}], USAGE, ("is no name", "\\x1b[31m")),
    "no such view": ([{"texts": ["siglip2=lite_text"], **LITE}], USAGE, ("no view siglip2", "efficientnet_lite0")),
    "no text side": ([{"texts": ["lite_text"], **LITE}], USAGE, ("texts=lite_text: VIEW=SPEC",)),
    "another width": (
        [{"network": "efficientnet_lite0", "texts": ["efficientnet_lite0=lite_text"]}],
        USAGE,
        ("lite_text", "384 wide", "1280"),
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_models(case: str, tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    models, code, says = MODELS[case]
    found, _, err = ask([{"uri": made(tmp_path / "good", LABELLED)}], models)
    assert found == code, err
    one_message(err, *says)


@pytest.mark.parametrize("fault", ["cut", "another width"])
def test_a_damaged_student(tmp_path: Path, fault: str, ask: Callable[..., tuple[int, str, str]]) -> None:
    spec = siglino(tmp_path / "student")
    file = tmp_path / "student" / ("model.safetensors" if fault == "cut" else "config.json")
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"hidden_size": 48}))
    code, _, err = ask([{"uri": made(tmp_path / "good", LABELLED)}], [{"network": spec}])
    assert code in (USAGE, FAILED), err
    one_message(err, "student")


def test_runs_that_lack_something(tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = ask(None, [])
    assert code == FAILED
    one_message(err, "there is no finished student here to evaluate", "siglino distill")
    code, _, err = ask(None)
    assert code == FAILED
    one_message(err, "there is no finished sample here", "evaluate.datasets=")
    run = curated(tmp_path / "curated")
    code, _, err = ask(None, None, f"run={run.url}")
    assert code == 0, err  # without labels and captions features have a geometry alone
    assert [path.name for path in Path(run.url, "evaluate/results").iterdir()] == ["geometry"]


def test_what_counts_as_wrong_and_labels_that_are_missing(
    tmp_path: Path, ask: Callable[..., tuple[int, str, str]]
) -> None:
    bad = made(tmp_path / "bad", {**LABELLED, "a/x.png": b"no image"})
    code, _, err = ask([{"uri": bad}], None, "evaluate.unread=wrong")
    assert code == 0, err
    knn = json.loads((tmp_path / "run/evaluate/results/knn/bad.json").read_text())["results"]
    assert {(r["n"], r["n_failed"]) for r in knn} == {(7, 1)}
    some = {f"{i}.png": picture(i, "png") for i in range(5)}
    lines = "".join(f"{i}.png,{'' if i == 4 else 'xy'[i % 2]}\n" for i in range(5))
    made(tmp_path / "some", {**some, "set.csv": f"image,label\n{lines}".encode()})
    code, _, err = ask([{"annotations": str(tmp_path / "some/set.csv")}], None, f"run={tmp_path / 'other'}")
    assert code == 0, err
    knn = json.loads((tmp_path / "other/evaluate/results/knn/set.json").read_text())["results"]
    assert {(r["n"], r["parameters"]["unlabelled"]) for r in knn if not r["sanity"]} == {(4, 1)}


def test_tars_are_counted_when_they_were_read(tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    import tarfile

    with tarfile.open(tmp_path / "test.tar", "w") as tar:
        for i in range(2):
            for suffix, data in (("png", picture(i, "png")), ("cls", b"banded")):
                info = tarfile.TarInfo(f"{i}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    code, _, err = ask([{"uri": str(tmp_path / "test.tar"), "recipe": "dtd"}])
    assert code == FAILED, err
    one_message(err, "recipe=dtd: 2 images", "has 1880")


def test_hostile_names_break_neither_files_nor_page_nor_terminal(
    tmp_path: Path, ask: Callable[..., tuple[int, str, str]]
) -> None:
    chosen = [text for text in ALL if text.strip() and text != "\0"][::3]
    for k, text in enumerate(chosen):
        for i in range(2):
            file = tmp_path / "host" / file_name(f"{k}{text}") / file_name(f"{i}{text}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(2 * k + i, "png", (32, 32)))
    odd = os.fsencode(tmp_path / "host") + b"/\xff\xfe"
    os.mkdir(odd)
    for name in (b"\xff.png", b"\xfe.png"):
        Path(os.fsdecode(odd + b"/" + name)).write_bytes(picture(900 + name[0], "png", (32, 32)))
    code, out, err = ask([{"uri": str(tmp_path / "host"), "name": "host"}])
    assert code == 0, err
    _harmless(tmp_path / "run", out)
    table = pq.read_table(tmp_path / "run/evaluate/samples/knn/host.parquet")
    ids = set(table["sample_id"].to_pylist())
    assert len(ids) == 2 * len(chosen) + 2
    assert {"\\udcff\\udcfe/\\udcff.png", "\\udcff\\udcfe/\\udcfe.png"} <= ids


def test_hostile_captions(tmp_path: Path, ask: Callable[..., tuple[int, str, str]]) -> None:
    images = [{"id": k, "file_name": f"{k}.png"} for k in range(len(ALL))]
    made(tmp_path / "caps", {i["file_name"]: picture(k, "png", (32, 32)) for k, i in enumerate(images)})
    told = {"images": images, "annotations": [{"image_id": k, "caption": f"x {t}"} for k, t in enumerate(ALL)]}
    (tmp_path / "caps/a.json").write_text(json.dumps(told))
    settings = {"uri": str(tmp_path / "caps"), "annotations": str(tmp_path / "caps/a.json"), "name": "caps"}
    code, out, err = ask([settings], [{"network": "lite_text"}])
    assert code == 0, err
    _harmless(tmp_path / "run", out)
    table = pq.read_table(tmp_path / "run/evaluate/samples/retrieval/caps.parquet")
    assert table.num_rows == 2 * len(ALL)


def _harmless(run: Path, out: str) -> None:
    assert out.replace("\n", "").isprintable()
    page = (run / "evaluate/evaluation.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not {"\x1b", "\x9b", "\u202e", "\u2066"} & set(page)
    for file in (run / "evaluate/results").rglob("*.json"):
        assert json.loads(file.read_text())["results"]
