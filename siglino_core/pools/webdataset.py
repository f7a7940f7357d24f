"""Pools that are tars of samples: members of one name and different suffixes belong together, in any order."""

import contextlib
import io
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from siglino_core.config import Keep, SourceConfig
from siglino_core.errors import ConfigError, UnreadableError
from siglino_core.pools import metadata
from siglino_core.pools.joining import join, stem
from siglino_core.pools.labels import folder_label
from siglino_core.pools.listing import HIDDEN, IS_HIDDEN
from siglino_core.pools.location import Location
from siglino_core.pools.record import (
    MAX_TEXT,
    TOO_LONG,
    Found,
    Passed,
    Refused,
    described,
    is_image,
    object_of,
    require_keys,
    suffix,
    too_long,
)
from siglino_core.pools.tars import BLOCK, Member, TarFault, compression, members, opened
from siglino_core.store import Shard
from siglino_core.store.files import reported

SAMPLED = 200  # members that are looked at to guess how many images a pool's tars hold
LOOKED_AT = 64 << 20  # bytes of a compressed tar that are unpacked for it
LINKS = 8  # from one to the next
REPLACED = "replaced_by_a_member_of_its_name"
MAX_METADATA = 64 << 20  # bytes of a metadata.jsonl inside a tar


def plan(files: dict[str, int], bytes_per_image: float) -> Iterator[Shard]:
    """A shard a tar; ``rows`` is a guess from its length."""
    for name, size in files.items():
        yield {"file": name, "rows": max(1, round(size / bytes_per_image))}


def most(location: Location, files: dict[str, int], enough: int) -> int | None:
    """How many distinct images tars hold at most, by their lengths; None: ``enough`` or more, or nothing is known.

    A member takes a block for its header and one for its bytes; a link takes less, and is a duplicate. What a
    compressed tar holds, its length does not bound. Tars are opened only where ``enough`` is more than the bound.

    Raises:
        StoreError: a tar has gone or cannot be fetched.
    """
    bound = sum(files.values()) // (2 * BLOCK)
    if enough <= bound:
        return None
    for name in files:
        with contextlib.suppress(UnreadableError), reported(location.url(name)), location.open(name) as f:
            if compression(f.read(8)):
                return None
    return bound


