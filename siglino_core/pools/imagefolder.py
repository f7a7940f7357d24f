"""Pools that are folders of images, with captions in files of the same name."""

from collections.abc import Iterator
from typing import Any

from siglino_core.config import SourceConfig
from siglino_core.images.reasons import too_many_bytes
from siglino_core.pools.location import Location
from siglino_core.pools.record import Found, Refused, from_json, from_text, is_image, suffix
from siglino_core.store import Shard

WINDOW_FILES, WINDOW_BYTES = 32, 64 << 20  # how far files are read ahead of their use
CAPTIONS = ("txt", "json")
MAX_CAPTION = 1 << 20  # bytes


def belongs(files: dict[str, int]) -> dict[str, int]:
    """The files that are images, or captions of images."""
    stems = {_stem(name) for name in files if is_image(name)}
    return {n: size for n, size in files.items() if is_image(n) or (suffix(n) in CAPTIONS and _stem(n) in stems)}


def plan(files: dict[str, int], rows_per_shard: int) -> Iterator[Shard]:
    """Shards of whole images; ``files`` holds [name, bytes, suffix of the caption file or ""]."""
    images = [name for name in files if is_image(name)]
    for start in range(0, len(images), rows_per_shard):
        chunk = images[start : start + rows_per_shard]
        yield {"files": [[name, files[name], _caption_suffix(name, files)] for name in chunk], "rows": len(chunk)}


def _caption_suffix(name: str, files: dict[str, int]) -> str:
    return next((s for s in CAPTIONS if 0 < files.get(f"{_stem(name)}.{s}", 0) <= MAX_CAPTION), "")


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused]:
    """The images of a shard; the label is the first folder below the root, or else in the JSON file.

    Raises:
        StoreError: a file has gone or cannot be read.
    """
    window: list[Any] = []
    for entry in shard["files"]:
        if len(window) == WINDOW_FILES or sum(e[1] for e in window) > WINDOW_BYTES:
            yield from _window(location, window, config)
            window = []
        window.append(entry)
    yield from _window(location, window, config)


def _window(location: Location, window: list[Any], config: SourceConfig) -> Iterator[Found | Refused]:
    fit = [entry for entry in window if entry[1] <= config.max_bytes]
    images = location.read_many([name for name, _, _ in fit])
    captions = location.read_many([f"{_stem(name)}.{beside}" for name, _, beside in fit if beside])
    for name, size, beside in window:
        if size > config.max_bytes:
            bad = too_many_bytes(size, config.max_bytes)
            yield Refused(uri=location.url(name), key=name, reason=bad.reason, error=bad.message)
            continue
        data, caption, label = next(images), None, None
        if beside == "txt":
            caption = from_text(next(captions))
        elif beside == "json":
            caption, label = from_json(next(captions), config)
        label = name.partition("/")[0] if "/" in name else label
        yield Found(uri=location.url(name), key=name, data=data, caption=caption, label=label)
