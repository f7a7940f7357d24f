"""Where a pool lies: any fsspec URL, or a file inside an installed package; its files by relative name."""

import contextlib
import errno
import importlib.util
import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from siglino_core.errors import ConfigError, DataError, StoreError, UnreadableError
from siglino_core.pools.listing import CLOSED, Listing, under
from siglino_core.store.files import is_local, open_store, reported

PACKAGE = "package://"
READ_AHEAD = 8 << 20  # bytes that a remote file is fetched in
_CLOSED = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG, errno.ENOTDIR}


@dataclass(frozen=True)
class Location:
    """The folder that a pool's file names are relative to.

    Attributes:
        base: its URL, as it is opened.
        public: the same without credentials, as it is written into the artifacts.
    """

    base: str
    public: str

    def url(self, name: str) -> str:
        """The ``source_uri`` of a file."""
        return f"{self.public}/{name}"

    def path(self, name: str) -> Path | None:
        """The file on this machine, or None if it is remote."""
        return Path(self.base, name) if is_local(self.base) else None

    def open(self, name: str) -> Any:
        """A seekable binary reader.

        Raises:
            UnreadableError: it is no regular file, or may not be read.
            StoreError: the file is missing, or the store does not answer.
        """
        with reported(self.url(name)):
            path = self.path(name)
            if path is not None:
                return _regular(path, self.url(name))
            fs, root = filesystem(self.base)
            return fs.open(f"{root}/{name}", "rb", block_size=READ_AHEAD, cache_type="readahead")

    def read(self, name: str, most: int) -> bytes:
        """The whole of a file, or its first ``most`` + 1 bytes if it is longer."""
        with self.open(name) as f, reported(self.url(name)):
            return f.read(most + 1)

    def read_many(self, names: Sequence[str], most: int) -> Iterator[bytes | UnreadableError]:
        """The contents of files as :meth:`read` returns or raises them, in order; remote ones side by side."""

        def one(name: str) -> bytes | UnreadableError:
            try:
                return self.read(name, most)
            except UnreadableError as e:
                return e

        if is_local(self.base) or len(names) < 2:
            yield from map(one, names)
            return
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(one, names)

    def parquet(self, name: str, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
        """A Parquet file, read page by page.

        Args:
            dictionaries: columns whose values stay numbers into a dictionary, as the file has them.

        Raises:
            DataError: it is not one.
            StoreError: the file is missing or unreadable.
        """
        with reported(self.url(name)), damaged(self.url(name)):
            path, file = self.path(name), self.open(name)
            if path is not None:
                file.close()
            options = {"pre_buffer": False, "buffer_size": 1 << 20, "read_dictionary": list(dictionaries) or None}
            return pq.ParquetFile(path or file, **options)


@contextlib.contextmanager
def damaged(url: str) -> Iterator[None]:
    """What Arrow raises of a file that it cannot parse becomes a :class:`DataError` that names ``url``."""
    try:
        yield
    except (ValueError, OSError) as e:
        if isinstance(e, OSError) and (type(e) is not OSError or e.errno is not None):
            raise  # the system's errors have a number, Arrow's have none
        text = f"{e}".partition("\n")[0][:200]
        raise DataError(f"{url} cannot be read as Parquet ({text}). Remove or replace it.") from e


@lru_cache
def filesystem(base: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the URL's path in it."""
    try:
        fs, root = open_store(base)
    except (ImportError, ValueError) as e:
        raise StoreError(f"source.uri={public_url(base)}: {e}") from e
    return fs, root.rstrip("/")


def public_url(url: str) -> str:
    """A URL without its password or access key, and without the query that signs an HTTP one."""
    url = re.sub(r"^(\w+://)[^/@]*:[^/@]*@", r"\1", url)
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url


def find(uri: str) -> tuple[Location, Listing]:
    """The files under a folder, file, glob, or webdataset's braces.

    Raises:
        ConfigError: ``uri`` is empty or no URL that can be read.
        DataError: nothing is there, or not all that the braces name.
        StoreError: the store cannot be reached.
    """
    if not uri or "::" in uri:
        fault = " is not set" if not uri else f"={uri}: chained URLs cannot be read; unpack the archive"
        raise ConfigError(f"source.uri{fault}. Give a folder, file or glob: source.uri=/data/pool")
    if uri.startswith(PACKAGE):
        return _in_package(uri)
    local = is_local(uri)
    if local:
        uri = os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))
    uri = uri.rstrip("/") or "/"
    with reported(public_url(uri)):
        fs, path = filesystem(uri)
        found = under(fs, path, local=local)
    if not found.sizes and found.passed[CLOSED]:
        raise DataError(f"source.uri={public_url(uri)} may not be looked into. Check the rights of its folders.")
    if not found.sizes:
        raise DataError(f"source.uri={public_url(uri)}: nothing is there. Give a folder, file or glob that exists.")
    base = uri[: len(uri) - len(path) + len(found.folder)] if path.startswith(found.folder) else found.folder
    return Location(base, public_url(base)), found


def _in_package(uri: str) -> tuple[Location, Listing]:
    base, _, name = uri.rpartition("/")
    location = locate(base)
    path = Path(location.base, name)
    if not path.is_file():
        raise DataError(f"source.uri={uri}: the package holds no such file ({path}).")
    return location, Listing(location.base, {name: path.stat().st_size})


_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))


def _regular(path: Path, url: str) -> BinaryIO:
    """A file of this machine, opened without waiting for whoever should write into a pipe."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        raise UnreadableError(f"{url} is a link to {os.readlink(path)}, which is not there") from None
    except OSError as e:
        if e.errno not in _CLOSED:
            raise
        raise UnreadableError(f"{url} cannot be opened ({os.strerror(e.errno)})") from e
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        what = next((text for is_it, text in _KINDS if is_it(mode)), "a device")
        raise UnreadableError(f"{url} is {what} and no regular file")
    return os.fdopen(file, "rb")


def locate(public: str) -> Location:
    """The location of a folder from its URL as it stands in the artifacts.

    Raises:
        DataError: a ``package://`` URL names a package that is not installed.
    """
    if not public.startswith(PACKAGE):
        return Location(public, public)
    module, _, folder = public.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"source.uri={public}: no package {module!r} is installed.")
    return Location(str(Path(spec.submodule_search_locations[0], folder)), public)
