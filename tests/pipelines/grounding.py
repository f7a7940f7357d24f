"""A fine-tuning small enough to be done again and again: a student of two layers, on scenes of 64 pixels."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipelines import expressions, ground
from pipelines.support.runtime import Result
from siglino_core.config import Config, build
from siglino_core.models import SigLinoConfig
from siglino_core.store import Identity, Run
from tests.pipelines.distilling import TIMES, nested
from tests.siglino_core.models.tiny import TEACHERS, exported
from tests.siglino_core.models.tiny import student as drawn

STUDENT = SigLinoConfig(
    width=32, layers=2, heads=2, head_dim=16, experts=4, top_k=2, expert_hidden=16, registers=4, teachers=TEACHERS
)
STEPS = 6
SCENES = {"count": 24, "side": 64}


def student(folder: Path, shape: SigLinoConfig = STUDENT, seed: int = 0) -> str:
    """An exported student with drawn weights."""
    return exported(folder, drawn(shape, seed))


def settings(run: str | Path, checkpoint: str = "", **changes: Any) -> dict[str, Any]:
    """One process of a CPU, two packs of three images a step; later settings win: `ground__pack__capacity=64`."""
    chosen: dict[str, Any] = {
        "run": str(run),
        "expressions__train": [SCENES],
        "expressions__test": [{"count": 4, "side": 64}],
        "expressions__rows_per_shard": 8,
        "ground__checkpoint": checkpoint,
        "ground__min_pixels": 64**2,
        "ground__max_pixels": 64**2,
        "ground__expressions": 3,
        "ground__shape__bins": 32,
        "ground__shape__coordinate_hidden": 32,
        "ground__shape__fourier": 16,
        "ground__shape__mask_width": 8,
        "ground__pack__packs_per_step": 2,
        "ground__pack__capacity": 64,
        "ground__optim__optimizer": "adamw",
        "ground__optim__lr": 3e-3,
        "ground__optim__steps": STEPS,
        "ground__optim__warmup_steps": 1,
        "ground__precision": "fp32",
        "ground__num_workers": 0,
        "ground__checkpoint_steps": 2,
        "ground__trackers": [],
        "answers__shown": 2,
        "runtime__runner": "local",
        "runtime__device": "cpu",
    }
    return chosen | changes


def config(run: str | Path, checkpoint: str = "", **changes: Any) -> Config:
    """The same as a config."""
    return build(Config, nested(settings(run, checkpoint, **changes)))


def words(run: str | Path, checkpoint: str = "", **changes: Any) -> list[str]:
    """The same as words of the command line."""
    found = settings(run, checkpoint, **changes)
    return [f"{key.replace('__', '.')}={_said(value)}" for key, value in found.items()]


def _said(value: Any) -> str:
    """A value as the command line takes it: JSON, but for the keys, which stand bare."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_said(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(_said, value)) + "]" if isinstance(value, list) else json.dumps(value)


def with_expressions(folder: Path, **changes: Any) -> Run:
    """A run whose images with expressions are made."""
    run = Run(str(folder))
    expressions.run(config(folder, **changes), run)
    return run


def begun(made: Path, to: Path) -> Run:
    """A run with the images of ``made``'s, which its fine-tuning may begin from."""
    shutil.copytree(made / "expressions", to / "expressions")
    return Run(str(to))


def export(run: Run, student: Path) -> str:
    """A finished stage `export` with a student's folder; its digest."""
    stage, identity = run.stage("export"), Identity(stage="export", version=1, config={}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "student", "kind": "student"}])
    with todo.stage.writer("student", identity.fingerprint) as out:
        for path in sorted(student.iterdir()):
            out.put(f"student/{path.name}", path.read_bytes())
        out.commit(rows=1)
    return stage.finish(identity, todo).digest


def trained(run: Run, checkpoint: str = "", *, redo: str = "no", **changes: Any) -> Result:
    """The stage, done."""
    return ground.run(config(run.url, checkpoint, **changes), run, redo=redo)


def lines(run: Run) -> list[dict[str, Any]]:
    """Every line of metrics."""
    return [json.loads(line) for line in Path(run.url, "ground", "metrics.jsonl").read_text().splitlines()]


def curve(run: Run) -> list[dict[str, Any]]:
    """Every line of metrics, less the times."""
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines(run)]
