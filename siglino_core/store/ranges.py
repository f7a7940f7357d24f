"""Byte ranges of many files at once, from any fsspec URL."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from siglino_core.errors import StoreError
from siglino_core.store.files import Files, reported

OPEN = 128  # local files kept open: a process may have 1,024, or 256 on macOS
MEND = "Restore it, or redo the stage that wrote it."


class Ranges:
    """Reads byte ranges of the files under one URL.

    A local file is opened once, as long as it is among the last 128 asked for. From an object store all ranges of a
    call are fetched concurrently. It may be pickled, and used after a fork; in a process, by one thread at a time.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._open: OrderedDict[str, int] = OrderedDict()
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[type["Ranges"], tuple[Files]]:
        return Ranges, (self.files,)

    def read(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """The bytes of every (name, offset, length), in the order asked for.

        Raises:
            StoreError: a file is gone or ends before its range does, or the store cannot be reached.
        """
        if self._pid != os.getpid():  # clients of object stores don't live through a fork
            self.files, self._pid = Files(self.files.url), os.getpid()
        contents = [b""] * len(requests)
        asked = [i for i, (_, _, length) in enumerate(requests) if length]
        if self.files.local is None:
            for i, data in zip(asked, self._fetch([requests[i] for i in asked]), strict=True):
                contents[i] = data
            return contents
        for i in sorted(asked, key=lambda i: requests[i]):  # so that a call opens no file twice
            contents[i] = self._pread(*requests[i])
        return contents

    def close(self) -> None:
        """Close what is open; reading opens it again."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.close()

    def _pread(self, name: str, offset: int, length: int) -> bytes:
        try:
            with reported(f"{self.files.url}/{name}"):
                return self._whole(os.pread(self._descriptor(name), length, offset), name, offset, length)
        except StoreError as e:
            raise self._with_mend(e, name) from e.__cause__

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.pop(name, None)
        if descriptor is None:
            if len(self._open) >= OPEN:
                os.close(self._open.popitem(last=False)[1])
            assert self.files.local is not None
            descriptor = os.open(self.files.local / name, os.O_RDONLY)
            if hasattr(os, "posix_fadvise"):  # not on macOS
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        self._open[name] = descriptor
        return descriptor

    def _fetch(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        if not requests:
            return []
        with reported(self.files.url):
            paths = [self.files.path(name) for name, _, _ in requests]
            starts = [offset for _, offset, _ in requests]
            ends = [offset + length for _, offset, length in requests]
            contents: list[Any] = self.files.filesystem.cat_ranges(paths, starts, ends, on_error="return")
        return [self._checked(data, *request) for data, request in zip(contents, requests, strict=True)]

    def _checked(self, data: bytes | BaseException, name: str, offset: int, length: int) -> bytes:
        if not isinstance(data, BaseException):
            return self._whole(data, name, offset, length)
        if "InvalidRange" in f"{data!r} {data.__cause__!r} {data.__context__!r}":  # S3's 416: it begins after the end
            return self._whole(b"", name, offset, length)
        try:
            with reported(f"{self.files.url}/{name}"):
                raise data
        except StoreError as e:
            raise self._with_mend(e, name) from data
        raise AssertionError("raised above")

    def _whole(self, data: bytes, name: str, offset: int, length: int) -> bytes:
        if len(data) == length:
            return data
        raise StoreError(
            f"{self.files.url}/{name}: bytes {offset} to {offset + length} were asked for and {len(data)} of {length} "
            f"came: the file was cut short, or is another one by now. {MEND}"
        )

    def _with_mend(self, error: StoreError, name: str) -> StoreError:
        if isinstance(error.__cause__, FileNotFoundError):
            return StoreError(f"{error}. {MEND}")
        return error
