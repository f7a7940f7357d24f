"""A training small enough to be done again and again: a student of two layers, on the hand-made curated run."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import targets
from siglino_core.config import Config, build
from siglino_core.models import SigLinoConfig
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.store import Run
from tests.pipelines import curated

STUDENT = SigLinoConfig(
    width=32, layers=2, heads=2, head_dim=16, experts=4, top_k=2, expert_hidden=16, registers=4, teachers=()
)
STEPS = 16
TIMES = {"tokens_per_second", "step_seconds", "data_wait"}  # of a line of metrics: what no two runs share


def teachers(folder: Path) -> list[str]:
    """Those of `curated`, with a pooling head that a student can copy."""
    return curated.teachers(folder, hidden_size=32, num_attention_heads=16, intermediate_size=4304)


def student(folder: Path, shape: SigLinoConfig = STUDENT, name: str = "student.json") -> str:
    """A shape as `train.student` takes it."""
    path = folder / name
    path.write_text(json.dumps(SigLinoHFConfig.of(shape).to_dict()))
    return str(path)


def settings(run: str | Path, specs: list[str], shape: str, **changes: Any) -> dict[str, Any]:
    """One process of a CPU, six packs a step, about twenty images; later settings win: `train__pack__capacity=64`."""
    chosen: dict[str, Any] = {
        "run": str(run),
        "targets__teachers": specs,
        "targets__min_pixels": 32**2,
        "targets__max_pixels": 64**2,
        "targets__statistics_images": 30,
        "targets__capacity": 64,
        "train__student": shape,
        "train__trackers": [],
        "train__num_workers": 0,
        "train__checkpoint_steps": 4,
        "train__precision": "fp32",
        "train__pack__packs_per_step": 6,
        "train__pack__capacity": 64,
        "train__optim__steps": STEPS,
        "train__optim__warmup_steps": 2,
        "runtime__runner": "local",
        "runtime__device": "cpu",
    }
    return chosen | changes


def config(run: str | Path, specs: list[str], shape: str, **changes: Any) -> Config:
    """The same as a config."""
    return build(Config, nested(settings(run, specs, shape, **changes)))


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings such as ``train__pack__capacity`` as a config has them."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split("__")
        at = found
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return found


def words(run: str | Path, specs: list[str], shape: str, **changes: Any) -> list[str]:
    """The same as words of the command line."""
    found = settings(run, specs, shape, **changes)
    return [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in found.items()]


def ready(made: Path, to: Path, cfg: Config) -> Run:
    """A copy of a curated run with its targets made."""
    for name in ("cluster", "sample"):
        shutil.copytree(made / name, to / name, copy_function=os.link)
    run = Run(str(to))
    targets.run(cfg, run)
    return run


def curve(run: str | Path) -> list[dict[str, Any]]:
    """Every line of metrics, less the times."""
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines(run)]


def lines(run: str | Path) -> Iterator[dict[str, Any]]:
    """Every line of metrics."""
    return map(json.loads, Path(run, "train", "metrics.jsonl").read_text().splitlines())


def begun(made: Path, to: Path) -> Run:
    """A run with the targets of ``made``'s, which its training may begin from."""
    for name in ("cluster", "sample", "targets"):
        shutil.copytree(made / "online" / name, to / name)
    return Run(str(to))
