"""Where every training image lies: flat arrays over the curated set, read from the sample stage's index.

Legend: N images in the order of the shards, L levels of clusters.
"""

import fcntl
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core import schema
from siglino_core.errors import ConfigError, DataError, SiglinoError, StoreError
from siglino_core.store import Files, Manifest, Ranges, Stage
from siglino_core.store.files import reported
from siglino_core.store.intact import entry, is_intact
from siglino_core.store.sealed import sealed

FETCH_FILES, FETCH_BYTES = 64, 64 << 20  # index files fetched at once: up to so many, of so many bytes together
ABOUT = "about.json"


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageIndex:
    """The curated set's images, a row each: the rows that `siglino_core.distillation.packing.Part` speaks of.

    **What it costs.** An image takes 40 bytes, and 4 more a level of clusters: 56 with four levels, so 11.2 GB at 200M
    images. With a cache that is disk, once a node: the arrays are mapped, take memory only for the pages that are
    touched, and all processes of the node share them. Without a cache every process holds all of it in memory.
    Building takes about six minutes of one core, and up to 64 index files (64 MB) in memory at a time.

    Attributes:
        shards: the image files, relative to the sample stage, e.g. ``images/part-00000.parquet``.
        shard_N: int32, the number of the image's file in ``shards``.
        offset_N, length_N: int64 and int32, the encoded image's byte range in that file.
        heights_N, widths_N: int32, pixels.
        levels_LN: int32 [N] for each level, finest first: the image's cluster.
        ids_N16: uint8 [N, 16], the image_id as raw bytes.
        folder: the cache that the arrays are mapped from; None if they are in memory.
    """

    shards: list[str]
    shard_N: np.ndarray
    offset_N: np.ndarray
    length_N: np.ndarray
    heights_N: np.ndarray
    widths_N: np.ndarray
    levels_LN: list[np.ndarray]
    ids_N16: np.ndarray
    folder: Path | None = None

    @classmethod
    def load(cls, sample: Stage, cache: Path | None = None) -> "ImageIndex":
        """The index of a finished sample.

        Args:
            cache: a local folder that keeps the arrays in a folder named by the sample's digest. Whoever comes first
                builds it, others wait for it; one that is incomplete or cut short is built again. Folders of other
                digests stay, and may be deleted.

        Raises:
            ConfigError: the sample was made by a version that wrote no index.
            DataError: the index does not fit the manifest.
            StoreError: the sample is not finished or was damaged, storage cannot be reached, or the cache's disk is
                full.
        """
        manifest = sample.require()
        shards = training_shards(sample, manifest)
        if cache is None:
            return cls._of(shards, _in_memory(sample, manifest, shards))
        folder = cache.expanduser().absolute() / manifest.digest
        with reported(str(cache)):
            if (index := cls._mapped(folder)) is not None:
                return index
            folder.parent.mkdir(parents=True, exist_ok=True)
            with (folder.parent / f".{folder.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when its process dies
                if cls._mapped(folder) is None:  # else another process built it meanwhile
                    _build(folder, sample, manifest, shards)
            return cls._reopen(folder)

    def __len__(self) -> int:
        return len(self.shard_N)

    def __reduce__(self) -> Any:
        """Mapped arrays travel to another process as their folder's name, not as gigabytes."""
        return (ImageIndex._reopen, (self.folder,)) if self.folder is not None else super().__reduce__()

    def image_id(self, row: int) -> str:
        """The image_id of a row, 32 hex digits."""
        return self.ids_N16[row].tobytes().hex()

    def read_images(self, ranges: Ranges, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """The encoded images of some rows, in that order.

        Args:
            ranges: over the sample stage's files.

        Raises:
            StoreError: a training shard is gone or cut short, or the store cannot be reached.
        """
        return ranges.read([(self.shards[self.shard_N[r]], int(self.offset_N[r]), int(self.length_N[r])) for r in rows])

    @classmethod
    def _of(cls, shards: list[str], arrays: dict[str, np.ndarray], folder: Path | None = None) -> "ImageIndex":
        return cls(
            shards=shards,
            shard_N=arrays["shard"],
            offset_N=arrays["offset"],
            length_N=arrays["length"],
            heights_N=arrays["height"],
            widths_N=arrays["width"],
            levels_LN=[arrays[name] for name in arrays if name.startswith("level_")],
            ids_N16=arrays["image_id"],
            folder=folder,
        )

    @classmethod
    def _mapped(cls, folder: Path, *, known: bool = False) -> "ImageIndex | None":
        """The cached index, or None if there is none or it is not what was written: it can be built again.

        Args:
            known: another process has just looked at its bytes.
        """
        files = Files(str(folder))
        try:
            about = files.read_record(ABOUT)
            if about is None or not (known or all(is_intact(files, n, e) for n, e in about["arrays"].items())):
                return None
            names = _arrays(about["images"], about["levels"])
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
            if any((arrays[name].dtype, arrays[name].shape) != wanted for name, wanted in names.items()):
                return None
            return cls._of([str(name) for name in about["shards"]], arrays, folder)
        except (SiglinoError, OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    @classmethod
    def _reopen(cls, folder: Path) -> "ImageIndex":
        index = cls._mapped(folder, known=True)
        if index is None:
            raise StoreError(f"{folder}: the index that was cached here is gone or cut short. Run again to rebuild it.")
        return index


def _arrays(images: int, levels: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """The dtype and shape of every array, by its name on disk."""
    dtypes = {"shard": "<i4", "offset": "<i8", "length": "<i4", "height": "<i4", "width": "<i4"}
    dtypes |= {f"level_{i}": "<i4" for i in range(1, levels + 1)}
    return {name: (np.dtype(d), (images,)) for name, d in dtypes.items()} | {"image_id": (np.dtype("u1"), (images, 16))}


def training_shards(sample: Stage, manifest: Manifest) -> list[str]:
    """The image files, in the order of their numbers.

    Raises:
        ConfigError: the sample was made by a version that wrote no index.
    """
    names = [n for n in manifest.files if n.startswith("images/")]
    if lacking := [n for n in names if _index_of(n) not in manifest.files]:
        raise ConfigError(
            f"{sample.files.url} has no index of {lacking[0]}: an older version made it. Run again with --redo "
            f"{sample.name}."
        )
    return sorted(names, key=lambda n: (len(n), n))  # part-100000 comes after part-99999


def _index_of(image_file: str) -> str:
    return f"index/{image_file.removeprefix('images/').rpartition('.')[0]}.parquet"


def _parts(sample: Stage, manifest: Manifest, shards: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """Every shard's piece of the arrays."""
    wanted, kept = schema.index(manifest.facts["levels"]), manifest.facts["kept"]
    miscounted = DataError(
        f"{sample.files.url}/index does not hold the manifest's {kept} images. Run again with --redo {sample.name}."
    )
    images = 0
    for numbers in _batches([manifest.files[_index_of(name)][0] for name in shards]):
        contents = sample.files.read_many([_index_of(shards[i]) for i in numbers])
        for i in numbers:
            name = _index_of(shards[i])
            if hashlib.sha256(contents[name]).hexdigest() != manifest.files[name][1]:
                raise StoreError(
                    f"{sample.files.url}/{name} is damaged: its bytes are not those of the manifest. Delete it, then "
                    f"run the {sample.name} stage again: only its shard is redone."
                )
            table = schema.check(pq.ParquetFile(io.BytesIO(contents[name])).read(), wanted, name)
            images += table.num_rows
            if images > kept:
                raise miscounted
            yield {"shard": np.full(table.num_rows, i, np.int32), "image_id": _raw_ids(table)} | {
                n: table[n].to_numpy() for n in wanted.names if n != "image_id"
            }
    if images != kept:
        raise miscounted


def _batches(sizes: list[int]) -> Iterator[list[int]]:
    """Numbers of files to fetch at once."""
    batch: list[int] = []
    held = 0
    for i, size in enumerate(sizes):
        if batch and (len(batch) == FETCH_FILES or held + size > FETCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(i)
        held += size
    if batch:
        yield batch


def _raw_ids(table: pa.Table) -> np.ndarray:
    joined = bytes.fromhex("".join(table["image_id"].to_pylist()))
    return np.frombuffer(joined, np.uint8).reshape(table.num_rows, 16)


def _in_memory(sample: Stage, manifest: Manifest, shards: list[str]) -> dict[str, np.ndarray]:
    wanted = _arrays(manifest.facts["kept"], manifest.facts["levels"])
    arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in wanted.items()}
    start = 0
    for part in _parts(sample, manifest, shards):
        stop = start + len(part["shard"])
        for name, array in arrays.items():
            array[start:stop] = part[name]
        start = stop
    return arrays


def _build(folder: Path, sample: Stage, manifest: Manifest, shards: list[str]) -> None:
    """Write the arrays beside ``folder`` and move them there. Only the holder of the folder's lock comes here."""
    for left in folder.parent.glob(f".{folder.name}-*"):  # by a killed process
        shutil.rmtree(left)
    unfinished, damaged = (folder.parent / f".{folder.name}-{uuid.uuid4().hex}" for _ in range(2))
    unfinished.mkdir()
    try:
        _write(unfinished, sample, manifest, shards)
        if folder.exists():
            os.rename(folder, damaged)
        os.rename(unfinished, folder)
    finally:
        for left in (unfinished, damaged):
            shutil.rmtree(left, ignore_errors=True)


def _write(folder: Path, sample: Stage, manifest: Manifest, shards: list[str]) -> None:
    # Plain writes, not a map: on a full disk a map ends the process without a word.
    wanted = _arrays(manifest.facts["kept"], manifest.facts["levels"])
    with ExitStack() as stack:
        append: dict[str, Callable[[bytes], Any]] = {}
        for name, (dtype, shape) in wanted.items():
            file = stack.enter_context((folder / f"{name}.npy").open("wb"))
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            append[name] = file.write
        for part in _parts(sample, manifest, shards):
            for name, (dtype, _) in wanted.items():
                append[name](np.ascontiguousarray(part[name], dtype).tobytes())
    held = {f"{name}.npy": entry(Files(str(folder)), f"{name}.npy") for name in wanted}
    facts = manifest.facts
    about = {"images": facts["kept"], "levels": facts["levels"], "shards": shards, "arrays": held}
    (folder / ABOUT).write_bytes(sealed(about))
    for path in folder.iterdir():
        with path.open("rb") as f:
            os.fsync(f.fileno())
