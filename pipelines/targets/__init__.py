"""targets: what the teachers say of the curated images, their statistics, and as much of it as `targets.keep` stores.

Units: stats-KK (moments over some images of a few training shards) -> statistics (merged; and the pooling heads) ->
part (the targets of a training shard, row-aligned with it). See `layout` for how the work is cut.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipelines.support.inputs import check
from pipelines.support.networks import as_finished, cards_of
from pipelines.support.runtime import Progress, Result, computing_device, map_shards, precision_of, silent
from pipelines.targets.layout import plan_units
from pipelines.targets.price import choices, plan
from pipelines.targets.units import TargetsWork, moments, part, statistics
from siglino_core.config import Config, Stored, shaping
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError
from siglino_core.store import Identity, Run, Shard, Stage, of_kind

__all__ = ["choices", "plan", "run"]

VERSION = 2
SCRATCH = "state/"
ARTIFACT = ("statistics", "part")  # kinds of shards that stay; the others are swept


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Ask the teachers about the sample's images: a part of them for statistics, and all of them if it is stored."""
    sample, stage = run.stage("sample"), run.stage("targets")
    curated = sample.require()
    cards, teachers = _teachers(config.targets.teachers, stage, redo)
    precision = precision_of(stage, config.runtime, config.targets.precision, redo)
    identity = Identity(
        stage="targets",
        version=VERSION,
        config={
            **shaping(config.targets),
            "teachers": teachers,  # not where their weights lie
            "precision": precision,
            "seed": config.seed,
        },
        inputs={"sample": curated.digest},
    )

    def plan_checked() -> list[Shard]:
        check(config.runtime, sample, lambda name: name.startswith("index/"))  # it counts their images
        return plan_units(sample, config.targets, config.seed)

    todo = stage.begin(identity, plan_checked, redo=redo)
    if todo.manifest is not None:
        stage.sweep(SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    cards = cards or cards_of(config.targets.teachers)
    check(config.runtime, sample, lambda name: name.startswith(("images/", "index/")))
    device = computing_device(stage, config.runtime, config.targets.precision, precision)
    work = TargetsWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        dtype=precision,
        cards=tuple(cards),
    )
    final = of_kind(todo.shards, *ARTIFACT)
    missing = of_kind(todo.missing, *ARTIFACT)
    if of_kind(missing, "statistics"):  # else the moments have done their part, and may be swept
        missing = [*of_kind(todo.missing, "stats"), *missing]
    done = len(todo.shards) - len(missing)
    progress("targets", done, len(todo.shards), device.reason)

    def phase(kind: str, do: Callable[[Shard], dict[str, Any]], note: str, *, on_gpu: bool = True) -> None:
        nonlocal done
        for _ in map_shards(do, of_kind(missing, kind), config.runtime, on_gpu=on_gpu):
            done += 1
            progress("targets", done, len(todo.shards), note)

    phase("stats", partial(moments, work), "means and variances")
    phase("statistics", partial(statistics, work, of_kind(todo.shards, "stats")), "statistics", on_gpu=False)
    phase("part", partial(part, work), "writing targets")
    facts = {
        "asked": list(config.targets.teachers),
        "device": device.reason,
        **_facts(work, [u["name"] for u in final]),
    }
    manifest = stage.finish(identity, todo, shards=final, facts=facts)
    stage.sweep(SCRATCH)
    return Result(state=todo.state, manifest=manifest)


def _teachers(specs: Sequence[str], stage: Stage, redo: str) -> tuple[list[Card] | None, list[dict[str, Any]]]:
    """The cards, and what of them decides the bytes; None: the stage is finished, and the teachers are not here.

    Raises:
        ConfigError: a teacher cannot be had, and the stage needs it.
    """
    try:
        cards = cards_of(specs)
    except ConfigError:
        finished = as_finished(stage, specs, redo)
        if finished is None:
            raise
        return None, finished["teachers"]
    return cards, [card.deciding() for card in cards]


def _facts(work: TargetsWork, units: list[str]) -> dict[str, Any]:
    """Cards, scales and rotations, warnings, and what the codec costs: averaged over the images it was measured on."""
    records, keep = work.stage.records(units), work.config.targets.keep
    fitted = records["statistics"]["facts"]
    measured = [r["facts"].get("errors", {}) for r in records.values()]
    teachers: dict[str, Any] = {}
    for card in work.cards:
        errors = [e[card.name] for e in measured if card.name in e]
        images = sum(e[2] for e in errors)
        error: dict[str, float] | None = None
        if errors:
            mse, knn = (sum(e[i] * e[2] for e in errors) / images for i in range(2))
            error = {"relative_mse": mse, "knn_agreement": knn, "images": images}
        elif keep is Stored.BF16 and card.patches:
            error = {"relative_mse": 0.0, "knn_agreement": 1.0, "images": 0}  # it is what the others are measured by
        teachers[card.name] = {"card": card.deciding(), **fitted["teachers"][card.name], "codec": error}
    return {
        "keep": keep.value,
        "teachers": teachers,
        "statistics_images": fitted["images"],
        "warnings": fitted["warnings"],
    }
