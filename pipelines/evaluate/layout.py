"""How features lie in a run: `features/KEY/`, one folder for one network, one split and one way to make pixels.

They belong to no evaluation: whatever asks for the same features finds them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.evaluate.read import LIMITS
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.segmentation.dense import DenseSample
from siglino_core.images.decode import decode_numbers
from siglino_core.store import Manifest, Stage
from siglino_core.store.vectors import from_column

FOLDER = "features"
HELD_BYTES = 256 << 20  # of a view's patches and masks that stay in memory


def read(stage: Stage, manifest: Manifest, *, network: str, dataset: str, split: str) -> Features:
    """What a finished extraction holds, the features of patches apart.

    Args:
        network, dataset, split: their names in the evaluation that asks; another may have extracted them.
    """
    facts = manifest.facts
    table = _columns(stage, manifest, ["sample_id", "image_id", "label", "captions", "error"])
    errors = table["error"]
    good = table.filter(errors.is_null())
    bad = table.filter(errors.is_valid())
    failed = zip(bad["sample_id"].to_pylist(), bad["label"].to_pylist(), bad["captions"].to_pylist(), strict=True)
    return Features(
        network=network,
        dataset=dataset,
        split=split,
        sample_ids=good["sample_id"].to_pylist(),
        image_ids=good["image_id"].to_pylist(),
        labels=good["label"].to_pylist(),
        captions=[tuple(texts) for texts in good["captions"].to_pylist()],
        summaries=Summaries(stage, manifest),
        failed={sample: (label, tuple(captions)) for sample, label, captions in failed},
        preprocessing=facts["pixels"],
        experts=np.array(facts["experts"], np.int64) if "experts" in facts else None,
        hashes={
            "network": manifest.identity["config"]["network"],
            "split": manifest.identity["config"]["split"],
            "features": manifest.digest,
        },
    )


class Summaries(Mapping[str, np.ndarray]):
    """Summaries of the samples that could be read, by view; of the views one is in memory at a time."""

    def __init__(self, stage: Stage, manifest: Manifest) -> None:
        self._stage, self._manifest = stage, manifest
        self._held: tuple[str, np.ndarray] | None = None

    def __getitem__(self, view: str) -> np.ndarray:
        if view not in self._manifest.facts["views"]:
            raise KeyError(view)
        if self._held is None or self._held[0] != view:
            self._held = None  # first, so that there are never two
            self._held = view, self._read(view)
        return self._held[1]

    def _read(self, view: str) -> np.ndarray:
        """[N, D]; beside it memory holds one part."""
        manifest, at = self._manifest, 0
        found_ND = np.empty((manifest.rows - sum(manifest.rejects.values()), manifest.facts["views"][view]), np.float32)
        for part in _parts(manifest):
            with self._stage.files.parquet(part) as file:
                table = file.read(["error", f"summary_{view}"])
            rows = from_column(table.filter(table["error"].is_null())[f"summary_{view}"])
            found_ND[at : at + len(rows)] = rows
            at += len(rows)
        return found_ND

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifest.facts["views"])

    def __len__(self) -> int:
        return len(self._manifest.facts["views"])


class Patches:
    """The features of patches of one view, with masks, from storage: as often as they are asked for.

    A split of less than :data:`HELD_BYTES` stays in memory from its first whole reading on.
    """

    def __init__(self, stage: Stage, manifest: Manifest, view: str) -> None:
        self._stage, self._manifest, self._view = stage, manifest, view
        self._dim = manifest.facts["views"][view]
        self._held: list[DenseSample] | None = None

    def __iter__(self) -> Iterator[DenseSample]:
        if self._held is not None:
            yield from self._held
            return
        held: list[DenseSample] | None = []
        size = 0
        for sample in self._read():
            size += sample.patches_hwD.nbytes + sample.mask_HW.nbytes
            if held is not None and size <= HELD_BYTES:
                held.append(sample)
            else:
                held = None
            yield sample
        self._held = held

    def _read(self) -> Iterator[DenseSample]:
        names = ["sample_id", f"patches_{self._view}", "grid_height", "grid_width", "mask"]
        for name in _parts(self._manifest):
            with self._stage.files.parquet(name) as file:
                for batch in file.iter_batches(64, columns=names):
                    yield from (self._one(row) for row in batch.to_pylist() if row["mask"] is not None)

    def _one(self, row: dict[str, Any]) -> DenseSample:
        shape = row["grid_height"], row["grid_width"], self._dim
        patches_hwD = np.frombuffer(row[f"patches_{self._view}"], np.float16).reshape(shape).copy()  # to be writable
        return DenseSample(row["sample_id"], patches_hwD, decode_numbers(row["mask"], **LIMITS))


def _parts(manifest: Manifest) -> list[str]:
    return [name for name in manifest.files if name.startswith("part-")]


def _columns(stage: Stage, manifest: Manifest, names: list[str]) -> pa.Table:
    tables = []
    for name in _parts(manifest):
        with stage.files.parquet(name) as file:
            tables.append(file.read(names))
    return pa.concat_tables(tables)
