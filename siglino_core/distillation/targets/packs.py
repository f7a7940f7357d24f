"""The images of a training shard in packs of bounded tokens, ready for teachers.

Legend: N images of the shard; in a pack, N patches of all its images and V values of a patch.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from siglino_core.distillation.packing.mixture import grids
from siglino_core.errors import DataError
from siglino_core.images.decode import BadImage
from siglino_core.images.patches import to_patches
from siglino_core.models.resolution import Resolution
from siglino_core.store import Ranges, Stage

AHEAD = 2  # packs that are decoded while the teachers compute


class Pack(NamedTuple):
    """Images that a teacher takes at once."""

    ids: list[str]
    shapes: list[tuple[int, int]]  # (height, width) in patches
    patches_NV: Tensor  # uint8


def images_in(sample: Stage, shard: str) -> int:
    """How many images a training shard holds."""
    with sample.files.parquet(f"index/{shard}.parquet") as file:
        return file.metadata.num_rows


def packs(
    sample: Stage,
    shard: str,
    images: str,
    *,
    resolution: Resolution,
    capacity: int,
    rows: np.ndarray | None = None,
    threads: int = 0,
) -> Iterator[Pack]:
    """A shard's images in the order of its rows; a pack holds as many as fit, and one at least.

    Args:
        images: the shard's file of images, relative to the sample stage.
        capacity: patches of a pack.
        rows: sorted, those wanted; None: all.
        threads: that decode ahead; 0: in this one, when asked. They change nothing but the time.

    Raises:
        DataError: an image cannot be decoded, or is too small or too narrow for a grid; it names the image.
        StoreError: the shard is gone or cut short.
    """
    table = read_index(sample, shard, rows)
    grid_N2 = _grids(table, images, resolution)
    ranges = Ranges(sample.files)
    wanted = list(zip([images] * len(grid_N2), table["offset"].to_pylist(), table["length"].to_pylist(), strict=True))
    ids, shapes = table["image_id"].to_pylist(), [(int(h), int(w)) for h, w in grid_N2]

    def decoded(row: int, data: bytes) -> Tensor:
        try:
            return to_patches(data, shapes[row], resolution.patch_size)
        except BadImage as e:
            raise DataError(
                f"image {ids[row]} of {sample.files.url}/{images} cannot be decoded ({e}), though the sample's images "
                f"could be: the file is another one by now. Run again with --redo {sample.name}."
            ) from e

    def joined(cut: slice, parts: Iterator[Tensor]) -> Pack:
        return Pack(ids[cut], shapes[cut], torch.cat(list(parts)))

    cuts = _cuts([h * w for h, w in shapes], capacity)
    if not threads:
        for cut in cuts:
            yield joined(cut, map(decoded, range(len(ids))[cut], ranges.read(wanted[cut])))
        return
    waiting: deque[tuple[slice, Iterator[Tensor]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for cut in cuts:
            waiting.append((cut, pool.map(decoded, range(len(ids))[cut], ranges.read(wanted[cut]))))
            if len(waiting) > AHEAD:
                yield joined(*waiting.popleft())
        while waiting:
            yield joined(*waiting.popleft())


def read_index(sample: Stage, shard: str, rows: np.ndarray | None = None) -> pa.Table:
    """The sample's index of a training shard: image_id, width, height, offset, length."""
    with sample.files.parquet(f"index/{shard}.parquet") as file:
        table = file.read(columns=["image_id", "width", "height", "offset", "length"])
    return table if rows is None else table.take(pa.array(rows))


def _grids(table: pa.Table, images: str, resolution: Resolution) -> np.ndarray:
    sides = table["height"].to_numpy(), table["width"].to_numpy()
    try:
        return grids(*sides, resolution)
    except ValueError:
        for image_id, height, width in zip(table["image_id"].to_pylist(), *sides, strict=True):
            try:
                grids(np.array([height]), np.array([width]), resolution)
            except ValueError as e:
                raise DataError(
                    f"image {image_id} of {images}: {e}. Curate again with such images left out: source.min_side, "
                    "source.max_aspect."
                ) from e
        raise


def _cuts(tokens: list[int], capacity: int) -> list[slice]:
    """Where packs begin and end."""
    cuts: list[Any] = []
    begin = held = 0
    for i, n in enumerate(tokens):
        if held and held + n > capacity:
            cuts.append(slice(begin, i))
            begin, held = i, 0
        held += n
    return [*cuts, slice(begin, len(tokens))] if tokens else []
