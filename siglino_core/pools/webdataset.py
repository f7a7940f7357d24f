"""Pools that are tars of samples: members of one name and different suffixes belong together."""

import contextlib
import tarfile
from collections.abc import Iterator
from itertools import islice
from typing import Any

from siglino_core.config import SourceConfig
from siglino_core.images.reasons import too_many_bytes
from siglino_core.pools.location import Location
from siglino_core.pools.record import Found, Refused, from_json, from_text, is_image, suffix
from siglino_core.store import Shard
from siglino_core.store.files import reported

BLOCK = 512  # bytes; a tar's unit
MAX_TEXT = 1 << 20  # bytes of a caption, label or JSON member; longer ones are passed over
MAX_IMAGES = 64  # in one sample; more are several samples whose names share what stands before the first dot
SAMPLED = 200  # members that are looked at to guess how many images a pool's tars hold


class _BadTar(Exception):  # noqa: N818
    """The tar itself is damaged: (reason, message)."""


def plan(files: dict[str, int], bytes_per_image: float) -> Iterator[Shard]:
    """A shard a tar; ``rows`` is a guess from its length."""
    for name, size in files.items():
        yield {"file": name, "rows": max(1, round(size / bytes_per_image))}


def bytes_per_image(location: Location, name: str) -> float:
    """Bytes of tar an image takes, from the first members of one tar."""
    images = end = 0
    with reported(location.url(name)), location.open(name) as f, contextlib.suppress(_BadTar):
        for member in islice(_members(f), SAMPLED):
            images += is_image(member.name)
            end = member.offset_data + member.size
    return max(BLOCK, end) / max(1, images)


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused]:
    """The images of a tar, in its order; what is wrong with the tar itself is the last row, and one only.

    Raises:
        StoreError: the tar has gone or cannot be read.
    """
    name = shard["file"]
    url = location.url(name)
    fault: _BadTar | None = None
    with reported(url), location.open(name) as f:
        group = _Group(url, config, "")
        try:
            for member in _members(f):
                if _key(member.name) != group.key or len(group.images) == MAX_IMAGES:
                    yield from group.rows()
                    group = _Group(url, config, _key(member.name))
                group.add(member, f)
        except _BadTar as e:
            fault = e
        yield from group.rows()
    if fault is not None:
        reason, error = fault.args
        yield Refused(uri=url, key=name, reason=reason, error=f"{error}; what lies before that was read")


def _members(f: Any) -> Iterator[tarfile.TarInfo]:
    """The tar's files, without keeping them all in memory as `tarfile` does.

    Raises:
        _BadTar: after the last readable member, unless the tar ends as it should.
    """
    try:
        tar = tarfile.open(fileobj=f, mode="r:")  # noqa: SIM115
    except tarfile.TarError as e:
        size = f.seek(0, 2)
        raise _BadTar("truncated_tar" if size < BLOCK else "corrupt_tar", f"no tar of {size} bytes: {e}") from e
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]
            if member.isreg():
                yield member
    except tarfile.TarError as e:
        raise _BadTar("truncated_tar", f"{e}") from e
    # `tarfile` stops in silence at whatever is no header; a whole tar has a block of zeros there.
    f.seek(tar.offset)
    block = f.read(BLOCK)
    if len(block) < BLOCK:
        raise _BadTar("truncated_tar", "it lacks its end mark, so that members may be missing")
    if any(block):
        raise _BadTar("corrupt_tar", f"no member begins at byte {tar.offset}, as one should")


def _key(name: str) -> str:
    folder, slash, base = name.removeprefix("./").rpartition("/")
    return folder + slash + base.partition(".")[0]


class _Group:
    """The members of one sample: its images, caption and label."""

    def __init__(self, url: str, config: SourceConfig, key: str) -> None:
        self.key = key
        self.images: list[tuple[tarfile.TarInfo, bytes | None]] = []
        self._url = url
        self._config = config
        self._texts: dict[str, bytes] = {}

    def add(self, member: tarfile.TarInfo, f: Any) -> None:
        kind = suffix(member.name)
        if is_image(member.name):
            fits = member.size <= self._config.max_bytes
            self.images.append((member, _data(member, f) if fits else None))
        elif kind in ("txt", "json", "cls") and member.size <= MAX_TEXT:
            self._texts[kind] = _data(member, f)

    def rows(self) -> Iterator[Found | Refused]:
        caption, label = from_json(self._texts.get("json", b""), self._config)
        caption = from_text(self._texts.get("txt", b"")) or caption
        label = from_text(self._texts.get("cls", b"")) or label
        for member, data in self.images:
            key = self.key if len(self.images) == 1 else member.name.removeprefix("./")
            if data is None:
                bad = too_many_bytes(member.size, self._config.max_bytes)
                yield Refused(uri=self._url, key=key, reason=bad.reason, error=bad.message)
            else:
                yield Found(uri=self._url, key=key, offset=member.offset_data, data=data, caption=caption, label=label)


def _data(member: tarfile.TarInfo, f: Any) -> bytes:
    f.seek(member.offset_data)
    data = f.read(member.size)
    if len(data) < member.size:
        raise _BadTar("truncated_tar", f"it ends within {member.name}")
    return data
