"""What a data set's question is when training has seen some of its test images: told of, or asked without them.

Legend: N samples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from siglino_core.config import Overlap
from siglino_core.errors import DataError
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.segmentation.dense import Dense, DenseSample

if TYPE_CHECKING:
    from pipelines.evaluate.score import EvaluateWork


def seen(work: "EvaluateWork", dataset: str, passed: list[str]) -> tuple[dict[str, Any], set[str]]:
    """What every result of a data set says of it, and the samples that are to be left out.

    Args:
        passed: is told in sentences.
    """
    one = next((c for c in work.checks if c.dataset == dataset), None)
    if one is None:
        return {}, set()
    with work.stage.files.parquet(f"overlap/{dataset}.parquet") as file:
        table = file.read(["sample_id", "exact"])
    samples = set(table["sample_id"].to_pylist())
    exact = sum(table["exact"].to_pylist())
    removed = work.config.evaluate.overlap is Overlap.REMOVE
    told: dict[str, Any] = {"exact": exact, "removed": len(samples) if removed else 0}
    if one.near:
        told |= {"near": len(samples) - exact, "threshold": one.threshold}
    else:
        passed.append(f"near copies of training images were not looked for in {dataset}: {one.why}")
    if samples:
        near = f", {len(samples) - exact} nearly (cosine {one.threshold:g} and more)" if one.near else ""
        done = "they are left out" if removed else "they count all the same (evaluate.overlap=remove leaves them out)"
        passed.append(
            f"{len(samples)} test images of {dataset} are in the run's training sample, {exact} of them byte by "
            f"byte{near}: {done}"
        )
    return {"overlap": told}, samples if removed else set()


def without(features: Features, gone: set[str]) -> Features:
    """Features of the other samples.

    Raises:
        DataError: none is left.
    """
    if not gone:
        return features
    kept = [i for i, sample in enumerate(features.sample_ids) if sample not in gone]
    if not kept:
        raise DataError(
            f"{features.dataset}: all {len(features)} test images are in the run's training sample, so that none is "
            "left. Evaluate on another data set, or set evaluate.overlap=tell."
        )
    return replace(
        features,
        sample_ids=[features.sample_ids[i] for i in kept],
        image_ids=[features.image_ids[i] for i in kept],
        labels=[features.labels[i] for i in kept],
        captions=[features.captions[i] for i in kept],
        summaries=_Some(features.summaries, np.array(kept)),
    )


class Others:
    """Features of patches of the other samples, as `siglino_core.evaluation.segmentation.dense.Dense`."""

    def __init__(self, patches: Dense, gone: set[str]) -> None:
        self._patches, self._gone = patches, gone

    def __iter__(self) -> Iterator[DenseSample]:
        samples = map(DenseSample._make, self._patches)
        return (sample for sample in samples if sample.sample_id not in self._gone)


class _Some(Mapping[str, np.ndarray]):
    """Some rows of each view's summaries; of the views one is in memory at a time."""

    def __init__(self, summaries: Mapping[str, np.ndarray], kept: np.ndarray) -> None:
        self._summaries, self._kept = summaries, kept

    def __getitem__(self, view: str) -> np.ndarray:
        return self._summaries[view][self._kept]

    def __iter__(self) -> Iterator[str]:
        return iter(self._summaries)

    def __len__(self) -> int:
        return len(self._summaries)
