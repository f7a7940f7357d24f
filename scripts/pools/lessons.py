"""What GCompris teaches children with: drawings of its activities, photographs, and paintings in pieces."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from scripts.pools.items import Item

Roots = dict[str, Path]
DRAWN, PHOTOGRAPHED = (".svg", ".svgz"), (".webp",)
OUTLINES = {"geo-country", "geography"}  # of regions: another pool has maps
DRAWN_WORDS = "lang"  # drawings among the photographs
IN_PIECES = {"paintings", "details"}
BETWEEN = {"gcompris", "src", "activities", "core", "resource", "image", "images"}  # folders that say nothing
FOLDER, COMPRESSED, ZSTD = 2, 1, 4  # flags of a bundle's entry


def lessons(roots: Roots) -> Iterator[Item]:
    """The drawings of GCompris, by activity and folder."""
    for label, name, data in _pictures(roots, DRAWN):
        if label.split("/")[0] not in OUTLINES:
            yield Item(label=label, name=name, data=data)


def photos(roots: Roots) -> Iterator[Item]:
    """The photographs of GCompris by activity and folder; pieces of paintings and of views by what they are of."""
    for label, name, data in _pictures(roots, PHOTOGRAPHED):
        activity = label.split("/")[0]
        if activity == DRAWN_WORDS:
            continue
        yield Item(label=f"{label}/{whole(Path(name).stem)}" if activity in IN_PIECES else label, name=name, data=data)


def whole(stem: str) -> str:
    """What a piece is of: ``GreatWave_c2`` and ``GreatWave_background`` are of ``GreatWave``."""
    return re.sub(r"[-_](background|[a-z]?\d+)$", "", stem)


def _pictures(roots: Roots, kinds: tuple[str, ...]) -> Iterator[tuple[str, str, bytes]]:
    """Label, name and content of the bundles' files of these kinds."""
    root = roots["gcompris-qt-data"] / "usr/share/gcompris-qt/rcc"
    for bundle in sorted(root.glob("*.rcc")):
        for path, data in unbundle(bundle.read_bytes()):
            *folders, _ = path.split("/")
            label = "/".join(folder for folder in folders if folder not in BETWEEN)
            if label and path.endswith(kinds):
                yield label, path, data


def unbundle(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The files of a bundle of resources as Qt's rcc writes it, by path.

    Raises:
        ValueError: it is no such bundle, or is compressed in a way that is not known here.
    """
    if data[:4] != b"qres":
        raise ValueError("not a bundle of Qt's rcc")
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    width = 14 if version < 2 else 22  # a time follows from version 2 on

    def walk(entry: int, folders: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        at = tree + entry * width
        name, flags, first, second = struct.unpack_from(">IHII", data, at)
        if entry:  # the first is the root, without a name
            (letters,) = struct.unpack_from(">H", data, names + name)
            start = names + name + 6  # behind the length and a hash
            folders = (*folders, data[start : start + 2 * letters].decode("utf-16-be"))
        if flags & FOLDER:
            for child in range(second, second + first):
                yield from walk(child, folders)
            return
        if flags & ZSTD:
            raise ValueError("/".join(folders) + ": compressed by zstd")
        start = contents + second + 4  # behind its length; `first` is country and language
        (length,) = struct.unpack_from(">I", data, start - 4)
        content = data[start : start + length]
        yield "/".join(folders), zlib.decompress(content[4:]) if flags & COMPRESSED else content

    yield from walk(0, ())
