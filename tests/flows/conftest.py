"""Stand-ins for stages of the distillation that are not there."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pipelines
from pipelines.support.runtime import Estimate

PIPELINES = Path(pipelines.__path__[0])


def stand_in(stage: str, **functions: Any) -> ModuleType:
    """A stage's module that prices a row at seven bytes."""
    module = ModuleType(f"pipelines.{stage}")

    def plan(config: Any, upstream: Any) -> Estimate:
        rows = config.sample.target_size
        note = f"{stage}'s note"
        return Estimate(stage=stage, shards=1, rows=rows, bytes=7 * rows, device="A100", device_hours=800.0, note=note)

    def choices(config: Any) -> list[tuple[str, int]]:
        rows = config.sample.target_size
        return [("online", 0), ("summary", 4400 * rows), ("int8", 560_000 * rows)]

    vars(module).update({"plan": plan, "choices": choices, **functions})
    return module


@pytest.fixture(autouse=True)
def _stages_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("targets", "train"):
        if not list(PIPELINES.glob(f"{stage}*")):
            monkeypatch.setitem(sys.modules, f"pipelines.{stage}", stand_in(stage))
