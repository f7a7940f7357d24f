"""A training's artifact: the student's weights and the loss of every curation cluster, from the last checkpoint."""

import json
from typing import Any

from safetensors.torch import save_file

from pipelines.support.trained import first_and_last, last_checkpoint, medians
from pipelines.support.work import Work
from siglino_core.device import Device
from siglino_core.distillation.training import metrics
from siglino_core.distillation.training.clusters import table
from siglino_core.distillation.training.mixture import largest_area
from siglino_core.distillation.training.rank import Job
from siglino_core.schema import CLUSTER_LOSS
from siglino_core.weights.checkpoint import tensor, weights

STUDENT = "student"
KINDS = (".summary", ".patch", ".register", ".relation", ".gram")  # of losses


def commit(work: Work, job: Job, device: Device) -> dict[str, Any]:
    """The student's weights and the clusters' losses, from the last checkpoint; facts for the manifest."""
    files, steps = work.stage.files, job.config.train.optim.steps
    last = last_checkpoint(work, steps)
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
        "losses": first_and_last(lines, lambda name: name.endswith(KINDS)),
        **medians(lines, "tokens_per_second", "data_wait", "padding"),
    }
