"""COCO's instances: which images there are, and which objects they have, with boxes and masks in our form.

Legend: H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.data.annotations import json_of, read_text
from siglino_core.grounding.data import rle
from siglino_core.grounding.data.polygons import filled

MOST_SIDE = 1 << 15
UNUSED = frozenset({"segmentation", "bbox", "coco_url", "flickr_url"})  # most of a file, to count its images
MOST = 1e9  # of a box's numbers; NaN is not below it
T = TypeVar("T", "CocoImage", "CocoObject")


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoImage:
    """An image of the file: the number that it has in COCO, the name of its file, and its size in pixels."""

    number: int
    file: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoObject:
    """An object of an image; ``box`` and ``region`` are as they are stored, and not looked at yet."""

    number: int
    image: int
    category: int
    crowd: bool
    box: Any
    region: Any


@dataclass(frozen=True, kw_only=True)
class Instances:
    """A file of instances; images and objects by their numbers, in the file's order.

    Attributes:
        categories: names by number, in the order of the numbers.
    """

    url: str
    images: Mapping[int, CocoImage]
    objects: Mapping[int, CocoObject]
    categories: Mapping[int, str]


def read_instances(uri: str) -> Instances:
    """Read a JSON of COCO's form.

    Raises:
        DataError: it is none, two images or two objects have one number, or an object is of no image.
        StoreError: the store does not answer.
    """
    text = read_text(uri)
    stored = json_of(text)
    lists = {name: stored.get(name) if isinstance(stored, dict) else None for name in ("images", "annotations")}
    if not all(isinstance(v, list) for v in lists.values()):
        raise DataError(f"annotations={text.url} is no COCO instances JSON: it needs lists `images` and `annotations`")
    where = f"annotations={text.url}"
    images = _by_number([_image(row, f"{where}: image {i}") for i, row in enumerate(lists["images"] or ())], where)
    objects = _by_number(
        [_object(row, f"{where}: object {i}") for i, row in enumerate(lists["annotations"] or ())], where
    )
    for one in objects.values():
        if one.image not in images:
            raise DataError(f"{where}: object {one.number} is of image {one.image}, which the file does not have")
    categories = _categories(stored.get("categories"), where)
    for one in objects.values():
        if one.category not in categories:
            raise DataError(f"{where}: object {one.number} is of category {one.category}, which has no name")
    return Instances(url=text.url, images=images, objects=objects, categories=categories)


def count_images(uri: str) -> int:
    """How many images a JSON of COCO's form has; what it says of them is not looked at.

    Raises:
        DataError: it is none.
        StoreError: the store does not answer.
    """
    text = read_text(uri)
    stored = json_of(text, UNUSED)
    images = stored.get("images") if isinstance(stored, dict) else None
    if not isinstance(images, list):
        raise DataError(f"annotations={text.url} is no COCO instances JSON: it needs a list `images`")
    return len(images)


def _categories(stored: Any, where: str) -> dict[int, str]:
    if not isinstance(stored, list):
        raise DataError(f"{where} has no list `categories`. Fetch it again.")
    rows = sorted((_whole(c, "id", where), _text(c, "name", where)) for c in stored)
    if len(dict(rows)) < len(rows):
        raise DataError(f"{where}: two categories have one number. Fetch it again.")
    return dict(rows)


def box_of(one: CocoObject, image: CocoImage) -> np.ndarray | None:
    """The box from x, y, width and height, float32 [4], half-open and cut at the image's edges; None: it is empty.

    COCO's boxes reach a few hundredths of a pixel beyond their images.

    Raises:
        DataError: it is no four finite numbers.
    """
    box = one.box
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) and abs(v) < MOST for v in box):
        raise DataError(f"object {one.number} has no box of four finite numbers (x, y, width, height)")
    left, top, width, height = (float(v) for v in box)
    edges = [left, top, left + width, top + height]
    cut = np.clip(edges, 0, [image.width, image.height] * 2).astype(np.float32)
    return cut if width > 0 and height > 0 and cut[0] < cut[2] and cut[1] < cut[3] else None


def mask_of(one: CocoObject, image: CocoImage) -> np.ndarray | None:
    """The mask from its outlines or runs, bool [H, W]; None: not one pixel is inside.

    Raises:
        DataError: it is neither, or of another size than the image.
    """
    region = one.region
    try:
        if isinstance(region, list):
            if not all(isinstance(outline, list) for outline in region):
                raise DataError("its outlines are no lists of numbers")
            mask_HW = filled(region, image.height, image.width)
        elif isinstance(region, dict):
            mask_HW = _runs(region, image)
        else:
            raise DataError("it has no segmentation")
    except DataError as e:
        raise DataError(f"object {one.number} of image {image.number}: {e}") from e
    return mask_HW if mask_HW.any() else None


def _runs(region: Mapping[str, Any], image: CocoImage) -> np.ndarray:
    if region.get("size") != [image.height, image.width]:
        raise DataError(f"its mask is not of the image's size, {image.height} x {image.width} rows and columns")
    counts = region.get("counts")
    if isinstance(counts, list):
        return rle.decode_runs(counts, image.height, image.width)
    if isinstance(counts, str):
        return rle.decode(counts, image.height, image.width)
    raise DataError("its mask has no counts")


def _image(row: Any, where: str) -> CocoImage:
    width, height = _whole(row, "width", where), _whole(row, "height", where)
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE):
        raise DataError(f"{where} has {width} x {height} pixels: each side has 1 to {MOST_SIDE}")
    number, file = _whole(row, "id", where), _text(row, "file_name", where)
    return CocoImage(number=number, file=file, width=width, height=height)


def _object(row: Any, where: str) -> CocoObject:
    numbers = [_whole(row, name, where) for name in ("id", "image_id", "category_id")]
    return CocoObject(
        number=numbers[0],
        image=numbers[1],
        category=numbers[2],
        crowd=bool(row.get("iscrowd")),
        box=row.get("bbox"),
        region=row.get("segmentation"),
    )


def _by_number(rows: list[T], where: str) -> dict[int, T]:
    found = {row.number: row for row in rows}
    if len(found) < len(rows):
        raise DataError(f"{where}: two images or two objects have one number. Fetch it again.")
    return found


def _whole(row: Any, name: str, where: str) -> int:
    value = row.get(name) if isinstance(row, dict) else None
    if type(value) is not int:
        raise DataError(f"{where} has no whole number `{name}`. Fetch it again.")
    return value


def _text(row: Any, name: str, where: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} has no text `{name}`. Fetch it again.")
    return value
