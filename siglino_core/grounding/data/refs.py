"""The expressions of RefCOCO, RefCOCO+ and RefCOCOg as their authors hand them out: ``refs(unc).p`` and its kin."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.foreign import printable
from siglino_core.pickles import plain
from siglino_core.pools.listing import CLOSED
from siglino_core.pools.location import find
from siglino_core.store import Files

MAX_BYTES = 1 << 28  # of the pickle; the largest has 30 MB
MOST_SENTENCES = 2_000_000  # the same list may stand in a pickle many times over
DATASETS = {"refcoco": ("unc", "google"), "refcoco+": ("unc",), "refcocog": ("umd", "google")}
"""Who split each data set; the first is what results are reported on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """An object of an image, and what people called it.

    Attributes:
        number, annotation, image: of the reference, of the object and of the image, as in ``instances.json``.
        split: train, val, test, testA or testB.
        sentences: as they were cleaned (``sent``); where nothing was left, as they were written (``raw``), which may
            be without words too.
    """

    number: int
    annotation: int
    image: int
    split: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefsFile:
    """A file of references as it lies there."""

    url: str
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return hashlib.sha256(self.data).hexdigest()


def refs_there(root: str) -> list[tuple[str, str]]:
    """The data sets that are there, each by the split that results are reported on.

    Raises:
        ConfigError, DataError: it is no folder that can be read, or a part of it may not be looked into.
        StoreError: the store does not answer.
    """
    with named("refs"):
        location, listing = find(root)
    if listing.passed[CLOSED]:
        raise DataError(
            f"refs={location.public}: {listing.passed[CLOSED]} of its folders may not be looked into, so that nobody "
            "knows which test images there are. Check their rights."
        )
    return [(name, by[0]) for name, by in DATASETS.items() if f"{name}/{_file_name(by[0])}" in listing.sizes]


def is_there(root: str, dataset: str, split_by: str) -> bool:
    """Whether a data set's references lie there, as far as can be seen."""
    return Files(root).exists(f"{dataset}/{_file_name(split_by)}")


def _file_name(split_by: str) -> str:
    return f"refs({split_by}).p"


def read_refs(root: str, dataset: str, split_by: str) -> list[Ref]:
    """All references of a data set, in the file's order.

    Args:
        root: the folder with a folder a data set.
        split_by: unc, google or umd.

    Raises:
        ConfigError: there is no such data set or split.
        DataError: the file is not there, holds anything but plain values, or is not of this form.
        StoreError: the store does not answer.
    """
    return parsed(refs_file(root, dataset, split_by))


def refs_file(root: str, dataset: str, split_by: str) -> RefsFile:
    """The file of a data set's references, not looked into yet.

    Args:
        root: the folder with a folder a data set.
        split_by: unc, google or umd.

    Raises:
        ConfigError: there is no such data set or split.
        DataError: the file is not there, or too long.
        StoreError: the store does not answer.
    """
    require_known(dataset, split_by)
    name = _file_name(split_by)
    uri = f"{root.rstrip('/')}/{dataset}"
    with named("refs"):
        location, listing = find(uri)
    url = location.url(name)
    if name not in listing.sizes:
        raise DataError(f"{url} is not there. Unpack {dataset}.zip of the REFER data sets to {location.public}.")
    data = location.read(name, MAX_BYTES)
    if len(data) > MAX_BYTES:
        raise DataError(f"{url} has more than {MAX_BYTES} bytes, which no such file has. Fetch it again.")
    return RefsFile(url=url, data=data)


def parsed(file: RefsFile) -> list[Ref]:
    """The references of a file, in its order.

    Raises:
        DataError: it holds anything but plain values, or is not of this form.
    """
    url = file.url
    try:
        stored = plain(file.data)
    except pickle.UnpicklingError as e:
        raise DataError(f"{url} is no pickle of plain values ({e}). Fetch it again from its authors.") from e
    if not isinstance(stored, list):
        raise DataError(f"{url} holds a {type(stored).__name__} instead of a list of references. Fetch it again.")
    return list(_refs(stored, url))


def require_known(dataset: str, split_by: str) -> None:
    """Raises ConfigError unless there is such a data set, split by them."""
    if dataset not in DATASETS:
        raise ConfigError(
            f"dataset={printable(dataset, 60)}: there is no such data set; there are {', '.join(DATASETS)}"
        )
    if split_by not in DATASETS[dataset]:
        known = " and ".join(DATASETS[dataset])
        raise ConfigError(f"split_by={printable(split_by, 60)}: {dataset} was split by {known}")


def _refs(stored: list[Any], url: str) -> Iterator[Ref]:
    total = 0
    for i, row in enumerate(stored):
        where = f"{url}: reference {i}"
        if not isinstance(row, dict):
            raise DataError(f"{where} is a {type(row).__name__} instead of a dict. Fetch it again.")
        numbers = [_whole(row.get(name), name, where) for name in ("ref_id", "ann_id", "image_id")]
        split, sentences = row.get("split"), row.get("sentences")
        if not isinstance(split, str) or not isinstance(sentences, list):
            raise DataError(f"{where} has no `split`, or no list of `sentences`. Fetch it again.")
        total += len(sentences)
        if total > MOST_SENTENCES:
            raise DataError(f"{url} has more than {MOST_SENTENCES} sentences, which no such file has. Fetch it again.")
        yield Ref(
            number=numbers[0],
            annotation=numbers[1],
            image=numbers[2],
            split=split,
            sentences=tuple(_sentence(s, where) for s in sentences),
        )


def _sentence(stored: Any, where: str) -> str:
    for name in ("sent", "raw"):
        text = stored.get(name, "") if isinstance(stored, dict) else None
        if not isinstance(text, str):
            raise DataError(f"{where} has a sentence that is no text. Fetch it again.")
        if words := " ".join(text.split()):
            return words
    return ""


def _whole(value: Any, name: str, where: str) -> int:
    if type(value) is not int:
        raise DataError(f"{where} has a {type(value).__name__} for `{name}` instead of a whole number. Fetch it again.")
    return value
