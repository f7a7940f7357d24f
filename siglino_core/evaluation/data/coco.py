"""Data sets that a COCO JSON tells of: captions_*.json, instances_*.json, Karpathy's splits of COCO and Flickr30k."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import Text, json_of, named, read_text
from siglino_core.evaluation.data.entries import Entry, EntrySplit
from siglino_core.hashing import fingerprint
from siglino_core.pools.location import find
from siglino_core.pools.record import text

NO_CAPTION, MORE_CAPTIONS, OTHER_SPLIT = "image_without_caption", "caption_beyond_the_most", "image_of_another_split"
OTHER_CLASSES = "image_of_several_classes_or_none"
UNUSED = frozenset({"segmentation", "bbox", "tokens", "sentids", "info", "licenses"})  # most of an instances file
TRAIN = ("train", "restval")  # what training on Karpathy's split of COCO has meant since


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """Which file, and what of it.

    Attributes:
        uri: folder of the images, or one above it.
        splits: of Karpathy's files, those that are wanted; empty: all. COCO's own files hold one split each.
        most: captions an image at most, the first of them; 0: all. COCO has five to seven an image, and papers differ.
        labels: of an instances file, the images whose objects are all of one class; else no labels.
    """

    annotations: str
    uri: str
    splits: tuple[str, ...] = ()
    most: int = 0
    labels: bool = False


@dataclass(frozen=True, kw_only=True)
class _Image:
    file: str
    captions: tuple[str, ...]
    label: str | None = None


def open_coco(file: CocoFile) -> EntrySplit:
    """A COCO JSON as a split: every image that it names, with all its captions, in the file's order.

    ``passed`` counts what is left out: :data:`OTHER_SPLIT`, :data:`MORE_CAPTIONS`, :data:`OTHER_CLASSES`; and images
    without any caption, which stay (:data:`NO_CAPTION`). An image whose file is not there is a sample that cannot be
    read.

    Raises:
        ConfigError: a split that the file does not have.
        DataError: it is no such JSON, an annotation is of no image, or no image's file is there.
        StoreError: the store does not answer.
    """
    passed: Counter[str] = Counter()
    read = read_text(file.annotations)
    images, classes = _images(read, file, passed)
    if not images:
        raise DataError(f"annotations={read.url}: the split is empty, for it names no image. Give another file.")
    with named("uri"):
        location, listing = find(file.uri)
    entries = _placed(images, listing.sizes, read.url, location.public)
    settings = [file.splits, file.most, file.labels]
    split = EntrySplit(
        location=location,
        load=partial(_load, file),
        identity=fingerprint(["coco", read.digest, settings, [[e.sample_id, e.size] for e in entries]]),
        classes=classes,
        passed=passed,
    )
    split.__dict__["entries"] = entries  # they are read already
    return split


def _load(file: CocoFile) -> list[Entry]:
    return list(open_coco(file).entries)


def _images(read: Text, file: CocoFile, passed: Counter[str]) -> tuple[list[_Image], tuple[str, ...]]:
    """The images in the file's order, and the classes of an instances file."""
    stored = json_of(read, UNUSED)
    if not isinstance(stored, dict) or not isinstance(stored.get("images"), list):
        has = ", ".join(list(stored)[:10]) if isinstance(stored, dict) else type(stored).__name__
        raise DataError(
            f"annotations={read.url} is no COCO JSON: it needs a list `images`, and has {has}. Give captions_*.json, "
            "instances_*.json, or Karpathy's dataset_*.json."
        )
    if "annotations" not in stored and _is_karpathy(stored["images"]):
        return _karpathy(read, stored["images"], file, passed), ()
    return _coco(read, stored, file, passed)


def _is_karpathy(images: Sequence[Any]) -> bool:
    return bool(images) and isinstance(images[0], dict) and "sentences" in images[0]


def _karpathy(read: Text, images: Sequence[Any], file: CocoFile, passed: Counter[str]) -> list[_Image]:
    there = Counter(str(image.get("split", "")) for image in images if isinstance(image, dict))
    if file.splits and not any(there[s] for s in file.splits):
        raise ConfigError(f"{read.url} has no split {'/'.join(file.splits)}; it has {', '.join(sorted(there))}.")
    found: list[_Image] = []
    for i, image in enumerate(images):
        name, sentences = _field(read, image, "filename", i), image.get("sentences")
        if not isinstance(sentences, list):
            raise DataError(f"annotations={read.url}: image {i} ({name}) has no list `sentences`. Fetch it again.")
        if file.splits and image.get("split") not in file.splits:
            passed[OTHER_SPLIT] += 1
            continue
        raw = [s.get("raw") if isinstance(s, dict) else s for s in sentences]
        folder = str(image.get("filepath") or "")
        captions = _captions(raw, file.most, passed)
        found.append(_Image(file=f"{folder}/{name}".lstrip("/"), captions=captions))
    return found


