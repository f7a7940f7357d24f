"""Tars, compressed or not, near or far: as a file that can be read at any place, and a list of its members."""

import bz2
import contextlib
import gzip
import io
import lzma
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from siglino_core.errors import StoreError
from siglino_core.pools.location import Location
from siglino_core.store.files import FULL, reported

FAULTS = {"truncated_tar", "corrupt_tar", "unreadable"}
BLOCK = 512  # bytes; a tar's unit
MAX_HEADER = 1 << 20  # bytes of a member's name and attributes
FETCHED = 8 << 30  # bytes; a longer tar of an object store is not copied here, but read twice
GROWTH, SPARE = 100, 1 << 30  # a compressed tar becomes no longer than so many times its length, and a gigabyte
COPIED = 64 << 10  # bytes at once
SUFFIX = re.compile(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)

_COMPRESSIONS: tuple[tuple[bytes, str, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", "gzip", gzip.open),
    (b"BZh", "bzip2", bz2.open),
    (b"\xfd7zXZ\0", "xz", lzma.open),
    (b"\x28\xb5\x2f\xfd", "zstd", lambda f: _Zstd(pa.CompressedInputStream(f, "zstd"))),
)
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, ValueError, OSError)


class TarFault(Exception):  # noqa: N818
    """What is wrong with a tar itself: ``reason`` in a word, and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Member:
    """A member.

    Attributes:
        offset, size: where its bytes are.
        what: for what is no regular file, what it is instead.
        link: the name of the member that it stands for.
    """

    name: str
    offset: int
    size: int
    what: str = ""
    link: str = ""


class Tar(NamedTuple):
    """A tar as a file, the compression that it had (empty: none), and what is wrong with that, if anything."""

    file: BinaryIO
    packed: str
    fault: TarFault | None


def compression(head: bytes) -> str:
    """The compression that a file's first bytes tell; empty: none."""
    return next((name for magic, name, _ in _COMPRESSIONS if head.startswith(magic)), "")


@contextlib.contextmanager
def opened(location: Location, name: str, most: int | None = None) -> Iterator[Tar]:
    """The tar, uncompressed, where it can be read at any place.

    Args:
        most: look no further than this many bytes, and copy nothing that is not compressed.

    Raises:
        UnreadableError: it is no regular file, or may not be read.
        StoreError: it has gone, the store does not answer, or there is no room to unpack it.
    """
    url = location.url(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(reported(url))
        packed = stack.enter_context(location.open(name))
        kind = compression(packed.read(8))
        size = packed.seek(0, 2)
        packed.seek(0)
        if not kind and (location.path(name) is not None or size > FETCHED or most is not None):
            yield Tar(packed, "", None)
            return
        copy = stack.enter_context(tempfile.TemporaryFile())
        unpack = next((unpack for _, k, unpack in _COMPRESSIONS if k == kind), lambda f: f)
        limit = (GROWTH * size + SPARE if kind else size) if most is None else most
        fault = _copied(unpack, packed, copy, limit, url)
        copy.seek(0)
        yield Tar(cast(BinaryIO, copy), kind, None if most is not None else fault)


def _copied(unpack: Callable[[Any], Any], packed: Any, copy: Any, limit: int, url: str) -> TarFault | None:
    """Copy up to ``limit`` unpacked bytes; what stopped it before the end."""
    length = 0
    try:
        stream = unpack(packed)
        read = getattr(stream, "read1", stream.read)  # what was unpacked before the damage is not lost with it
        while block := read(COPIED):
            length += len(block)
            if length > limit:
                return TarFault("corrupt_tar", f"it unpacks to more than {limit / 1e9:.3g} GB")
            _write(copy, block, url)
    except _DAMAGED as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # the system's; those of decompressors have no number
        return TarFault("truncated_tar", f"its compression ends early or is damaged ({str(e)[:100]})")
    return None


def _write(copy: Any, block: bytes, url: str) -> None:
    try:
        copy.write(block)
        copy.flush()
    except OSError as e:
        if e.errno not in FULL:
            raise
        where = tempfile.gettempdir()
        raise StoreError(f"{where} has no room to unpack {url}. Free some, or set TMPDIR to another folder.") from e


class _Zstd:
    """Arrow's stream loses what it has unpacked for a read when that fails: it is asked for a tar's unit at a time."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._fault: Exception | None = None

    def read(self, size: int) -> bytes:
        if self._fault is not None:
            raise self._fault
        blocks: list[bytes] = []
        try:
            while len(blocks) * BLOCK < size and (block := self._stream.read(BLOCK)):
                blocks.append(block)
        except (pa.ArrowException, OSError) as e:
            if not blocks:
                raise
            self._fault = e
        return b"".join(blocks)


def members(f: Any) -> Iterator[Member]:
    """The tar's members but its folders, without keeping them in memory as `tarfile` does.

    Raises:
        TarFault: after the last readable member, unless the tar ends as it should.
    """
    size = f.seek(0, 2)
    at: int | None = 0
    while at is not None:
        at = yield from _until_the_mark(f, at, size)


def _until_the_mark(f: Any, begin: int, size: int) -> Generator[Member, None, int | None]:
    """The members from ``begin`` to an end mark; where the next tar begins, for tars may be joined; None: nowhere."""
    f.seek(begin)
    try:
        tar = tarfile.open(fileobj=_Headers(f), mode="r:")  # noqa: SIM115
    except (tarfile.TarError, ValueError) as e:
        what = f"no tar of {size} bytes" if begin == 0 else f"what follows its end mark at byte {begin} is no member"
        raise TarFault("truncated_tar" if size < BLOCK else "corrupt_tar", f"{what}: {e}") from e
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]
            name = member.name.removeprefix("./")
            if member.isreg() and not member.issparse():
                yield Member(name, member.offset_data, member.size)
            elif member.issym() or member.islnk():
                to = posixpath.join(posixpath.dirname(name) if member.issym() else "", member.linkname)
                yield Member(name, 0, 0, f"a link to {member.linkname}", posixpath.normpath(to))
            elif not member.isdir():
                yield Member(name, 0, 0, "a sparse file" if member.issparse() else "a device or pipe")
    except (tarfile.TarError, ValueError) as e:  # ValueError: a number in a header that is none
        raise TarFault("truncated_tar", f"{e}") from e
    # `tarfile` stops in silence at whatever is no header; a whole tar has a block of zeros there.
    f.seek(tar.offset)
    block = f.read(BLOCK)
    if len(block) < BLOCK:
        raise TarFault("truncated_tar", "it lacks its end mark, so that members may be missing")
    if any(block):
        raise TarFault("corrupt_tar", f"no member begins at byte {tar.offset}, as one should")
    return _after_zeros(f, tar.offset)


def _after_zeros(f: Any, at: int) -> int | None:
    """The first block from ``at`` on that holds anything; None: there is none."""
    f.seek(at)
    while data := f.read(1 << 20):
        rest = data.lstrip(b"\0")
        if rest:
            return at + (len(data) - len(rest)) // BLOCK * BLOCK
        at += len(data)
    return None


class _Headers(io.RawIOBase):
    """The tar for `tarfile`, which reads headers alone of it; one that claims to be long is not read."""

    def __init__(self, f: Any) -> None:
        self._f = f

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._f.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._f.seek(offset, whence)

    def tell(self) -> int:
        return self._f.tell()
