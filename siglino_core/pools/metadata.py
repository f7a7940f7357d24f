"""Hugging Face's metadata.jsonl and metadata.csv beside images: a row an image, with its caption and label."""

import csv
import json
import posixpath
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

NAMES = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"
MAX_ROW = 1 << 20  # bytes; longer rows are passed over
csv.field_size_limit(MAX_ROW)


def is_metadata(name: str) -> bool:
    return name.rpartition("/")[2].lower() in NAMES


def spans(name: str, lines: Iterable[bytes]) -> Iterator[tuple[str, int, int]]:
    """(image, first byte, length) of every row of a metadata file that names an image.

    Args:
        name: of the file; the images' names in it are relative to its folder.
        lines: of the file, as it yields them.
    """
    folder = name.rpartition("/")[0]
    for values, start, length in _rows(name, lines):
        file = values.get(FILE_NAME)
        if isinstance(file, str) and file and length <= MAX_ROW:
            yield posixpath.normpath(posixpath.join(folder, file)), start, length


def first(name: str, lines: Iterable[bytes], count: int) -> list[dict[str, Any]]:
    """The values of the first rows of a metadata file."""
    return [values for values, _, _ in islice(_rows(name, lines), count)]


def row(name: str, head: bytes, data: bytes) -> dict[str, Any]:
    """The values of one row; empty if it cannot be read.

    Args:
        head: the file's first line, where a CSV has the names of its columns.
        data: the row's bytes.
    """
    lines = [data] if name.lower().endswith(".jsonl") else [head, data]
    return next((values for values, _, _ in _rows(name, lines)), {})


def _rows(name: str, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    return _json_rows(lines) if name.lower().endswith(".jsonl") else _csv_rows(lines)


def _json_rows(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    at = 0
    for line in lines:
        try:
            values = json.loads(line) if len(line) <= MAX_ROW else None
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield values, at, len(line)
        at += len(line)


def _csv_rows(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    read = 0

    def text() -> Iterator[str]:
        nonlocal read
        for line in lines:
            read += len(line)
            yield line.decode("utf-8-sig" if read == len(line) else "utf-8", "replace").replace("\0", "")

    rows = csv.reader(text())
    start = 0
    names: list[str] | None = None
    while True:
        start = read
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error:  # a field longer than csv allows
            continue
        if names is None:
            names = [name.strip() for name in values]
        else:
            yield dict(zip(names, values, strict=False)), start, read - start


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, the longest of them in pieces: a file need not have any end of line."""
    return iter(lambda: file.readline(MAX_ROW + 1), b"")
