"""RefCOCO in small for tests: pickles, instances and images as they are handed out."""

import json
import pickle
from pathlib import Path
from typing import Any

from tests.pictures import picture

SIZE = (48, 32)


def file_name(number: int) -> str:
    return f"COCO_train2014_{number:012}.jpg"


def ref(number: int, image: int, split: str, *sentences: str, annotation: int | None = None) -> dict[str, Any]:
    """A reference to the object of its own number."""
    return {
        "ref_id": number,
        "ann_id": number if annotation is None else annotation,
        "image_id": image,
        "category_id": 1,
        "split": split,
        "file_name": f"COCO_train2014_{image:012}_{number}.jpg",
        "sent_ids": list(range(len(sentences))),
        "sentences": [
            {"sent_id": i, "sent": s, "raw": s.upper(), "tokens": s.split()} for i, s in enumerate(sentences)
        ],
    }


def annotation(number: int, image: int, **change: Any) -> dict[str, Any]:
    """An object of 10 x 8 pixels at (number, 4)."""
    left = float(number)
    corners = [left, 4.0, left + 10, 4.0, left + 10, 12.0, left, 12.0]
    found = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [left, 4.0, 10.0, 8.0]}
    return found | {"segmentation": [corners]} | change


def instances(numbers: list[int], annotations: list[dict[str, Any]], **change: Any) -> dict[str, Any]:
    rows = [{"id": i, "file_name": file_name(i), "width": SIZE[0], "height": SIZE[1]} for i in numbers]
    return {"images": rows, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]} | change


def write(
    root: Path, refs: list[dict[str, Any]], dataset: str = "refcoco", split_by: str = "unc", protocol: int = 0
) -> tuple[str, str]:
    """The folder of the data sets, and that of the images."""
    folder = root / "data" / dataset
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"refs({split_by}).p").write_bytes(pickle.dumps(refs, protocol))
    numbers = sorted({r["image_id"] for r in refs})
    stored = instances(numbers, [annotation(r["ann_id"], r["image_id"]) for r in refs])
    (folder / "instances.json").write_text(json.dumps(stored))
    images = root / "images" / "train2014"
    images.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (images / file_name(number)).write_bytes(picture(number, size=SIZE))
    return str(root / "data"), str(root / "images")
