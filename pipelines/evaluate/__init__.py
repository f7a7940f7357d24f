"""evaluate: what networks are worth on data sets, with intervals.

Features are extracted once for every network and split, into `features/KEY/`, which belong to no one evaluation. Then
the test images that training has seen are looked for, and every data set is scored by a unit of its own, all networks
and views of it; then the tables and the page are made.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.evaluate.extract import Wanted, extract, identity_of
from pipelines.evaluate.overlap import COMPARE, GATHER, Check, checks_of, compare, gather, planned, require_inputs
from pipelines.evaluate.price import plan
from pipelines.evaluate.read import Held
from pipelines.evaluate.score import Asked, EvaluateWork, score
from pipelines.evaluate.subjects import Data, Subject, at_bounds, data_of, settled, subjects_of
from pipelines.evaluate.tables import tabulate
from pipelines.support.runtime import Progress, Result, map_shards, precision_of, silent
from siglino_core.config import Config, DatasetConfig, Precision, Runner, shaping
from siglino_core.encoders.spec import DINOTXT, Spec
from siglino_core.errors import ConfigError
from siglino_core.evaluation.data.opened import OpenSplit
from siglino_core.networks import describe
from siglino_core.store import Identity, Manifest, Run, Shard, Stage, of_kind
from siglino_core.store.records import PLAN

__all__ = ["plan", "run"]

STAGE = "evaluate"
VERSION = 2
TABLES = "tables"


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Evaluate, into ``<run>/evaluate``.

    Args:
        redo: as in `siglino_core.store.Stage.begin`; features that were extracted stay in any case.

    Raises:
        ConfigError: a network or a data set cannot be had, or does not allow what is asked of it; or what is there was
            made by another config.
        DataError: a data set is not what its recipe says, or has samples that cannot be read.
        StoreError: the run has no student or no sample, and the config leaves these to it.
    """
    stage = run.stage(STAGE)
    own = not config.evaluate.datasets
    config = settled(config, run)
    precision = precision_of(stage, config.runtime, Precision.AUTO, redo)
    subjects = subjects_of(config.evaluate)
    identity = Identity(
        stage=STAGE,
        version=VERSION,
        config={
            **shaping(config.evaluate),
            "models": [_shown(subject) for subject in subjects],
            "datasets": [_shown_data(d) for d in config.evaluate.datasets],
            "seed": config.seed,
            "precision": precision,
        },
        inputs={},
    )
    if redo == "no":
        _refuse_other(stage, identity)
    data = data_of(config, own=own)
    asked = _asked(config, run, subjects, data, precision, progress)
    images = {one.data.name: (f := one.stages["test"], one.inputs[f]) for one in asked}
    checks = checks_of(config, run, data, images, precision, progress)
    inputs = {key: digest for one in (*asked, *checks) for key, digest in one.inputs.items()}
    identity = replace(identity, inputs=inputs)
    todo = stage.begin(identity, lambda: _planned(run, data, checks), redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    work = EvaluateWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        asked=tuple(asked),
        checks=tuple(checks),
    )
    if of_kind(todo.missing, COMPARE):
        require_inputs(config, run, checks)
    done = todo.done
    progress(STAGE, done, len(todo.shards), "scoring")
    for kind, do in ((COMPARE, compare), (GATHER, gather), ("score", score), (TABLES, tabulate)):
        for record in map_shards(partial(do, work), of_kind(todo.missing, kind), config.runtime):
            done += 1
            progress(STAGE, done, len(todo.shards), f"{record['shard']}: {record['facts']['says']}")
    facts = todo.stage.records([TABLES])[TABLES]["facts"]
    return Result(state=todo.state, manifest=stage.finish(identity, todo, facts=facts))


def _refuse_other(stage: Stage, identity: Identity) -> None:
    """Say that other settings made what is there before anything is extracted for these; `Stage.begin` says the rest.

    Raises:
        ConfigError: they did, and no redo by these settings is under way.
    """
    stored, begun = (place.files.read_record(PLAN) for place in (stage, stage.successor))
    if stored is None or set(stage.files.sizes()) <= {PLAN}:
        return
    theirs = [replace(identity, inputs=plan["identity"]["inputs"]) for plan in (stored, begun) if plan is not None]
    plans = [plan for plan in (stored, begun) if plan is not None]
    if all(one.fingerprint != plan["fingerprint"] for one, plan in zip(theirs, plans, strict=True)):
        raise ConfigError(
            f"{stage.files.url} was made by another config:",
            *(f"  {line}" for line in theirs[0].differences(stored["identity"])),
            f"Use --redo {STAGE} to make it again, or another run=URL. Features that fit are kept.",
        )


def _asked(
    config: Config, run: Run, subjects: Sequence[Subject], data: Sequence[Data], precision: str, progress: Progress
) -> list[Asked]:
    """The features of every network on every data set, extracted if they are not there."""
    found: dict[tuple[str, str], Asked] = {}
    held = Held() if config.runtime.runner is Runner.LOCAL else None
    for subject in subjects:
        wanted = {(one.name, which): w for one in data for which, w in _wanted(subject, one, precision).items()}
        manifests: dict[str, Manifest] = extract(config, run, subject, list(wanted.values()), progress, held)
        for one in data:
            folders = {which: w.folder for (name, which), w in wanted.items() if name == one.name}
            inputs = {folder: manifests[folder].digest for folder in folders.values()}
            for which, split in (("test", one.test), ("train", one.train)):
                if split is not None:
                    split.require_count(manifests[folders[which]].rows)
            found[one.name, subject.name] = Asked(subject=subject, data=one, stages=folders, inputs=inputs)
    return [found[one.name, subject.name] for one in data for subject in subjects]


def _wanted(subject: Subject, data: Data, precision: str) -> dict[str, Wanted]:
    """The splits whose features a network's scores on a data set need."""
    described = at_bounds(subject, data.config)
    dense = data.dense and bool(described.dense)
    splits: dict[str, OpenSplit | None] = {"test": data.test, "train": data.train}
    return {
        which: Wanted(
            identity=identity_of(described, split, dense=dense, precision=precision),
            described=described,
            split=split,
            names=(data.name, which),
            dense=dense,
        )
        for which, split in splits.items()
        if split is not None
    }


def _shown(subject: Subject) -> dict[str, Any]:
    """What decides a network's results: its weights and texts by what they are, not by where they lie."""
    model, described = subject.model, subject.described
    texts = {view: _text_identity(spec, view, model.weights) for view, spec in described.texts.items()}
    return {**shaping(model), "network": described.identity, "views": dict(described.views), "texts": texts}


def _text_identity(spec: str, view: str, weights: str) -> str:
    """Of a view's text side; dino.txt's is in the network's, whose view it makes."""
    parsed = Spec.parse(spec, f"texts.{view}", weights=weights)
    return parsed.kind if parsed.kind == DINOTXT else describe(parsed).identity


def _shown_data(config: DatasetConfig) -> dict[str, Any]:
    """What is asked of a data set; which images it holds is in its features' digests, wherever they lie."""
    return {name: value for name, value in shaping(config).items() if name not in ("run", "train")}


def _planned(run: Run, data: Sequence[Data], checks: Sequence[Check]) -> list[Shard]:
    scores = [{"name": f"score-{one.name}", "kind": "score", "dataset": one.name} for one in data]
    return [*planned(run, checks), *scores, {"name": TABLES, "kind": TABLES}]
