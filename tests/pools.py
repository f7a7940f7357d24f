"""Pools on disk for tests: image folders, tars and Parquet files."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.config import Config, Runner, RuntimeConfig, SourceConfig
from siglino_core.store import Manifest, Run
from tests.pictures import picture


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def parquet_file(path: Path, columns: Mapping[str, Any], row_group_size: int = 1000, **metadata: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    if metadata:
        table = table.replace_schema_metadata({k.encode(): v for k, v in metadata.items()})
    pq.write_table(table, path, row_group_size=row_group_size)
    return path


def pictures(n: int, start: int = 0, kind: str = "jpeg") -> list[bytes]:
    return [picture(start + i, kind) for i in range(n)]


def config(uri: str | Path, **source: Any) -> Config:
    return Config(source=SourceConfig(uri=str(uri), **source), runtime=RuntimeConfig(runner=Runner.LOCAL))


def table(run: Run, name: str) -> pa.Table:
    """A Parquet file of the source stage."""
    with run.stage("source").files.parquet(name) as file:
        return file.read()


def stored(run: Run, manifest: Manifest, prefix: str = "part-") -> list[dict[str, Any]]:
    """The rows of all the source stage's files of a kind (part-, rejects/, duplicates/), in order."""
    names = [n for n in manifest.files if n.startswith(prefix)]
    return [row for n in sorted(names) for row in table(run, n).to_pylist()]
