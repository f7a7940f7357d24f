"""A training's artifact: the student's weights and the loss of every curation cluster, from the last checkpoint."""

import json
import statistics
from typing import Any

from safetensors.torch import save_file

from pipelines.support.work import Work
from siglino_core.device import Device
from siglino_core.distillation.training import metrics
from siglino_core.distillation.training.checkpoints import Checkpoints, Kept
from siglino_core.distillation.training.clusters import table
from siglino_core.distillation.training.mixture import largest_area
from siglino_core.distillation.training.rank import Job
from siglino_core.errors import StoreError
from siglino_core.schema import CLUSTER_LOSS
from siglino_core.weights.checkpoint import tensor, weights
from siglino_core.weights.marks import entries, spoilt

STUDENT = "student"
KINDS = (".summary", ".patch", ".register", ".relation", ".gram")  # of losses


def checkpoints_of(work: Work) -> list[Kept]:
    """The training's checkpoints that are whole, oldest first; raises as `Checkpoints.all`."""
    return Checkpoints(work.stage.files.sub("checkpoints"), work.fingerprint).all()


def is_trained(work: Work, steps: int) -> bool:
    """Whether the last step's checkpoint is there, and is what was written."""
    kept = checkpoints_of(work)
    if not kept or kept[-1].step < steps:
        return False
    return not spoilt(work.stage.files.sub(f"checkpoints/{kept[-1].name}"), kept[-1].about["files"])


def commit(work: Work, job: Job, device: Device) -> dict[str, Any]:
    """The student's weights and the clusters' losses, from the last checkpoint; facts for the manifest."""
    checkpoints, files = checkpoints_of(work), work.stage.files
    steps = job.config.train.optim.steps
    if not checkpoints or checkpoints[-1].step < steps:
        raise StoreError(f"{files.url}: the last checkpoint, of step {steps}, is not there. Run again.")
    last = checkpoints[-1]
    folder = files.sub(f"checkpoints/{last.name}")
    state = weights(folder)
    with work.writer(STUDENT) as out:
        path = out.path("student/model.safetensors")
        save_file(state, path, metadata={"format": "pt"})
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes files that their owner alone can read
        out.path("student/config.json").write_text(
            json.dumps(job.config_json, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        losses = table(tensor(folder, "clusters"), steps)
        out.write("clusters/part-00000.parquet", losses, CLUSTER_LOSS)
        out.commit(rows=steps)
    lines = metrics.read(files, last.about["metrics"])
    return {
        "student": job.config.train.student,
        "teachers": [card.deciding() for card in job.cards],
        "parameters": sum(t.numel() for t in state.values()),
        "steps": steps,
        "images": int(sum(line["images"] for line in lines)),
        "tokens": int(sum(line["tokens"] for line in lines)),
        "cluster_level": job.level,
        "ranks": last.about["ranks"],
        "device": device.reason,
        "max_pixels": largest_area(job.config),
        "losses": _losses(lines),
        **_medians(lines),
    }


def extras(work: Work) -> dict[str, list[Any] | None]:
    """What a training leaves beside its artifact, the curve and the checkpoints, as the marks of these know them."""
    names = [n for n in work.stage.files.sizes() if n == metrics.NAME or n.startswith("checkpoints/")]
    held: dict[str, list[Any]] = {}
    for kept in checkpoints_of(work):
        held |= entries(kept.about, f"checkpoints/{kept.name}/") | {metrics.NAME: kept.about["metrics"]}
    return {name: held.get(name) for name in names}


def _medians(lines: list[dict[str, Any]]) -> dict[str, float]:
    """What a step was like; nothing if the curve was lost."""
    names = ("tokens_per_second", "data_wait", "padding") if lines else ()
    return {name: statistics.median(line[name] for line in lines) for name in names}


def _losses(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Every loss at the beginning and at the end: means over a tenth of the steps, ten at most, that were finite."""
    good = [line for line in lines if line["loss"] is not None]
    if not good:
        return {"first": {}, "last": {}}
    some = max(1, min(10, len(lines) // 10))
    names = [k for k in dict.fromkeys(k for line in good for k in line) if k == "loss" or k.endswith(KINDS)]

    def mean(steps: list[dict[str, Any]]) -> dict[str, float]:
        told = {name: [line[name] for line in steps if name in line] for name in names}  # a step may lack a teacher
        return {name: round(statistics.fmean(values), 6) for name, values in told.items() if values}

    return {"first": mean(good[:some]), "last": mean(good[-some:])}
