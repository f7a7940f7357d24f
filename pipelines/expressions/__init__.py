"""expressions: images with referring expressions as shards, to test grounding on and to train it on.

Two phases in one plan: ``test-S-N`` (set S, unit N) come first; ``train-S-N`` then leave out what is tested on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipelines.expressions.layout import TEST, TRAIN, plan_units, sets_by_kind, setting_of
from pipelines.expressions.price import plan
from pipelines.expressions.units import ExpressionsWork, write
from pipelines.support.runtime import Progress, Result, map_shards, silent
from siglino_core.config import Config, shaping
from siglino_core.errors import DataError
from siglino_core.grounding.data.sets import ReferringSet
from siglino_core.hashing import fingerprint
from siglino_core.store import Identity, Manifest, Run, Todo, of_kind

__all__ = ["plan", "run"]

STAGE = "expressions"
VERSION = 3
UNIT_MEMORY = 512 << 20  # bytes that a unit may need beside the annotations: an image with its masks
PARSED_BYTE = 8  # bytes of memory that a byte of annotations takes: 6.5 were measured


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Read the data sets into ``<run>/expressions``.

    Args:
        redo: as in `siglino_core.store.Stage.begin`.

    Raises:
        ConfigError: there is nothing to train on, a data set that there is not, or the stage was made by another
            config or from files that have changed since.
        DataError: a data set is not what it should be, is empty, or too many of its images cannot be used.
        StoreError: a file has gone or cannot be read, or the run's store failed.
    """
    sets, stage = sets_by_kind(config), run.stage(STAGE)
    found = {kind: [one.identity() for one in of] for kind, of in sets.items()}
    identity = _identity(config, found)
    todo = stage.begin(identity, lambda: plan_units(config, sets), redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    work = ExpressionsWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        sets={kind: tuple(of) for kind, of in sets.items()},
        identities={kind: tuple(map(fingerprint, of)) for kind, of in found.items()},
        tests=tuple(s["name"] for s in of_kind(todo.shards, TEST)),
    )
    memory = UNIT_MEMORY + PARSED_BYTE * max(one.annotation_bytes() for of in sets.values() for one in of)
    done, total = todo.done, len(todo.shards)
    progress(STAGE, done, total, ", ".join(_called(one) for of in sets.values() for one in of))
    for kind in (TEST, TRAIN):
        for record in map_shards(partial(write, work), of_kind(todo.missing, kind), config.runtime, memory=memory):
            done += 1
            progress(STAGE, done, total, f"{record['shard']}: {record['facts']['says']}")
    return Result(state=todo.state, manifest=_finish(work, identity, todo))


def _identity(config: Config, found: Mapping[str, Sequence[dict[str, Any]]]) -> Identity:
    """What decides the bytes: the settings, what the files hold, and by that the ids of the test images."""
    own = {name: value for name, value in shaping(config.expressions).items() if name not in found}
    shape = {kind: {str(i): one for i, one in enumerate(of)} for kind, of in found.items()}
    return Identity(stage=STAGE, version=VERSION, config={**own, **shape, "seed": config.seed}, inputs={})


def _finish(work: ExpressionsWork, identity: Identity, todo: Todo) -> Manifest:
    config, records = work.config, todo.stage.records([s["name"] for s in todo.shards])
    of_set: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for shard in todo.shards:
        of_set.setdefault((shard["kind"], shard["set"]), []).append(records[shard["name"]])
    told = [
        {
            "which": kind,
            "number": i,
            "name": work.sets[kind][i].name,
            "limit": getattr(config.expressions, kind)[i].limit,
            **_sums(of),
        }
        for (kind, i), of in of_set.items()
    ]

    def check(rows: int, rejects: dict[str, int]) -> None:
        for (kind, i), of in of_set.items():
            _check(work.config, setting_of(kind, i, work.sets[kind][i]), of)

    return work.run.stage(STAGE).finish(identity, todo, facts={"sets": told}, check=check)


def _called(one: ReferringSet) -> str:
    return f"{'train' if one.train else 'test'} {one.name}"


def _sums(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a set holds."""
    left_out: Counter[str] = Counter()
    for record in records:
        left_out.update(record["facts"]["left_out"])
    counts = {n: sum(r["facts"][n] for r in records) for n in ("expressions", "instances", "absent")}
    return {
        "images": sum(r["rows"] for r in records),
        **counts,
        "masks": any(r["facts"]["masks"] for r in records),
        "left_out": dict(sorted(left_out.items())),
    }


def _check(config: Config, called: str, records: Sequence[dict[str, Any]]) -> None:
    """Refuse a set of which too much cannot be used, or nothing is left."""
    rows, bad = sum(r["rows"] for r in records), sum(sum(r["rejects"].values()) for r in records)
    examples = [e for r in records for e in r["facts"]["examples"]][:3]
    limit = config.expressions.max_reject_share
    if bad > limit * (rows + bad):
        counts = Counter[str]()
        for record in records:
            counts.update(record["rejects"])
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
        raise DataError(
            f"{called}: {bad} of {rows + bad} images cannot be used, more than "
            f"expressions.max_reject_share={limit:g} ({told}). Such as:",
            *(f"  {example}" for example in examples),
        )
    if not rows:
        left_out = ", ".join(f"{reason} {count}" for reason, count in _sums(records)["left_out"].items())
        raise DataError(f"{called}: no image of it is left ({left_out}). Leave the set out.")
