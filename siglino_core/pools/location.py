"""Where a pool lies: any fsspec URL, or a file inside an installed package; its files by relative name."""

import contextlib
import glob
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.store.files import is_local, reported

PACKAGE = "package://"
READ_AHEAD = 8 << 20  # bytes that a remote file is fetched in
_MAGIC = re.compile(r"[*?\[]")
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")


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
            StoreError: the file is missing or unreadable.
        """
        with reported(self.url(name)):
            path = self.path(name)
            if path is not None:
                return path.open("rb")
            fs, root = filesystem(self.base)
            return fs.open(f"{root}/{name}", "rb", block_size=READ_AHEAD, cache_type="readahead")

    def read(self, name: str) -> bytes:
        """The whole of a file."""
        with self.open(name) as f, reported(self.url(name)):
            return f.read()

    def read_many(self, names: Sequence[str]) -> Iterator[bytes]:
        """The contents of files, in order; remote ones are fetched side by side."""
        if is_local(self.base) or len(names) < 2:
            yield from map(self.read, names)
            return
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(self.read, names)

    def parquet(self, name: str) -> pq.ParquetFile:
        """A Parquet file, read page by page.

        Raises:
            DataError: it is not one.
            StoreError: the file is missing or unreadable.
        """
        with reported(self.url(name)), damaged(self.url(name)):
            path = self.path(name)
            return pq.ParquetFile(self.open(name) if path is None else path, pre_buffer=False, buffer_size=1 << 20)


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
        fs, root = fsspec.core.url_to_fs(base, use_listings_cache=False)
    except (ImportError, ValueError) as e:
        raise StoreError(f"source.uri={public_url(base)}: {e}") from e
    return fs, root.rstrip("/")


def public_url(url: str) -> str:
    """A URL without its password or access key, and without the query that signs an HTTP one."""
    url = re.sub(r"^(\w+://)[^/@]*:[^/@]*@", r"\1", url)
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url


def find(uri: str) -> tuple[Location, dict[str, int]]:
    """The files under a folder, file or glob: their sizes in bytes by relative name, sorted.

    Raises:
        ConfigError: ``uri`` is empty or no URL that can be read.
        DataError: nothing is there.
        StoreError: the store cannot be reached.
    """
    if not uri or "::" in uri:
        fault = " is not set" if not uri else f"={uri}: chained URLs cannot be read; unpack the archive"
        raise ConfigError(f"source.uri{fault}. Give a folder, file or glob: source.uri=/data/pool")
    if uri.startswith(PACKAGE):
        return _in_package(uri)
    if is_local(uri):
        uri = os.path.abspath(os.path.expanduser(uri.removeprefix("file://")))
    uri = uri.rstrip("/")
    with reported(public_url(uri)):
        fs, path = filesystem(uri)
        base, files = _match(fs, uri, path)
    sizes = {n: s for n, s in sorted(files.items()) if not _HIDDEN.search(n)}
    if not sizes:
        raise DataError(f"source.uri={public_url(uri)}: nothing is there. Give a folder, file or glob that exists.")
    return Location(base, public_url(base)), sizes


def _match(fs: Any, uri: str, path: str) -> tuple[str, dict[str, int]]:
    """The folder that names are relative to, and the sizes of the files."""
    if fs.isfile(path):
        base = uri.rpartition("/")[0]
        return base, _sizes({path: fs.info(path)}, path.rpartition("/")[0])
    if _MAGIC.search(path) and not fs.exists(path):
        root = path.rpartition("/")[0]
        while _MAGIC.search(root) and not fs.exists(root):
            root = root.rpartition("/")[0]
        base, files = uri[: len(root) - len(path)], {}
        for name, info in fs.glob(glob.escape(root) + path[len(root) :], detail=True).items():
            files |= fs.find(name, detail=True) if info["type"] == "directory" else {name: info}
        return base, _sizes(files, root)
    try:
        return uri, _sizes(fs.find(path, detail=True), path)
    except FileNotFoundError:
        return uri, {}


def _sizes(files: dict[str, Any], root: str) -> dict[str, int]:
    return {
        name.removeprefix(root).lstrip("/"): int(info.get("size") or 0)
        for name, info in files.items()
        if info["type"] != "directory"
    }


def _in_package(uri: str) -> tuple[Location, dict[str, int]]:
    base, _, name = uri.rpartition("/")
    location = locate(base)
    path = Path(location.base, name)
    if not path.is_file():
        raise DataError(f"source.uri={uri}: the package holds no such file ({path}).")
    return location, {name: path.stat().st_size}


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
