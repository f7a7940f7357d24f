"""RefCOCO's three data sets and COCO in small, as they are handed out, and a run that was grounded on them."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from tests.pictures import picture
from tests.pipelines import grounding
from tests.refer import SIZE, annotation, file_name, instances, ref, write

NUMBERS = {"refcoco": 100, "refcoco+": 200, "refcocog": 300}  # from which a data set's images count
BY = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
TEST = "refcoco/unc/val", "refcoco+/unc/testA", "refcocog/umd/val", "coco-val"
SHARED = 103  # a test image of RefCOCO that COCO's instances have too


def refs(dataset: str) -> list[dict[str, Any]]:
    """Six images to train on, two for each split to test on."""
    first = NUMBERS[dataset]
    splits = [*["train"] * 6, *["val"] * 2, *(["test"] * 2 if dataset == "refcocog" else ["testA"] * 2)]
    order = [first + n for n in (0, 1, 2, 5, 6, 7, 3, 4, 8, 9)]
    return [
        ref(n % 20 + 1, image, split, f"the {n} on the left", f"cat {image}", annotation=image)
        for n, (image, split) in enumerate(zip(order, splits, strict=True))
    ]


def files(folder: Path) -> dict[str, str]:
    """Where all lies: uri and images of REFER's data sets, and the instances of COCO."""
    for dataset, by in BY.items():
        rows = refs(dataset)
        write(folder, rows, dataset, by)
        numbers = [r["image_id"] for r in rows]
        objects = [annotation(n % 20 + 1, n) | {"id": n} for n in numbers]
        (folder / "data" / dataset / "instances.json").write_text(json.dumps(instances(numbers, objects)))
    for name, numbers in (("instances_train.json", [SHARED, 401, 402, 403]), ("instances_val.json", [501, 502])):
        for number in numbers:
            (folder / "images/train2014" / file_name(number)).write_bytes(picture(number, size=SIZE))
        objects = [annotation(1, n, category_id=1 + n % 2) | {"id": n} for n in numbers]
        named = instances(numbers, objects, categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])
        (folder / name).write_text(json.dumps(named))
    return {"uri": str(folder / "data"), "images": str(folder / "images"), "coco": str(folder)}


def sets(at: Mapping[str, str]) -> dict[str, Any]:
    """Settings: all three data sets and COCO to train on, and a part of each to test on."""
    refer = {"layout": "refer", "uri": at["uri"], "images": at["images"], "published": False}
    coco = {"layout": "coco", "images": at["images"]}
    train = [{**refer, "dataset": name} for name in BY]
    test = [{**refer, "dataset": d, "split": s} for d, s in zip(BY, ("val", "testA", "val"), strict=True)]
    return {
        "expressions__train": [*train, {**coco, "uri": f"{at['coco']}/instances_train.json"}],
        "expressions__test": [*test, {**coco, "uri": f"{at['coco']}/instances_val.json", "name": "coco-val"}],
        "ground__min_pixels": 1024,
        "ground__max_pixels": 1024,
        "ground__optim__steps": 4,
    }


def said(*words: str) -> tuple[int, str, str]:
    """The exit code of a command in this process, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("os.fsync", lambda _: None)
        patch.delenv("PREFECT_API_URL", raising=False)
        code = main(list(words))
    return code, out.getvalue(), err.getvalue()


def words(run: Path, student: str, at: Mapping[str, str], **changes: Any) -> list[str]:
    return grounding.words(run, student, **(sets(at) | changes))
