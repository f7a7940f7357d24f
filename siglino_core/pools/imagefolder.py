"""Pools that are folders of images, with captions and labels in files beside them, in metadata files, or in folders."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from siglino_core.config import Keep, SourceConfig
from siglino_core.errors import DataError, UnreadableError
from siglino_core.pools import metadata
from siglino_core.pools.joining import NO_IMAGE, Joined, join
from siglino_core.pools.labels import folder_label, shared_folders
from siglino_core.pools.location import Location
from siglino_core.pools.record import (
    MAX_TEXT,
    TOO_LONG,
    Found,
    Passed,
    Refused,
    described,
    object_of,
    require_keys,
    too_long,
)
from siglino_core.store import Shard
from siglino_core.store.files import reported

WINDOW_FILES, WINDOW_BYTES = 32, 64 << 20  # how far files are read ahead of their use
SAMPLED = 200  # files and rows that are looked at for a key
ROW = "row"  # the kind of a text that is a row of a metadata file


def belongs(files: dict[str, int], config: SourceConfig) -> Joined:
    """The files that are images, each with its texts, and what is left out."""
    joined = join(files, config.image_column)
    long = {text for texts in joined.images.values() for text in texts.values() if files[text] > MAX_TEXT}
    if not long:
        return joined
    images = {n: {k: t for k, t in texts.items() if t not in long} for n, texts in joined.images.items()}
    return Joined(images, joined.passed | dict.fromkeys(long, TOO_LONG))


def look(location: Location, tables: Sequence[str], joined: Joined, config: SourceConfig) -> None:
    """Refuse a key that is asked for and that the first of the files beside the images do not have.

    Raises:
        ConfigError: which one.
    """
    if not (config.caption_column or config.label_column):
        return
    names = list(islice((t["json"] for t in joined.images.values() if "json" in t), SAMPLED))
    values = [object_of(_short(data)) for data in location.read_many(names, MAX_TEXT)]
    for name in tables:
        with location.open(name) as f, reported(location.url(name)):
            values += metadata.first(name, metadata.lines_of(f), SAMPLED)
    require_keys(values, config, location.public)


def rows(location: Location, names: Sequence[str], joined: Joined) -> tuple[dict[str, list[Any]], Counter[str]]:
    """Where the metadata files ``names`` tell of the images: [file, first byte, length] by image; and other rows.

    Raises:
        DataError: a file cannot be read, or tells of no image at all.
    """
    found: dict[str, list[Any]] = {}
    passed: Counter[str] = Counter()
    for name in names:
        others: Counter[str] = Counter()
        read = 0
        with location.open(name) as f, reported(location.url(name)):
            for image, start, length in metadata.spans(name, metadata.lines_of(f), joined.images, others):
                read += 1
                others[metadata.REPEATED] += image in found
                found[image] = [name, start, length]
        if not read + others[NO_IMAGE]:
            raise DataError(
                f"{location.url(name)} names no image. Its rows need a {metadata.FILE_NAME}, in UTF-8, and in a CSV "
                "commas between values. Mend it, or move it away."
            )
        passed.update(others)
    return found, +passed


def plan(
    files: dict[str, int],
    joined: Joined,
    metadata_rows: dict[str, list[Any]],
    rows_per_shard: int,
    passed: Mapping[str, int] | None = None,
) -> Iterator[Shard]:
    """Shards of whole images; ``files`` holds [name, bytes, texts], and a text is [kind, file, first byte, length].

    Args:
        passed: what was left out of the metadata files, by what it is: the first shard counts it.
    """
    images, shared = iter(joined.images.items()), shared_folders(joined.images)
    while chunk := list(islice(images, rows_per_shard)):
        entries = []
        for name, texts in chunk:
            beside = [[kind, text, 0, files[text]] for kind, text in sorted(texts.items())]
            beside += [[ROW, *metadata_rows[name]]] if name in metadata_rows else []
            entries.append([name, files[name], beside])
        yield {"files": entries, "rows": len(entries), "shared": shared, "passed": dict(passed or {})}
        passed = None


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused | Passed]:
    """The images of a shard.

    Raises:
        StoreError: a file has gone, or the store does not answer.
    """
    for what, times in shard["passed"].items():
        yield Passed(uri=location.public, key="", what=what, times=times)
    window: list[Any] = []
    heads: dict[str, bytes] = {}
    for entry in shard["files"]:
        if len(window) == WINDOW_FILES or sum(e[1] for e in window) > WINDOW_BYTES:
            yield from _window(location, window, heads, config, shard["shared"])
            window = []
        window.append(entry)
    yield from _window(location, window, heads, config, shard["shared"])


def _window(
    location: Location, window: list[Any], heads: dict[str, bytes], config: SourceConfig, shared: str
) -> Iterator[Found | Refused]:
    fit = [entry for entry in window if entry[1] <= config.max_bytes]
    beside = [text for _, _, texts in window for text in texts]
    images = location.read_many([name for name, _, _ in fit], config.max_bytes)
    contents = location.read_many([text[1] for text in beside if text[0] != ROW], MAX_TEXT)
    values = _values(location, [text[1:] for text in beside if text[0] == ROW], heads)
    for name, size, texts in window:
        url = location.url(name)
        found = {kind: _short(next(contents)) for kind, *_ in texts if kind != ROW}
        row = next(values) if any(kind == ROW for kind, *_ in texts) else {}
        caption, label, captions = described(found, row, config)
        label = label or folder_label(name, config, shared)
        known: dict[str, Any] = {"label": label, "captions": captions}
        if size > config.max_bytes:
            yield too_long(url, name, size, config, **known)
            continue
        data = next(images)
        if config.keep is Keep.POINTER and not _is_text(name):
            error = "its name is no text, and no pointer leads to it. Rename it, or set source.keep=bytes"
            yield Refused(uri=url, key=name, reason="unreadable", error=error, **known)
        elif isinstance(data, UnreadableError):
            yield Refused(uri=url, key=name, reason="unreadable", error=str(data), **known)
        elif len(data) > config.max_bytes:  # longer than when it was listed
            yield too_long(url, name, len(data), config, **known)
        else:
            yield Found(uri=url, key=name, data=data, caption=caption, **known)


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _short(text: bytes | UnreadableError) -> bytes:
    return text if isinstance(text, bytes) and len(text) <= MAX_TEXT else b""


def _values(location: Location, places: list[Any], heads: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    """The metadata rows at [file, first byte, length], in order; a file is opened once for neighbours."""
    for file, group in groupby(places, key=lambda place: place[0]):
        with location.open(file) as f, reported(location.url(file)):
            if file not in heads:
                heads[file] = f.readline(metadata.MAX_ROW)
            for _, start, length in group:
                f.seek(start)
                yield metadata.row(file, heads[file], f.read(length))
