"""Shards of images with expressions: written an image a row group, and read an image at a time, in any order.

Legend: N images of all shards, K instances.
"""

import contextlib
import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core import schema
from siglino_core.errors import DamagedError
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.table import from_table
from siglino_core.store import Files, Ranges, Stage

FOOTERS = 1 << 14  # row groups whose places are kept in memory: 7.5 kB each
MEND = "`siglino verify RUN expressions --mend` makes only their shards again."


class GroundingShards(Sequence[Referring]):
    """The images of some shards by number, in the shards' order.

    It may be pickled, and used after a fork; each process opens files of its own.

    Attributes:
        heights_N, widths_N: int32, pixels.
    """

    def __init__(self, files: Files, shards: Sequence[str], sizes: Sequence[np.ndarray]) -> None:
        """Use :meth:`open`.

        Args:
            sizes: of each shard int32 [2, its images]: heights and widths.
        """
        self._files, self._shards, self._sizes = files, list(shards), list(sizes)
        self._ends = np.cumsum([one.shape[1] for one in sizes], dtype=np.int64)
        whole_2N = np.concatenate([np.empty((2, 0), np.int32), *sizes], axis=1)
        self.heights_N, self.widths_N = whole_2N
        self._ranges = Ranges(files)
        self._footers: OrderedDict[str, pq.FileMetaData] = OrderedDict()

    @classmethod
    def open(cls, files: Files, shards: Sequence[str]) -> "GroundingShards":
        """Read the sizes of the images from the index.

        Args:
            files: of the finished stage.
            shards: their names, such as ``train-0-00000`` (:func:`shards_of`).

        Raises:
            DamagedError: an index is damaged.
            StoreError: one is gone, or the store does not answer.
        """
        sizes = []
        for shard in shards:
            table = read_index(files, shard, ["height", "width"])
            sizes.append(np.stack([table[name].to_numpy().astype(np.int32) for name in ("height", "width")]))
        return cls(files, shards, sizes)

    def __reduce__(self) -> tuple[type["GroundingShards"], tuple[Any, ...]]:
        return GroundingShards, (self._files, self._shards, self._sizes)

    def __len__(self) -> int:
        return len(self.heights_N)

    @overload
    def __getitem__(self, row: int) -> Referring: ...

    @overload
    def __getitem__(self, row: slice) -> list[Referring]: ...

    def __getitem__(self, row: int | slice) -> Referring | list[Referring]:
        """An image, by one range of its file once the file's footer is known.

        Raises:
            IndexError: there are not so many.
            DataError: the row is not what it should be.
            DamagedError: its file is damaged.
            StoreError: its file is gone, or the store does not answer.
        """
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(f"image {row} of {len(self)}")
        row %= len(self)
        shard = int(np.searchsorted(self._ends, row, side="right"))
        within = row - (int(self._ends[shard - 1]) if shard else 0)
        name = f"{self._shards[shard]}.parquet"
        url = f"{self._files.url}/{name}"
        with _intact(url):
            footer = self._footer(name, self._sizes[shard].shape[1])
            start, stop = _range_of(footer, within)
            (data,) = self._ranges.read([(name, start, stop - start)])
            with pq.ParquetFile(_Piece(data, start), metadata=footer) as file:
                table = file.read_row_group(within, use_threads=False)
        (found,) = from_table(table, f"{url}, row group {within}")
        return found

    def _footer(self, name: str, rows: int) -> pq.FileMetaData:
        footer = self._footers.pop(name, None)
        if footer is None:
            with self._files.parquet(name) as file:
                footer = file.metadata
            if footer.num_row_groups != rows or footer.num_rows != rows:
                raise DamagedError(
                    f"{self._files.url}/{name} has {footer.num_rows} rows in {footer.num_row_groups} row groups, and "
                    f"its index {rows}: they do not belong together. {MEND}"
                )
            held = rows + sum(other.num_row_groups for other in self._footers.values())
            while held > FOOTERS and self._footers:
                held -= self._footers.popitem(last=False)[1].num_row_groups
        self._footers[name] = footer
        return footer


class _Piece(io.RawIOBase):
    """A part of a file in its place, for a reader that looks nowhere else."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._start, self._at = data, start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._start + len(self._data)}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        begin = self._at - self._start
        if begin < 0:
            raise OSError(f"byte {self._at} is before the row group")
        found = self._data[begin:] if size is None or size < 0 else self._data[begin : begin + size]
        self._at += len(found)
        return found


def _range_of(footer: pq.FileMetaData, row: int) -> tuple[int, int]:
    """First byte of a row group, and the first after it."""
    group = footer.row_group(row)
    starts, stops = [], []
    for i in range(group.num_columns):
        column = group.column(i)
        at = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            at = min(at, column.dictionary_page_offset)
        starts.append(at)
        stops.append(at + column.total_compressed_size)
    return min(starts), max(stops)


@contextlib.contextmanager
def _intact(url: str) -> Iterator[None]:
    """What Arrow says of damage becomes a :class:`DamagedError` that names ``url``."""
    try:
        yield
    except (ValueError, OSError, pa.ArrowException) as e:
        text = f"{e}".partition("\n")[0][:200]
        raise DamagedError(f"{url} is damaged ({text}). {MEND}") from e


def shards_of(stage: Stage, kind: str, number: int | None = None) -> list[str]:
    """The names of a finished stage's shards.

    Args:
        kind: train or test.
        number: of the set; None: all.
    """
    return [s["name"] for s in stage.shards(kind) if number is None or s["set"] == number]


def index_of(rows: Sequence[Referring]) -> pa.Table:
    """What the index says of images (`siglino_core.schema.GROUNDING_INDEX`)."""
    return pa.Table.from_pylist([_indexed(row) for row in rows], schema.GROUNDING_INDEX)


def _indexed(row: Referring) -> dict[str, Any]:
    boxes_K4 = np.concatenate([np.empty((0, 4), np.float32), *(e.boxes_K4 for e in row.expressions)])
    shares_K4 = boxes_K4 / np.array([row.width, row.height] * 2, np.float32)
    return {
        "image_id": row.image_id,
        "width": row.width,
        "height": row.height,
        "content": content_of(row),
        "expressions": len(row.expressions),
        "boxes": shares_K4.tolist(),
    }


def content_of(row: Referring) -> str:
    """What the encoded image is known by, whatever its id."""
    return hashlib.sha256(row.data).hexdigest()[:32]


def read_index(files: Files, shard: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a shard's index.

    Raises:
        DamagedError: it is damaged.
        StoreError: it is gone, or the store does not answer.
    """
    name = f"index/{shard}.parquet"
    with _intact(f"{files.url}/{name}"), files.parquet(name) as file:
        return file.read(list(columns), use_threads=False)
