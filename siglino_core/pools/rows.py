"""From what a reader yields to the rows of the source artifact: images, and rejects with their reasons."""

import hashlib
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core import schema
from siglino_core.config import Keep, SourceConfig
from siglino_core.images.decode import probe
from siglino_core.images.reasons import BadImage
from siglino_core.pools.record import Found, Passed, Refused

GROUP_BYTES = 32 << 20  # of images in a row group
GROUP_ROWS = 65536
EXAMPLES = 3  # rejects of a shard that its commit record quotes


def image_id(data: bytes) -> str:
    """An image's name everywhere: the first 32 hex digits of the SHA-256 of its encoded bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


class SourceRows:
    """Checks images and writes them, a row group at a time; call :meth:`flush` at the end.

    Attributes:
        images: rows written to ``images``.
        bytes: total length of the encoded images.
        largest: the longest of them, and the most pixels.
        formats: of the images, by encoding.
        reasons: images that are rejected, by reason.
        passed: what was left out that is no image of its own, by what it is.
        examples: the first few rejects, as text.
    """

    def __init__(self, images: pq.ParquetWriter, rejects: pq.ParquetWriter, config: SourceConfig) -> None:
        self.images = 0
        self.bytes = 0
        self.largest = {"bytes": 0, "pixels": 0}
        self.formats: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.examples: list[str] = []
        self._config = config
        self._images = _Buffer(images, schema.SOURCE)
        self._rejects = _Buffer(rejects, schema.REJECTS)

    def add(self, item: Found | Refused | Passed) -> None:
        if isinstance(item, Passed):
            self.passed[item.what] += item.times
            return
        if isinstance(item, Found):
            limits = {"max_pixels": self._config.max_pixels, "max_bytes": self._config.max_bytes}
            try:
                info = probe(item.data, verify=self._config.verify, **limits)
                self._check_sides(info.width, info.height)
            except BadImage as e:
                item = Refused(uri=item.uri, key=item.key, reason=e.reason, error=e.message)
            else:
                self._keep(item, info.format, info.width, info.height)
                return
        self.reasons[item.reason] += item.images
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{item.uri} [{item.key}]: {item.reason}, {item.error}")
        self._rejects.add(0, _clean(item.uri), _clean(item.key), item.reason, _clean(item.error), item.images)

    def _check_sides(self, width: int, height: int) -> None:
        """What no student can cut into patches must not be among the images that curation chooses from."""
        short, long = sorted((width, height))
        if short < self._config.min_side:
            raise BadImage("too_small", f"{width} x {height} pixels, a side under {self._config.min_side}")
        if long > self._config.max_aspect * short:
            raise BadImage("too_narrow", f"{width} x {height} pixels, an aspect over {self._config.max_aspect:g}")

    def flush(self) -> None:
        self._images.flush()
        self._rejects.flush()

    def _keep(self, item: Found, kind: str, width: int, height: int) -> None:
        size = len(item.data)
        self.images += 1
        self.bytes += size
        self.formats[kind] += 1
        self.largest = {
            "bytes": max(self.largest["bytes"], size),
            "pixels": max(self.largest["pixels"], width * height),
        }
        held = item.data if self._config.keep is Keep.BYTES else None
        self._images.add(
            (size if held is not None else 0) + len(item.caption or "") + len(item.label or ""),
            image_id(item.data),
            _clean(item.uri),
            _clean(item.key),
            item.offset,
            kind,
            width,
            height,
            size,
            _clean(item.caption),
            _clean(item.label),
            held,
        )


class _Buffer:
    """Rows that become a row group when they are many or long."""

    def __init__(self, writer: pq.ParquetWriter, columns: pa.Schema) -> None:
        self._writer = writer
        self._schema = columns
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, size: int, *row: Any) -> None:
        self._rows.append(row)
        self._bytes += size
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            columns = [pa.array(c, f.type) for c, f in zip(zip(*self._rows, strict=True), self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._bytes = [], 0


def _clean(text: str | None) -> Any:
    """Text that can be stored: lone surrogates, from undecodable file names or broken JSON, become ``?``."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()