def look(location: Location, files: dict[str, int], config: SourceConfig) -> float:
    """Bytes of tar an image takes, from the first members of one tar that can be read.

    Raises:
        ConfigError: a setting asks for what these tars cannot give.
    """
    names = list(files)
    for name in dict.fromkeys((names[0], names[len(names) // 2], names[-1])):
        end, seen, values = 0, [], []
        with contextlib.suppress(TarFault, UnreadableError), opened(location, name, LOOKED_AT) as tar:
            for member in islice(members(tar.file), SAMPLED):
                seen.append(member.name)
                end = max(end, member.offset + member.size)
                if suffix(member.name) == "json":
                    values.append(object_of(_text(tar.file, member)))
        require_keys(values, config, location.url(name))
        images = len(join([n for n in seen if not HIDDEN.search(n)], config.image_column).images)
        if images:
            return max(BLOCK, end) / images
    return max(BLOCK, sum(files.values()) / len(files))


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused | Passed]:
    """The images of a tar, in its order; what is wrong with the tar itself is the last row, and one only.

    The members are listed first, then read: a caption may stand anywhere in the tar.

    Raises:
        StoreError: the tar has gone or cannot be fetched.
    """
    name = shard["file"]
    url = location.url(name)
    fault: TarFault | None = None
    read = 0
    try:
        with reported(url), opened(location, name) as (f, packed, fault):
            if packed and config.keep is Keep.POINTER:
                raise ConfigError(
                    f"source.keep=pointer: {url} is compressed, and no pointer leads into it. "
                    "Set source.keep=bytes, or unpack the tars."
                )
            found: list[Member] = []
            try:
                found.extend(members(f))
            except TarFault as e:
                fault = fault or e
            for item in _images(f, found, url, config):
                read += isinstance(item, Found)
                yield item
    except UnreadableError as e:
        fault = TarFault("unreadable", str(e))
    if fault is not None:
        error = f"{fault}; what lies before that was read" if read else str(fault)
        lost = max(1, shard.get("rows", 1) - read)
        yield Refused(uri=url, key=name, reason=fault.reason, error=error, images=lost)


def _images(f: Any, found: list[Member], url: str, config: SourceConfig) -> Iterator[Found | Refused | Passed]:
    regular = {m.name for m in found if not m.what}
    found = [m for m in found if m.link != m.name or m.name not in regular]  # as tars have what was given to tar twice
    seen = {m.name: m for m in found}  # of two of one name the last, as tar itself has it
    for m in found:
        if m is not seen[m.name] and is_image(m.name):
            yield Passed(uri=url, key=m.name, what=REPLACED)
    for _ in range(LINKS):
        regular = {name: m for name, m in seen.items() if not m.what}
        seen |= {n: replace(regular[m.link], name=n) for n, m in seen.items() if m.what and m.link in regular}
    hidden = {n: IS_HIDDEN for n in seen if HIDDEN.search(n)}
    joined = join([n for n in seen if n not in hidden and not metadata.is_metadata(n)], config.image_column)
    rows, others = _metadata(f, seen, joined.images)
    stems = Counter(stem(n) for n in joined.images)
    for name in sorted(joined.images, key=lambda n: seen[n].offset):
        member, key = seen[name], stem(name) if stems[stem(name)] == 1 else name
        texts = {kind: _text(f, seen[n]) for kind, n in joined.images[name].items()}
        caption, label, captions = described(texts, rows.get(name, {}), config)
        known: dict[str, Any] = {"label": label or folder_label(name, config), "captions": captions}
        if member.what:
            error = f"{name} is {member.what} and no regular file"
            yield Refused(uri=url, key=key, reason="unreadable", error=error, **known)
        elif member.size > config.max_bytes:
            yield too_long(url, key, member.size, config, **known)
        elif (data := _data(f, member)) is not None:  # else the tar ends within it
            yield Found(uri=url, key=key, offset=member.offset, data=data, caption=caption, **known)
    for name, what in {**joined.passed, **hidden}.items():
        if is_image(name) or what != IS_HIDDEN:
            yield Passed(uri=url, key=name, what=what)
    for what, times in others.items():
        yield Passed(uri=url, key="", what=what, times=times)
    for texts in joined.images.values():
        for name in texts.values():
            if seen[name].size > MAX_TEXT:
                yield Passed(uri=url, key=name, what=TOO_LONG)


def _metadata(
    f: Any, seen: dict[str, Member], images: Container[str]
) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
    """The rows of the tar's metadata files, by image; and how many rows or files were passed over, by what they are."""
    rows: dict[str, dict[str, Any]] = {}
    passed: Counter[str] = Counter()
    for name, member in seen.items():
        if metadata.is_metadata(name) and member.size > MAX_METADATA:
            passed[TOO_LONG] += 1
        elif metadata.is_metadata(name) and not member.what:
            data = _data(f, member) or b""
            head = data.partition(b"\n")[0] + b"\n"
            for image, start, length in metadata.spans(name, metadata.lines_of(io.BytesIO(data)), images, passed):
                passed[metadata.REPEATED] += image in rows
                rows[image] = metadata.row(name, head, data[start : start + length])
    return rows, +passed


def _text(f: Any, member: Member) -> bytes:
    return b"" if member.size > MAX_TEXT or member.what else _data(f, member) or b""


def _data(f: Any, member: Member) -> bytes | None:
    """A member's bytes; None: the tar ends within them."""
    f.seek(member.offset)
    data = f.read(member.size)
    return data if len(data) == member.size else None
