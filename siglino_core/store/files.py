"""A folder on any fsspec URL, with writes that are whole or absent."""

import contextlib
import errno
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.errors import DamagedError, StoreError, UnreachableStoreError
from siglino_core.store.patience import UnansweredError
from siglino_core.store.sealed import MEND, opened

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REQUESTS = 32  # to an object store at once
UNFINISHED = ".unfinished"  # where local files are written before they are moved into place


@contextlib.contextmanager
def reported(url: str) -> Iterator[None]:
    """Storage failures inside become one :class:`StoreError` that names ``url`` and the mend."""
    try:
        yield
    except UnansweredError as e:
        raise UnreachableStoreError(f"{url}: {e}. Check the store's address and the network, then run again.") from e
    except FileNotFoundError as e:
        raise StoreError(f"{url}: no such file, folder or bucket ({e})") from e
    except UnicodeEncodeError as e:
        raise StoreError(f"{url}: this name is no text: some of its bytes are not UTF-8. Take or give another.") from e
    except PermissionError as e:
        raise StoreError(f"{url}: access denied ({e}). Check the credentials and the folder's rights.") from e
    except OSError as e:
        if e.errno in FULL:
            raise StoreError(f"{url}: no space left. Free some, or choose another run=URL; then run again.") from e
        raise StoreError(f"{url}: {type(e).__name__}: {e}") from e
    except Exception as e:
        # Object-store clients raise their own families, which this module doesn't import.
        family = type(e).__module__.partition(".")[0]
        if type(e).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            raise StoreError(
                f"{url}: no credentials found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "a profile, or run where a role provides them."
            ) from e
        if family in ("botocore", "aiobotocore", "aiohttp"):
            raise StoreError(f"{url}: the store cannot be reached or refused ({type(e).__name__}: {e})") from e
        raise


