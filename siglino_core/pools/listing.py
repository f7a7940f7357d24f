"""What lies under a folder, file, glob or webdataset's braces: the names and sizes of all files, by one walk."""

import errno
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from fsspec.utils import glob_translate

from siglino_core.errors import DataError
from siglino_core.store.patience import UnansweredError

HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_MOST_EXPANDED = 1_000_000
LINKED_TWICE, IS_HIDDEN, CLOSED = "folder_linked_again", "hidden", "folder_without_access"


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        folder: that the names are relative to: a path of the file system it was asked of.
        sizes: bytes of every file by its name, sorted. What is no regular file, or a link to nothing, stands there
            too: whoever opens it says so.
        passed: what was left out, and how often: :data:`IS_HIDDEN`, :data:`LINKED_TWICE`, :data:`CLOSED`.
    """

    folder: str
    sizes: dict[str, int]
    passed: Counter[str] = field(default_factory=Counter)


def under(fs: Any, path: str, *, local: bool) -> Listing:
    """The files under a folder, file, glob or braces of ``fs``; empty if there is nothing.

    Raises:
        DataError: some of what the braces name is not there.
    """
    if local and os.path.lexists(path) and not os.path.isdir(path):
        folder, _, name = path.rpartition("/")
        return Listing(folder, {name: _size(path)})
    info = _info(fs, path)
    if info is not None and info["type"] == "file":
        folder, _, name = path.rpartition("/")
        return Listing(folder, {name: int(info.get("size") or 0)})
    if info is not None:
        return _tidied(path, *_walked(fs, path, local=local))
    folder, rest = _split(fs, path)
    if _BRACES.search(rest):
        return _expanded(fs, folder, rest, local=local)
    if rest:
        return _matching(fs, folder, rest, local=local)
    return _tidied(path, *_walked(fs, path, local=local)) if not local else Listing(path, {})


def _info(fs: Any, path: str) -> dict[str, Any] | None:
    """What is there, if anything; fsspec's `exists` would take a store that does not answer for an empty one."""
    try:
        return fs.info(path)
    except UnansweredError:
        raise
    except OSError:
        return None


def _is_folder(fs: Any, path: str) -> bool:
    info = _info(fs, path)
    return info is not None and info["type"] == "directory"


def _tidied(folder: str, sizes: dict[str, int], passed: Counter[str]) -> Listing:
    seen = {n: s for n, s in sorted(sizes.items()) if not HIDDEN.search(n)}
    return Listing(folder, seen, passed + Counter({IS_HIDDEN: len(sizes) - len(seen)}))


def _walked(fs: Any, path: str, *, local: bool) -> tuple[dict[str, int], Counter[str]]:
    if local:
        return _walked_here(path)
    try:
        found = fs.find(path, detail=True)
    except FileNotFoundError:
        return {}, Counter()
    return _sizes(found, path), Counter()


def _sizes(found: dict[str, Any], root: str) -> dict[str, int]:
    return {
        name.removeprefix(root).lstrip("/"): int(info.get("size") or 0)
        for name, info in found.items()
        if info["type"] != "directory"
    }


def _walked_here(root: str) -> tuple[dict[str, int], Counter[str]]:
    """A local folder, links followed: every folder once, under its own name if it has one below the root."""
    sizes: dict[str, int] = {}
    passed: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    folders = [""]
    while folders:
        links: list[str] = []
        while folders:
            folder = folders.pop()
            try:
                at = os.stat(os.path.join(root, folder))
            except PermissionError:
                passed[CLOSED] += 1
                continue
            if (at.st_dev, at.st_ino) in seen:
                passed[LINKED_TWICE] += 1
                continue
            seen.add((at.st_dev, at.st_ino))
            try:
                entries = sorted(os.scandir(os.path.join(root, folder)), key=lambda e: e.name)
            except PermissionError:  # such as lost+found
                passed[CLOSED] += 1
                continue
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if HIDDEN.search(f"{name}/"):
                    passed[IS_HIDDEN] += 1
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif entry.is_symlink() and os.path.isdir(entry.path):
                    links.append(name)
                else:
                    sizes[name] = _size(entry.path)
        folders = sorted(links, reverse=True)
    return sizes, passed


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as e:  # a link to nothing or to itself: found out when it is opened
        if e.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES):
            return 0
        raise