def _coco(
    read: Text, stored: Mapping[str, Any], file: CocoFile, passed: Counter[str]
) -> tuple[list[_Image], tuple[str, ...]]:
    names = {_key(read, image, i): _field(read, image, "file_name", i) for i, image in enumerate(stored["images"])}
    if len(names) < len(stored["images"]):
        raise DataError(f"annotations={read.url}: two images have one id. Fetch it again.")
    rows = stored.get("annotations")
    if not isinstance(rows, list):
        raise DataError(f"annotations={read.url} has no list `annotations`, so no captions. Give captions_*.json.")
    raw: dict[Any, list[Any]] = {}
    kinds: dict[Any, set[Any]] = {}
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or row.get("image_id") not in names:
            of = row.get("image_id") if isinstance(row, dict) else row
            raise DataError(
                f"annotations={read.url}: annotation {i} is of image {str(of)[:40]}, which is not among its "
                f"{len(names)} images. The file is mixed up or cut; fetch it again."
            )
        if "caption" in row:
            raw.setdefault(row["image_id"], []).append(row["caption"])
        elif "category_id" in row:
            kinds.setdefault(row["image_id"], set()).add(row["category_id"])
    captioned = bool(raw) or not kinds
    classes = _classes(read, stored) if kinds else {}
    found: list[_Image] = []
    for key, name in names.items():
        label = None
        if file.labels:
            of_image = kinds.get(key, set())
            if len(of_image) != 1:
                passed[OTHER_CLASSES] += 1
                continue
            label = _class_of(read, next(iter(of_image)), classes)
        captions = _captions(raw.get(key, []), file.most, passed) if captioned else ()
        passed[NO_CAPTION] += captioned and not captions
        found.append(_Image(file=name, captions=captions, label=label))
    if file.labels and not found:
        raise DataError(f"annotations={read.url}: no image has objects of one class alone. Leave labels out.")
    passed -= Counter()  # zeros go
    return found, tuple(classes.values()) if file.labels else ()


def _classes(read: Text, stored: Mapping[str, Any]) -> dict[Any, str]:
    rows = stored.get("categories")
    if not isinstance(rows, list) or not all(isinstance(r, dict) and {"id", "name"} <= r.keys() for r in rows):
        raise DataError(f"annotations={read.url} has no list `categories` of ids and names. Fetch it again.")
    return {r["id"]: str(r["name"]) for r in sorted(rows, key=lambda r: r["id"])}


def _class_of(read: Text, key: Any, classes: Mapping[Any, str]) -> str:
    if key not in classes:
        raise DataError(f"annotations={read.url}: category {key} has no name in `categories`. Fetch it again.")
    return classes[key]


def _captions(values: Iterable[Any], most: int, passed: Counter[str]) -> tuple[str, ...]:
    captions = tuple(found for v in values if (found := text(v)) is not None)
    if most and len(captions) > most:
        passed[MORE_CAPTIONS] += len(captions) - most
        return captions[:most]
    return captions


def _key(read: Text, image: Any, i: int) -> int | str:
    key = image.get("id") if isinstance(image, dict) else None
    if not isinstance(key, int | str):
        raise DataError(f"annotations={read.url}: image {i} has no id. Fetch it again.")
    return key


def _field(read: Text, image: Any, name: str, i: int) -> str:
    value = image.get(name) if isinstance(image, dict) else None
    if not isinstance(value, str) or not value:
        raise DataError(f"annotations={read.url}: image {i} has no {name}. Fetch it again.")
    return value


def _placed(images: Sequence[_Image], sizes: Mapping[str, int], url: str, folder: str) -> list[Entry]:
    """Every image with its file: at its own path, or anywhere below, where one file alone has its name.

    Raises:
        DataError: none is there: the images are those of another split.
    """
    by_name: dict[str, list[str]] = {}
    for name in sizes:
        by_name.setdefault(name.rpartition("/")[2], []).append(name)
    entries: list[Entry] = []
    seen: set[str] = set()
    for image in images:
        if image.file in seen:
            raise DataError(f"annotations={url}: two images have the file {image.file}. Fetch it again.")
        seen.add(image.file)
        same = by_name.get(image.file.rpartition("/")[2], [])
        place = image.file if image.file in sizes else same[0] if len(same) == 1 else image.file
        size = sizes.get(place, -1)
        entries.append(Entry(sample_id=image.file, file=place, label=image.label, captions=image.captions, size=size))
    there = sum(e.size >= 0 for e in entries)
    if not there:
        raise DataError(
            f"uri={folder}: none of the {len(entries)} images that {url} names is among its {len(sizes)} files; the "
            f"first is {entries[0].file}. Are they of another split? Give the folder of this one."
        )
    return entries