def is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def open_store(url: str, *, hasty: bool = False) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the URL's path in it.

    Args:
        hasty: where the client's time limits are ours (S3), a request is asked once, for seconds.
    """
    if url.startswith(("s3://", "s3a://")):
        from siglino_core.store.s3 import open_s3  # its client takes half a second to import

        return open_s3(url, hasty=hasty)
    return fsspec.core.url_to_fs(url, use_listings_cache=False)


class Files:
    """The files under one URL; names are relative to it, with forward slashes.

    Args:
        hasty: as in :func:`open_store`.
    """

    def __init__(self, url: str, hasty: bool = False) -> None:
        self.url = url.rstrip("/") or "/"
        self._hasty = hasty

    def __reduce__(self) -> tuple[type["Files"], tuple[str, bool]]:
        return Files, (self.url, self._hasty)

    @cached_property
    def _fs(self) -> Any:
        with reported(self.url):
            try:
                fs, self._root = open_store(self.url, hasty=self._hasty)
            except (ImportError, ValueError) as e:
                raise StoreError(f"{self.url}: {e}") from e
            return fs

    @property
    def filesystem(self) -> Any:
        """The fsspec file system, for what is not offered here; its paths are `path`'s."""
        return self._fs

    @cached_property
    def local(self) -> Path | None:
        """The folder as a path if it lies on this machine's file system, else None."""
        return Path(self.url.removeprefix("file://")).expanduser().absolute() if is_local(self.url) else None

    def path(self, name: str) -> str:
        """The full fsspec path of ``name``."""
        fs_root = (self._fs, self._root)[1]
        return f"{fs_root}/{name}" if name else fs_root

    def sub(self, name: str) -> "Files":
        return Files(f"{self.url}/{name}", self._hasty)

    # Reading

    def exists(self, name: str) -> bool:
        with reported(f"{self.url}/{name}"):
            return self._fs.exists(self.path(name))

    def read(self, name: str) -> bytes:
        with reported(f"{self.url}/{name}"):
            return self._fs.cat_file(self.path(name))

    def read_record(self, name: str, mend: str = MEND) -> dict[str, Any] | None:
        """A record (`siglino_core.store.sealed`), or None if there is none.

        Args:
            mend: what to do about a damaged one.

        Raises:
            DamagedError: it is not what was written.
        """
        try:
            data = self.read(name)
        except StoreError as e:
            if isinstance(e.__cause__, FileNotFoundError):
                return None
            raise
        return opened(data, f"{self.url}/{name}", mend)

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """The contents of many small files, fetched concurrently where the store allows."""
        with reported(self.url):
            whole = [None] * len(names)  # `cat` would take [ and * in a folder's name for a pattern
            contents = self._fs.cat_ranges([self.path(n) for n in names], whole, whole, on_error="raise")
            return dict(zip(names, contents, strict=True))

    def open(self, name: str) -> Any:
        """A seekable binary reader."""
        with reported(f"{self.url}/{name}"):
            return self._fs.open(self.path(name), "rb")

    def parquet(self, name: str) -> pq.ParquetFile:
        with reported(f"{self.url}/{name}"):
            source = self.local / name if self.local else self.open(name)
            try:
                return pq.ParquetFile(source, memory_map=False, pre_buffer=False)
            except pa.ArrowInvalid as e:
                raise DamagedError(f"{self.url}/{name} is damaged: it is no Parquet file ({e}). {MEND}") from e

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Bytes of every file under ``prefix``, by name; empty if there is nothing."""
        with reported(f"{self.url}/{prefix}"):
            base = self.path(prefix).rstrip("/")
            try:
                entries = self._fs.find(base, detail=True)
            except FileNotFoundError:
                return {}
            root = self.path("").rstrip("/") + "/"
            return {
                path.removeprefix(root): int(info["size"] or 0)
                for path, info in sorted(entries.items())
                if info.get("type") == "file" and f"/{UNFINISHED}/" not in path
            }

    # Writing

    def put(self, name: str, data: bytes) -> None:
        """Write or replace a file: afterwards it is whole, before that it is as it was."""
        with reported(f"{self.url}/{name}"):
            if self.local is None:
                self._fs.pipe_file(self.path(name), data)
                return
            with self._scratch() as folder:
                (folder / "data").write_bytes(data)
                self._settle(folder / "data", self.local / name)

    def put_file(self, name: str, path: Path) -> None:
        """Move a local file into place, whole or not at all."""
        with reported(f"{self.url}/{name}"):
            if self.local is None:
                self._fs.put_file(str(path), self.path(name))
                path.unlink()
                return
            self._settle(path, self.local / name)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless it exists; False if it does. Exactly one of many callers wins."""
        with reported(f"{self.url}/{name}"):
            if self.local is None:
                return self._create_remote(name, data)
            with self._scratch() as folder:
                (folder / "data").write_bytes(data)
                try:
                    self._settle(folder / "data", self.local / name, create=True)
                except FileExistsError:
                    return False
            return True

    def _create_remote(self, name: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(self.path(name), data, mode="create")
        except FileExistsError:
            return False
        except OSError as e:
            # s3fs reports the store's 412 (If-None-Match failed) as EINVAL, with the cause inside.
            if "PreconditionFailed" in f"{e!r} {e.__cause__!r} {e.__context__!r}":
                return False
            raise
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete files that may or may not exist; in no order on an object store."""

        def one(name: str) -> None:
            with reported(f"{self.url}/{name}"), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self.path(name))

        self._each(one, names)

    def copy_from(self, other: "Files", names: Iterable[str]) -> None:
        """Copy files of another folder of the same store, by the store itself; in no order on an object store."""

        def one(name: str) -> None:
            with reported(f"{self.url}/{name}"):
                self._fs.cp_file(other.path(name), self.path(name))

        self._each(one, names)

    def _each(self, do: Callable[[str], None], names: Iterable[str]) -> None:
        names = list(names)
        if self.local is not None or len(names) < 2:
            for name in names:
                do(name)
            return
        assert self._fs  # made once, before threads ask for it
        with ThreadPoolExecutor(REQUESTS) as pool:
            for _ in pool.map(do, names):
                pass

    def tidy(self) -> None:
        """Drop what a killed writer left behind, and folders that became empty (local folders only)."""
        if self.local is None or not self.local.is_dir():
            return
        shutil.rmtree(self.local / UNFINISHED, ignore_errors=True)
        for folder, _, _ in os.walk(self.local, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def tidy_dead(self) -> None:
        """Drop what processes of this machine left behind that are gone; others may be writing still."""
        if self.local is None:
            return
        for folder in (self.local / UNFINISHED).glob("*,*,*"):
            host, pid, _ = folder.name.split(",")
            if host == socket.gethostname() and not is_running(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another is in it
            (self.local / UNFINISHED).rmdir()

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        assert self.local is not None
        folder = self.local / UNFINISHED / f"{socket.gethostname()},{os.getpid()},{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _settle(source: Path, target: Path, *, create: bool = False) -> None:
        with source.open("rb") as f:
            os.fsync(f.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        if create:
            os.link(source, target)
        else:
            os.replace(source, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_running(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True