def _matching(fs: Any, folder: str, rest: str, *, local: bool) -> Listing:
    """What a glob matches, and all that is in the folders it matches."""
    if "**" in rest and local:  # Python's own glob goes around in circles of links
        sizes, passed = _walked_here(folder or "/")
        wanted = re.compile(glob_translate(rest))
        return _tidied(folder, {n: s for n, s in sizes.items() if wanted.fullmatch(n)}, passed)
    if local:
        return _merged(
            folder, [under(fs, f"{folder}/{n}", local=True) for n in glob.glob(rest, root_dir=folder or "/")]
        )
    found = fs.glob("/".join([_MAGIC.sub(r"[\g<0>]", folder), rest]), detail=True)
    folders = [path for path, info in found.items() if info["type"] == "directory"]
    return _merged(folder, [Listing(folder, _sizes(found, folder)), *(under(fs, p, local=False) for p in folders)])


def _expanded(fs: Any, folder: str, rest: str, *, local: bool) -> Listing:
    """The files that webdataset's braces name: {00000..00012} and {a,b}; every one must be there."""
    names = list(_braces(rest))
    if any(_MAGIC.search(n) for n in names):
        return _merged(folder, [under(fs, f"{folder}/{n}", local=local) for n in names])
    inside, _ = _walked(fs, folder, local=local)
    missing = [n for n in names if n not in inside]
    if missing:
        raise DataError(
            f"source.uri={folder}/{rest}: {len(missing)} of the {len(names)} files that it names are not there, the "
            f"first is {missing[0]}. Name those that are, or write a glob such as {folder}/*.tar"
        )
    return Listing(folder, {n: inside[n] for n in sorted(names)})


def _split(fs: Any, pattern: str) -> tuple[str, str]:
    """The longest leading folder of a pattern that is there as it is written, and the rest."""
    parts = pattern.split("/")
    for i, part in enumerate(parts):
        special = _MAGIC.search(part) or _BRACES.search(part)
        if special and (
            i == len(parts) - 1 or not _is_folder(fs, "/".join(parts[: i + 1]))
        ):  # set [2024]/*.tar has one
            return "/".join(parts[:i]), "/".join(parts[i:])
    return pattern, ""


def _merged(folder: str, listings: Iterable[Listing]) -> Listing:
    sizes: dict[str, int] = {}
    passed: Counter[str] = Counter()
    for one in listings:
        below = one.folder.removeprefix(folder).strip("/")
        sizes |= {f"{below}/{n}" if below else n: s for n, s in one.sizes.items()}
        passed += one.passed
    return _tidied(folder, sizes, passed)


def _braces(pattern: str) -> Iterator[str]:
    """Every text that a pattern with braces stands for.

    Raises:
        DataError: they are too many, or a range has no end.
    """
    choices: list[list[str]] = []
    at = 0
    for found in _BRACES.finditer(pattern):
        choices += [[pattern[at : found.start()]], _alternatives(found.group(1))]
        at = found.end()
    choices.append([pattern[at:]])
    count = 1
    for c in choices:
        count *= len(c)
    if count > _MOST_EXPANDED:
        raise DataError(f"source.uri: {pattern} stands for {count} files. Give their folder instead.")
    return ("".join(parts) for parts in product(*choices))


def _alternatives(inside: str) -> list[str]:
    span = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if span is None:
        return inside.split(",")
    low, high = span.groups()
    if int(high) - int(low) >= _MOST_EXPANDED:
        raise DataError(f"source.uri: {{{inside}}} stands for {int(high) - int(low) + 1} files. Give their folder.")
    return [str(i).zfill(len(low)) for i in range(int(low), int(high) + 1)]
