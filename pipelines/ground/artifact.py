"""A fine-tuning's artifact: the model as a folder, from the last checkpoint."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import siglino_core
from pipelines.ground.job import Student
from pipelines.support.trained import first_and_last, last_checkpoint, medians
from pipelines.support.work import Work
from siglino_core.config import Start
from siglino_core.device import Device
from siglino_core.distillation.training import metrics
from siglino_core.grounding.folder import write
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.training.rank import Job
from siglino_core.grounding.transfer import Transfer, transfer
from siglino_core.weights.checkpoint import weights

MODEL = "model"
KINDS = frozenset({"answer", "coordinate", "size", "box", "focal", "dice", "gram"})  # of losses


def commit(work: Work, job: Job, student: Student, device: Device) -> dict[str, Any]:
    """The model's folder; facts for the manifest."""
    ground, files = job.config.ground, work.stage.files
    last = last_checkpoint(work, ground.optim.steps)
    state = weights(files.sub(f"checkpoints/{last.name}"))
    moved = _transfer(job)
    with tempfile.TemporaryDirectory(prefix="siglino-") as scratch, work.writer(MODEL) as out:
        folder = Path(scratch) / MODEL
        folder.mkdir()
        what = "of the student" if ground.start is Start.STUDENT else "of a student's shape, with drawn weights"
        source = f"{what} {student.identity[:12]}, fine-tuned by siglino {siglino_core.__version__}"
        write(folder, state, job.config_json, moved, source=source)
        for file in sorted(folder.iterdir()):
            shutil.copyfile(file, out.path(f"{MODEL}/{file.name}"))
        out.commit(rows=ground.optim.steps)
    lines = metrics.read(files, last.about["metrics"])
    return {
        "student": student.identity,
        "start": ground.start.value,
        "copied": len(moved.copied),
        "new": len(moved.new),
        "parameters": sum(t.numel() for t in state.values()),
        "steps": ground.optim.steps,
        "images": int(sum(line["images"] for line in lines)),
        "instances": int(sum(line["instances"] for line in lines)),
        "tokens": int(sum(line["tokens"] for line in lines)),
        "ranks": last.about["ranks"],
        "device": device.reason,
        "losses": first_and_last(lines, lambda name: name in KINDS),
        **medians(lines, "tokens_per_second", "data_wait"),
    }


def _transfer(job: Job) -> Transfer:
    """What became of the student's keys when the training began."""
    model = GroundingModel(job.shape)
    if job.config.ground.start is Start.SCRATCH:
        return Transfer(copied=(), new=tuple(model.state_dict()), heads=(), unused=())
    from siglino_core.weights.load import load_student  # transformers: seconds

    loaded = load_student(job.student)
    return transfer(model, loaded.state_dict(), loaded.spec)
