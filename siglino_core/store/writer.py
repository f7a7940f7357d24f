"""Writes a shard: its files aside, then all of them into place, then the record that makes them count."""

import hashlib
import io
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.store.files import UNFINISHED, Files, reported
from siglino_core.store.sealed import sealed


class ShardWriter:
    """Writes a shard's files aside and commits them together; a context manager.

    Files become visible in :meth:`commit` alone; leaving the context without it drops them.
    """

    def __init__(self, files: Files, shard: str, identity_fingerprint: str, worked: float) -> None:
        self._files = files
        self._shard = shard
        self._fingerprint = identity_fingerprint
        self._written: dict[str, Path] = {}
        self._started = time.monotonic() - worked
        self._folder: Path | None = None

    def __enter__(self) -> "ShardWriter":
        with reported(self._files.url):
            if self._files.local is None:
                self._folder = Path(tempfile.mkdtemp(prefix="siglino-"))
            else:
                self._folder = self._files.local / UNFINISHED / f"{self._shard}-{uuid.uuid4().hex}"
                self._folder.mkdir(parents=True)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Where to write the file that will be ``name``."""
        assert self._folder is not None, "enter the context first"
        self._written[name] = self._folder / f"{len(self._written)}"
        return self._written[name]

    def written(self, name: str) -> Path:
        """Where a file that was asked for lies until the commit: to look at what was written."""
        return self._written[name]

    @contextmanager
    def parquet(self, name: str, schema: pa.Schema, plain: Sequence[str] = ()) -> Iterator[pq.ParquetWriter]:
        """A Parquet writer for ``name``: zstd, with statistics, no dictionary on ids and bytes.

        Args:
            plain: columns to store uncompressed, PLAIN and without a dictionary, as encoded images in ``bytes`` always
                are: nothing makes them smaller, and `siglino_core.store.locate` finds each value's byte range.
        """
        dictionary = [
            n
            for n in schema.names
            if n in ("source_uri", "format", "label", "reason", "shard", "kept_shard") and n not in plain
        ]
        assert set(plain) <= set(schema.names), f"plain={plain}: of {schema.names}"
        raw = {"bytes", *plain}
        compression = {p: "none" if p.partition(".")[0] in raw else "zstd" for p in _leaves(schema)}
        with (
            reported(f"{self._files.url}/{name}"),
            pq.ParquetWriter(
                self.path(name),
                schema,
                compression=compression,  # type: ignore[arg-type]  # the stub knows one for all columns
                use_dictionary=dictionary or False,  # type: ignore[arg-type]  # the stub knows bool alone
                write_page_index=True,
                write_batch_size=16 if "bytes" in schema.names else 1024,  # how often a page's length is looked at
            ) as writer,
        ):
            yield writer

    def write(self, name: str, table: pa.Table, schema: pa.Schema, row_group_size: int = 65536) -> None:
        """The whole of a small file at once."""
        with self.parquet(name, schema) as out:
            out.write_table(table.cast(schema), row_group_size=row_group_size)

    def put(self, name: str, data: bytes) -> None:
        """The whole of a small file that is not Parquet."""
        with reported(f"{self._files.url}/{name}"):
            self.path(name).write_bytes(data)

    def commit(
        self, *, rows: int, rejects: dict[str, int] | None = None, facts: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Move the files into place, then write the record that makes them count; returns it."""
        entries: dict[str, list[Any]] = {}
        for name, path in self._written.items():
            with reported(f"{self._files.url}/{name}"), path.open("rb") as f:
                entries[name] = [path.stat().st_size, hashlib.file_digest(f, "sha256").hexdigest()]
            self._files.put_file(name, path)
        record = {
            "shard": self._shard,
            "fingerprint": self._fingerprint,
            "rows": rows,
            "rejects": rejects or {},
            "files": entries,
            "facts": facts or {},
            "seconds": round(time.monotonic() - self._started, 3),
        }
        self._files.put(f"commits/{self._shard}.json", sealed(record))
        return record


def _leaves(schema: pa.Schema) -> list[str]:
    """The paths of Parquet's own columns: a list's items are one, ``name.list.element``."""
    sink = io.BytesIO()
    pq.write_metadata(schema, sink)
    stored = pq.read_metadata(io.BytesIO(sink.getvalue())).schema
    return [stored.column(i).path for i in range(len(stored))]
