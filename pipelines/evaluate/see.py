"""Puts a unit's pixels through a network and commits the features: the second step of an extraction.

Legend: N samples of a batch, D width, h and w patches.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.support.decoding import Decoded
from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.config import ModelConfig
from siglino_core.device import choose, memory_reused, single_thread
from siglino_core.errors import ConfigError, DataError, SiglinoError
from siglino_core.evaluation.network.load import Described, load_network
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.store.vectors import to_column

BATCH = 32  # images that a network is given at once on a CPU, whatever it makes of them
EXPERTS = "experts"  # of a commit record's and a manifest's facts: counts, as `Features.experts` has them
ROW_GROUP = 128  # rows; not the batch's, which is the device's


@dataclass(frozen=True, kw_only=True, eq=False)
class Extraction(Work):
    """One network on one split; the split is the reader's.

    Attributes:
        model, described: the network as it was asked for, and what is known of it.
        precision: that the features are computed in.
        dense: features of patches too.
        load: what makes the network on a device, if not the door to all that are evaluated.
    """

    model: ModelConfig
    described: Described
    precision: str
    dense: bool
    load: Callable[..., Viewed] | None = None


class Extractor:
    """Holds the network, turns units' pixels into features, and commits them.

    Args:
        works: of one network, by the folder of their features.
    """

    def __init__(self, works: Mapping[str, Extraction]) -> None:
        self._works = works
        self._fault: SiglinoError | None = None
        work = next(iter(works.values()))
        device = choose(work.config.runtime.device)
        if device.device == "cpu":
            single_thread()
        try:
            self._network = _network(work, device.device)
        except SiglinoError as e:  # said with the first shard: out of a constructor Ray would wrap it
            self._fault = e
            return
        self._batch = work.config.evaluate.batch_size or (BATCH if device.device == "cpu" else device.batch_size)

    def commit(self, decoded: Decoded) -> dict[str, Any]:
        """Compute and commit a unit's features; its commit record, and whose it is."""
        if self._fault is not None:
            raise self._fault
        meta = decoded["meta"]
        work, rows = self._works[meta["features"]], meta["rows"]
        dense = list(work.described.dense) if work.dense else []
        columns = schema.features(work.described.views, dense)
        self._experts: list[np.ndarray] = []
        with work.writer(meta["shard"]) as out:
            name = f"{meta['shard']}.parquet"
            with out.parquet(name, columns, plain=[f"patches_{view}" for view in dense]) as file, memory_reused():
                batches = _batches(rows, decoded["pixels"], self._batch)
                for table in _regrouped(self._features(work, *batch, dense).cast(columns) for batch in batches):
                    file.write_table(table, ROW_GROUP)
            bad = [row for row in rows if "error" in row]
            example = f"{bad[0]['sample_id']} ({bad[0]['error']})" if bad else ""
            rejects = {"unread": len(bad)} if bad else {}
            record = out.commit(rows=len(rows), rejects=rejects, facts={"example": example, **self._chosen()})
        return {**record, "features": meta["features"]}

    def _chosen(self) -> dict[str, Any]:
        """How often each of a student's experts was chosen for this unit's tokens."""
        return {EXPERTS: np.sum(self._experts, axis=0).tolist()} if self._experts else {}

    def _features(
        self, work: Extraction, rows: list[dict[str, Any]], images: list[np.ndarray], dense: Sequence[str]
    ) -> pa.Table:
        good = [i for i, row in enumerate(rows) if "error" not in row]
        seen = self._network(images, dense=bool(dense)) if images else None
        if seen is not None and seen.experts is not None:
            self._experts.append(seen.experts)
        columns: dict[str, Any] = {
            "sample_id": [row["sample_id"] for row in rows],
            "image_id": [row.get("image_id", "") for row in rows],
            "label": [row["label"] for row in rows],
            "captions": [row["captions"] for row in rows],
            "error": [row.get("error") for row in rows],
            "height": [row.get("shape", (0, 0))[0] for row in rows],
            "width": [row.get("shape", (0, 0))[1] for row in rows],
        }
        for view, dim in work.described.views.items():
            summaries_ND = np.zeros((len(rows), dim), np.float32)
            if seen is not None:
                summaries_ND[good] = seen.summaries[view]
            _require_finite([summaries_ND[i] for i in range(len(rows))], view, rows)
            columns[f"summary_{view}"] = to_column(summaries_ND)
        grids = [(0, 0)] * len(rows)
        for view in dense:
            cells = [b""] * len(rows)
            maps = seen.patches[view] if seen is not None else []
            _require_finite(maps, view, [rows[i] for i in good])
            for i, patches_hwD in zip(good, maps, strict=True):
                cells[i] = np.ascontiguousarray(patches_hwD, np.float16).tobytes()
                grids[i] = patches_hwD.shape[0], patches_hwD.shape[1]
            columns[f"patches_{view}"] = pa.array(cells, pa.large_binary())
        if dense:
            columns["grid_height"], columns["grid_width"] = (list(side) for side in zip(*grids, strict=True))
            masks = [row.get("mask") for row in rows]
            columns["mask"] = pa.array([None if m is None else bytes.fromhex(m) for m in masks], pa.binary())
        return pa.table(columns)


def _network(work: Extraction, device: str) -> Viewed:
    """The network, if it is on this machine the one that the evaluation began with.

    Raises:
        ConfigError: this machine would compute in another precision.
        DataError: its weights are others.
    """
    evaluate, described = work.config.evaluate, work.described
    here = str(choose(device).dtype).removeprefix("torch.")
    if here != work.precision:
        raise ConfigError(
            f"{work.stage.files.url}: these features are made in {work.precision}, and the device here "
            f"({device}) computes in {here}. Set runtime.device, or make them again with --redo evaluate."
        )
    bounds = {"min_pixels": evaluate.min_pixels, "max_pixels": evaluate.max_pixels}
    if work.load is not None:
        network = work.load(device=device)
    else:
        network = load_network(work.model, **bounds, device=device, precision="auto")
    if network.identity != described.identity:
        raise DataError(
            f"{work.model.name}: the weights here are not those that the evaluation began with "
            f"({network.identity[:12]}, not {described.identity[:12]}). Give every node the same."
        )
    return network


def _require_finite(found: Sequence[np.ndarray], view: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse features of a sample that are not finite.

    Raises:
        DataError: the first such sample.
    """
    for row, values in zip(rows, found, strict=True):
        if not np.isfinite(values).all():
            raise DataError(
                f"the features ({view}) of {row['sample_id']} are not finite, so that nothing can be said of it. The "
                "network's weights may be damaged."
            )


def _batches(
    rows: list[dict[str, Any]], pixels: Any, size: int
) -> Iterator[tuple[list[dict[str, Any]], list[np.ndarray]]]:
    """Rows, and the pixels of those that could be read, so many at a time."""
    buffer, at = np.frombuffer(pixels, np.uint8), 0
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        images = []
        for row in some:
            if "error" not in row:
                height, width = row["shape"]
                images.append(buffer[at : at + height * width * 3].reshape(height, width, 3))
                at += height * width * 3
        yield some, images


def _regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, a row group at a time."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(map(len, held)) >= ROW_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROW_GROUP)
            held = [whole.slice(ROW_GROUP)]
    rest = pa.concat_tables(held) if held else None
    if rest is not None and len(rest):
        yield rest
