"""Hugging Face's metadata.jsonl and metadata.csv beside images: a row an image, with its caption and label."""

import csv
import json
import posixpath
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from siglino_core.pools.joining import NO_IMAGE

UNREAD, REPEATED = "metadata_row_not_read", "metadata_row_replaced_by_another_of_its_image"
NAMES = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"
MAX_ROW = 1 << 20  # bytes; longer rows are passed over
csv.field_size_limit(MAX_ROW)


def is_metadata(name: str) -> bool:
    return name.rpartition("/")[2].lower() in NAMES


def spans(
    name: str, lines: Iterable[bytes], images: Container[str], passed: Counter[str]
) -> Iterator[tuple[str, int, int]]:
    """(image, first byte, length) of every row of a metadata file that tells of one of the images.

    Args:
        name: of the file; the images' names in it are relative to its folder.
        lines: of the file, as it yields them.
        passed: where rows of no image are counted, and rows that cannot be read or name none.
    """
    folder = name.rpartition("/")[0]
    for values, start, length in _rows(name, lines):
        file = values.get(FILE_NAME)
        if not isinstance(file, str) or not file or length > MAX_ROW:
            passed[UNREAD] += 1
        elif (image := posixpath.normpath(posixpath.join(folder, file))) in images:
            yield image, start, length
        else:
            passed[NO_IMAGE] += 1


def first(name: str, lines: Iterable[bytes], count: int) -> list[dict[str, Any]]:
    """The values of the first rows of a metadata file."""
    return [values for values, _, _ in islice((row for row in _rows(name, lines) if row[0]), count)]


def row(name: str, head: bytes, data: bytes) -> dict[str, Any]:
    """The values of one row; empty if it cannot be read.

    Args:
        head: the file's first line, where a CSV has the names of its columns.
        data: the row's bytes.
    """
    lines = [data] if name.lower().endswith(".jsonl") else [head, data]
    return next((values for values, _, _ in _rows(name, lines)), {})


def _rows(name: str, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """(values, first byte, length) of every row that is not blank; of one that cannot be read no values."""
    return _json_rows(lines) if name.lower().endswith(".jsonl") else _csv_rows(lines)


def _json_rows(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    at, whole = 0, True
    for line in lines:
        try:
            values = json.loads(line) if len(line) <= MAX_ROW else None
        except (ValueError, RecursionError):
            values = None
        if whole and line.strip():  # else it is the rest of a row that is too long
            yield values if isinstance(values, dict) else {}, at, len(line)
        at, whole = at + len(line), line.endswith(b"\n")


def _csv_rows(lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int, int]]:
    read, start, whole = 0, -1, True

    def text() -> Iterator[str]:
        nonlocal read, start, whole
        for line in lines:
            begin, rest = read, not whole
            read, whole = read + len(line), line.endswith(b"\n")
            if rest:  # of a line that is too long
                continue
            start = begin if start < 0 else start
            yield line.decode("utf-8-sig" if begin == 0 else "utf-8", "replace").replace("\0", "")

    rows = csv.reader(text())
    names: list[str] | None = None
    while True:
        start = -1
        try:
            values = next(rows)
        except StopIteration:
            return
        except csv.Error:  # a field longer than csv allows
            yield {}, start, read - start
            continue
        if names is None:
            names = [name.strip() for name in values]
        elif values:
            yield dict(zip(names, values, strict=False)), start, read - start


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, the longest of them in pieces: a file need not have any end of line."""
    return iter(lambda: file.readline(MAX_ROW + 1), b"")
