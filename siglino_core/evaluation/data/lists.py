"""Data sets whose splits stand in lists beside the images, as those of CUB, Food-101, DTD, Aircraft and Flowers do."""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.evaluation.data.entries import Entry, EntrySplit
from siglino_core.evaluation.data.label_ids import class_order
from siglino_core.hashing import fingerprint
from siglino_core.pools.listing import Listing
from siglino_core.pools.location import Location, find

MOST = 64 << 20  # bytes of a list
NOT_LISTED = "image_of_no_list_or_another"


class Lines(StrEnum):
    PATHS = "paths"  # class/name, with or without the suffix
    LABELLED = "labelled"  # name, a space, the class
    CUB = "cub"  # images.txt: id path; train_test_split.txt: id 1 or 0
    FLOWERS = "flowers"  # MATLAB files: numbers of images, and the class of every number from 1


@dataclass(frozen=True, kw_only=True)
class Lists:
    """How a data set's lists are written.

    Attributes:
        files: the lists, relative to the data set's folder.
        images: folder of the images, relative to it.
        suffix: what a list's names lack of the files'.
        key: of CUB, 1 for training and 0 for the test; of Flowers, trnid, valid or tstid.
    """

    lines: Lines
    files: tuple[str, ...]
    images: str
    suffix: str = ""
    key: str = ""


def root_of(listing: Listing, lists: Lists) -> str | None:
    """The folder, below the one that was listed, that all lists are in, with a slash; None: they are not there.

    Raises:
        DataError: they are there more than once.
    """
    first = lists.files[0]
    ends = [n.removesuffix(first) for n in listing.sizes if n == first or n.endswith(f"/{first}")]
    roots = [root for root in ends if all(root + f in listing.sizes for f in lists.files)]
    if len(roots) > 1:
        raise DataError(f"{listing.folder} has {first} in {len(roots)} folders. Give the folder of one data set.")
    return roots[0] if roots else None


def open_lists(uri: str, lists: Lists) -> EntrySplit | None:
    """A split as the data set's own lists tell it, in their order; None: the lists are not there.

    Labels are the classes as the lists or folders write them.

    Raises:
        ConfigError: a list needs a package that is not installed.
        DataError: a list cannot be read, names a file twice, or is empty.
        StoreError: the store does not answer.
    """
    with named("uri"):
        location, listing = find(uri)
    root = root_of(listing, lists)
    if root is None:
        return None
    entries, digests = _entries(location, root, lists, listing.sizes)
    sizes = [[e.sample_id, e.label, e.size] for e in entries]
    used = {e.file for e in entries}
    others = sum(name.startswith(f"{root}{lists.images}/") and name not in used for name in listing.sizes)
    split = EntrySplit(
        location=location,
        load=partial(_load, uri, lists),
        identity=fingerprint(["lists", lists.key, digests, sizes]),
        classes=class_order(e.label for e in entries),
        passed=+Counter({NOT_LISTED: others}),
    )
    split.__dict__["entries"] = entries  # they are read already
    return split


def _load(uri: str, lists: Lists) -> list[Entry]:
    split = open_lists(uri, lists)
    return list(split.entries) if split else []


def _entries(
    location: Location, root: str, lists: Lists, sizes: Mapping[str, int]
) -> tuple[list[Entry], dict[str, str]]:
    """The images of the split, and what was read of the lists."""
    texts: dict[str, bytes] = {}
    for name in lists.files:
        texts[name] = location.read(root + name, MOST)
        if len(texts[name]) > MOST:
            raise DataError(f"{location.url(root + name)} has more than {MOST} bytes, so it is no list.")
    contents = list(texts.values())
    url = location.url(root + lists.files[0])
    readers: dict[Lines, Callable[[], list[tuple[str, str]]]] = {
        Lines.PATHS: lambda: [(line, line.partition("/")[0]) for line in _lines(contents[0], url)],
        Lines.LABELLED: lambda: [_pair(line, url) for line in _lines(contents[0], url)],
        Lines.CUB: lambda: _cub(contents, lists.key, url),
        Lines.FLOWERS: lambda: _flowers(contents, lists.key, url),
    }
    found: list[Entry] = []
    for name, label in readers[lists.lines]():
        file = f"{lists.images}/{name}{lists.suffix}"
        size = sizes.get(root + file, -1)
        found.append(Entry(sample_id=file, file=root + file, label=label, size=size))
    twice = [name for name, count in Counter(e.sample_id for e in found).items() if count > 1]
    if twice:
        raise DataError(f"{url} names {twice[0]} twice. Fetch it again.")
    if not found:
        raise DataError(f"{url} names no image, so the split is empty. Fetch it again.")
    if all(e.size < 0 for e in found):
        raise DataError(f"{url} names {len(found)} images, and none is there; the first is {found[0].file}.")
    return found, {name: fingerprint(data.hex()) for name, data in texts.items()}


def _lines(data: bytes, url: str) -> list[str]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as e:
        raise DataError(f"{url} is no text in UTF-8 ({e.reason} at byte {e.start}). Fetch it again.") from e
    return [line.strip() for line in lines if line.strip()]


def _pair(line: str, url: str) -> tuple[str, str]:
    name, _, rest = line.partition(" ")
    if not rest.strip():
        raise DataError(f"{url}: the line {line[:80]!r} has no second word. Fetch the file again.")
    return name, rest.strip()


def _cub(contents: list[bytes], key: str, url: str) -> list[tuple[str, str]]:
    paths = dict(_pair(line, url) for line in _lines(contents[0], url))
    parts = dict(_pair(line, url) for line in _lines(contents[1], url))
    if paths.keys() != parts.keys():
        raise DataError(f"{url} and train_test_split.txt tell of different images. Fetch them again.")
    return [(path, path.partition("/")[0]) for i, path in paths.items() if parts[i] == key]


def _flowers(contents: list[bytes], key: str, url: str) -> list[tuple[str, str]]:
    """Labels are the classes' numbers from 0; the files count from 1."""
    splits, labels = _mat(contents[0], url), _mat(contents[1], url)
    if key not in splits or "labels" not in labels:
        raise DataError(f"{url}: it has no {key}, or imagelabels.mat has no labels. Fetch them again.")
    numbers, classes = splits[key].reshape(-1).tolist(), labels["labels"].reshape(-1).tolist()
    outside = [n for n in numbers if not 1 <= n <= len(classes)]
    if outside:
        raise DataError(f"{url}: image {outside[0]} has no label among {len(classes)}. Fetch the files again.")
    return [(f"image_{n:05d}", str(classes[n - 1] - 1)) for n in numbers]


def _mat(data: bytes, url: str) -> dict[str, Any]:
    try:
        from scipy.io import loadmat  # for this data set alone, and no package that is always there
    except ImportError as e:
        raise ConfigError(f"{url} is a MATLAB file: pip install scipy, or give the images in class folders.") from e
    try:
        return loadmat(io.BytesIO(data))
    except Exception as e:  # it raises whatever its parsing runs into
        raise DataError(f"{url} is no MATLAB file ({str(e)[:100]}). Fetch it again.") from e
