"""Data sets that a CSV tells of: a row an image, or a row a caption; paths beside it or below a folder."""

import csv
import io
import json
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from siglino_core.config.settings import did_you_mean
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import Text, read_text
from siglino_core.evaluation.data.entries import Entry, EntrySplit, located
from siglino_core.evaluation.data.label_ids import class_order
from siglino_core.hashing import fingerprint
from siglino_core.pools.location import Location
from siglino_core.pools.record import CAPTION_NAMES, LABEL_NAMES, all_texts, pick, text
from siglino_core.store.files import is_local

FILE_NAMES = ("filepath", "file_name", "filename", "image", "path", "image_path", "file", "img", "image_name")
TITLES = ("title", "raw", "comment")  # of captions, beside those that the pools know
SEPARATORS = ",\t;|"


@dataclass(frozen=True, kw_only=True)
class CsvFile:
    """Which file, and which of its columns; empty: by known names."""

    annotations: str
    uri: str = ""
    file_column: str = ""
    label_column: str = ""
    caption_column: str = ""


def open_csv(file: CsvFile) -> EntrySplit:
    """A CSV or TSV with a header as a split; rows of one image become one sample with all their captions.

    The separator is the one that the header has most of. A caption that is a JSON list of texts is all of them.
    Paths are relative to ``uri``, or to the folder of the CSV; they may be absolute, lead out of it, or be URLs. The
    images are looked for when they are read.

    Raises:
        ConfigError: a column that is asked for is not there.
        DataError: no header, no column of files, nothing but a header, a row without a file, two labels of one image.
        StoreError: the store does not answer.
    """
    read = read_text(file.annotations)
    entries = _entries(read, file)
    location = _location(read, file)
    entries = _measured(entries, location)
    identity = fingerprint([read.digest, file.file_column, file.label_column, file.caption_column])
    sizes = fingerprint([[e.sample_id, e.size] for e in entries])
    split = EntrySplit(
        location=location,
        load=partial(_load, file),
        identity=fingerprint(["csv", identity, sizes]),
        classes=class_order(e.label for e in entries),
    )
    split.__dict__["entries"] = entries  # they are read already
    return split


def _load(file: CsvFile) -> list[Entry]:
    return _entries(read_text(file.annotations), file)


def _location(read: Text, file: CsvFile) -> Location:
    if not file.uri:
        return read.location
    return located(read.location, f"{file.uri.rstrip('/')}/x")[0] if "://" in file.uri else _folder(file.uri)


def _folder(uri: str) -> Location:
    path = posixpath.abspath(posixpath.expanduser(uri.rstrip("/") or "/"))
    return Location(path, path)


def _measured(entries: Sequence[Entry], location: Location) -> list[Entry]:
    """The entries with their files' sizes, where the files are on this machine."""
    sizes: list[Entry] = []
    for entry in entries:
        where, name = located(location, entry.file)
        path = where.path(name) if is_local(where.base) else None
        try:
            sizes.append(replace(entry, size=path.stat().st_size) if path is not None else entry)
        except (OSError, ValueError):  # it is told when its turn comes
            sizes.append(entry)
    return sizes


def _entries(read: Text, file: CsvFile) -> list[Entry]:
    names, rows = _rows(read)
    files = _column(read, names, "file", file.file_column, FILE_NAMES)
    if files is None:
        raise DataError(
            f"annotations={read.url}: no column of file names was found; its header has {', '.join(names[:20])}. "
            f"Name it {FILE_NAMES[0]}."
        )
    rest = [n for n in names if n != files]
    label = _column(read, rest, "label_column", file.label_column, LABEL_NAMES)
    caption = _column(read, rest, "caption_column", file.caption_column, (*CAPTION_NAMES, *TITLES))
    if rest and label is None and caption is None:
        raise DataError(
            f"annotations={read.url}: beside {files} no column of labels or captions was found; its header has "
            f"{', '.join(names[:20])}. Name one with label_column or caption_column."
        )
    found: dict[str, Entry] = {}
    for line, row in rows:
        name = (row.get(files) or "").strip()
        if not name:
            raise DataError(f"annotations={read.url}, line {line}: no file is named in column {files}. Mend the row.")
        own, captions = text(row.get(label)) if label else None, _captions(row.get(caption)) if caption else ()
        before = found.setdefault(name, Entry(sample_id=name, file=name, label=own))
        if before.label != own:
            raise DataError(
                f"annotations={read.url}, line {line}: {name} is {own!r} here and {before.label!r} above. An image "
                "has one label; remove the other row."
            )
        found[name] = replace(before, captions=before.captions + captions)
    if not found:
        raise DataError(f"annotations={read.url}: it has a header and no rows, so the split is empty. Give another.")
    return list(found.values())


def _rows(read: Text) -> tuple[list[str], Iterator[tuple[int, dict[str, str | None]]]]:
    """The header's names, and (line, values) of the rows that are not blank."""
    head = next((line for line in read.text.splitlines() if line.strip()), "")
    if not head:
        raise DataError(f"annotations={read.url} is empty. Give a CSV with a header.")
    counts = Counter(c for c in head if c in SEPARATORS)
    separator = max(SEPARATORS, key=lambda c: counts[c])  # of equally many the first, a comma
    reader = csv.reader(io.StringIO(read.text.replace("\0", "")), delimiter=separator)
    names = [name.strip() for name in next(row for row in reader if row)]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"annotations={read.url}: two columns are named {twice[0]}. Rename one of them.")

    def rows() -> Iterator[tuple[int, dict[str, str | None]]]:
        try:
            for row in reader:
                if not any(value.strip() for value in row):
                    continue
                if len(row) > len(names):
                    raise DataError(
                        f"annotations={read.url}, line {reader.line_num}: {len(row)} values for {len(names)} columns. "
                        "Put texts that hold the separator in double quotes."
                    )
                yield reader.line_num, dict(zip(names, [*row, *[None] * (len(names) - len(row))], strict=True))
        except csv.Error as e:
            raise DataError(f"annotations={read.url}, line {reader.line_num}: {e}. Mend the file.") from e

    return names, rows()


def _column(read: Text, names: list[str], setting: str, wanted: str, known: tuple[str, ...]) -> str | None:
    if wanted and wanted not in names:
        raise ConfigError(
            f"{setting}={wanted}: {read.url} has no such column{did_you_mean(wanted, names)}; it has "
            f"{', '.join(names[:20])}."
        )
    return pick(wanted, names, known)


def _captions(value: str | None) -> tuple[str, ...]:
    """A caption, or those of a JSON list in its place."""
    if value and value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and listed and all(isinstance(v, str) for v in listed):
            return all_texts(listed)
    return all_texts(value)
