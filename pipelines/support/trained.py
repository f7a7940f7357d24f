"""What every training leaves: checkpoints, the curve, and what its first and last steps were like."""

import statistics
from collections.abc import Callable
from typing import Any

from pipelines.support.work import Work
from siglino_core.distillation.training import metrics
from siglino_core.distillation.training.checkpoints import Checkpoints, Kept
from siglino_core.errors import StoreError
from siglino_core.weights.marks import entries, spoilt


def checkpoints_of(work: Work) -> list[Kept]:
    """The training's checkpoints that are whole, oldest first; raises as `Checkpoints.all`."""
    return Checkpoints(work.stage.files.sub("checkpoints"), work.fingerprint).all()


def is_trained(work: Work, steps: int) -> bool:
    """Whether the last step's checkpoint is there, and is what was written."""
    kept = checkpoints_of(work)
    if not kept or kept[-1].step < steps:
        return False
    return not spoilt(work.stage.files.sub(f"checkpoints/{kept[-1].name}"), kept[-1].about["files"])


def last_checkpoint(work: Work, steps: int) -> Kept:
    """The checkpoint of the last step.

    Raises:
        StoreError: it is not there.
    """
    checkpoints = checkpoints_of(work)
    if not checkpoints or checkpoints[-1].step < steps:
        raise StoreError(f"{work.stage.files.url}: the last checkpoint, of step {steps}, is not there. Run again.")
    return checkpoints[-1]


def extras(work: Work) -> dict[str, list[Any] | None]:
    """What a training leaves beside its artifact, the curve and the checkpoints, as the marks of these know them."""
    names = [n for n in work.stage.files.sizes() if n == metrics.NAME or n.startswith("checkpoints/")]
    held: dict[str, list[Any]] = {}
    for kept in checkpoints_of(work):
        held |= entries(kept.about, f"checkpoints/{kept.name}/") | {metrics.NAME: kept.about["metrics"]}
    return {name: held.get(name) for name in names}


def medians(lines: list[dict[str, Any]], *names: str) -> dict[str, float]:
    """What a step was like; nothing if the curve was lost."""
    return {name: statistics.median(line[name] for line in lines) for name in (names if lines else ())}


def first_and_last(lines: list[dict[str, Any]], is_loss: Callable[[str], bool]) -> dict[str, dict[str, float]]:
    """Every loss at the beginning and at the end: means over a tenth of the steps, ten at most, that were finite."""
    good = [line for line in lines if line["loss"] is not None]
    if not good:
        return {"first": {}, "last": {}}
    some = max(1, min(10, len(lines) // 10))
    names = [k for k in dict.fromkeys(k for line in good for k in line) if k == "loss" or is_loss(k)]

    def mean(steps: list[dict[str, Any]]) -> dict[str, float]:
        told = {name: [line[name] for line in steps if name in line] for name in names}  # a step may lack one
        return {name: round(statistics.fmean(values), 6) for name, values in told.items() if values}

    return {"first": mean(good[:some]), "last": mean(good[-some:])}
