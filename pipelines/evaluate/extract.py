"""Features of one network on all splits that are asked for, extracted once: every sample one row, by many workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipelines.evaluate.layout import FOLDER
from pipelines.evaluate.read import LIMITS, Held, Reader
from pipelines.evaluate.see import EXPERTS, Extraction, Extractor
from pipelines.evaluate.subjects import Subject
from pipelines.support.decoding import records
from pipelines.support.runtime import Progress
from siglino_core.config import Config
from siglino_core.errors import DataError
from siglino_core.evaluation.data.opened import OpenSplit
from siglino_core.evaluation.data.sample import Unit
from siglino_core.evaluation.network.load import Described
from siglino_core.hashing import fingerprint
from siglino_core.store import Identity, Manifest, Run, Stage, Todo

VERSION = 1
DECODED_PIXEL = 12  # bytes that an image takes for a pixel while it becomes RGB
USUAL_PIXELS = 512**2  # of an image as a network wants it, where its rule names no bound


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """One network's features of one split.

    Attributes:
        described: the network, as it sees this data set's images.
        names: of data set and split, for people.
        dense: features of patches too.
    """

    identity: Identity
    described: Described
    split: OpenSplit
    names: tuple[str, str]
    dense: bool

    @property
    def folder(self) -> str:
        return self.identity.stage


def identity_of(described: Described, split: OpenSplit, *, dense: bool, precision: str) -> Identity:
    """What decides the features' bytes; their folder is named after it."""
    config = {
        "network": described.identity,
        "views": dict(described.views),
        "pixels": described.pixels.describe(),
        "split": split.identity,
        "dense": dense,
        "precision": precision,
    }
    return Identity(stage=f"{FOLDER}/{fingerprint([VERSION, config])[:16]}", version=VERSION, config=config, inputs={})


def extract(
    config: Config,
    run: Run,
    subject: Subject,
    wanted: Sequence[Wanted],
    progress: Progress,
    held: Held | None = None,
) -> dict[str, Manifest]:
    """Extract what is missing of a network's features; the manifests of all that are wanted, by folder.

    Workers load the network once, for all splits.

    Args:
        held: decoded units, where this process reads for several networks.

    Raises:
        DataError: a sample that cannot be read, where ``evaluate.unread=error``; or features that are not finite.
    """
    by_folder = {one.folder: one for one in wanted}  # of two data sets with the same samples one is extracted
    begun = {folder: _begin(run.stage(folder), one) for folder, one in by_folder.items()}
    found: dict[str, Manifest] = {}

    def done_with(folder: str, manifest: Manifest) -> None:
        found[folder] = manifest
        _refuse_unread(config, by_folder[folder], manifest)

    for folder, todo in begun.items():
        if todo.manifest is not None:
            done_with(folder, todo.manifest)
    left = {folder: len(todo.missing) for folder, todo in begun.items() if folder not in found}
    works = {f: _work(config, run, subject, by_folder[f], begun[f]) for f in left}

    def finish(folder: str) -> None:
        one, todo = by_folder[folder], begun[folder]
        facts = _facts(subject, one, todo)
        done_with(folder, run.stage(folder).finish(one.identity, todo, facts=facts))

    for folder in [folder for folder, count in left.items() if not count]:
        finish(folder)
    shards = [{**shard, "features": folder} for folder in left for shard in begun[folder].missing]
    if not shards:
        return found
    total = sum(len(begun[folder].shards) for folder in left)
    done = total - len(shards)
    progress("evaluate", done, total, f"{subject.name}: features")
    sources = {folder: (by_folder[folder].split, by_folder[folder].described.pixels) for folder in left}
    reader = Reader(sources, held)
    memory = max(_memory(by_folder[folder].described, shards) for folder in left)
    for record in records(shards, reader, partial(Extractor, works), config.runtime, memory=memory):
        folder = record["features"]
        done, left[folder] = done + 1, left[folder] - 1
        where = " ".join(by_folder[folder].names)
        progress("evaluate", done, total, f"{subject.name}: {record['rows']} images of {where}, {record['shard']}")
        if not left[folder]:
            finish(folder)
    return found


def _begin(stage: Stage, wanted: Wanted) -> Todo:
    return stage.begin(wanted.identity, lambda: _planned(wanted.split.units()))


def _planned(units: Sequence[Unit]) -> list[dict[str, Any]]:
    return [{"name": f"part-{i:05d}", "kind": "part", "unit": unit} for i, unit in enumerate(units)]


def _work(config: Config, run: Run, subject: Subject, wanted: Wanted, todo: Todo) -> Extraction:
    return Extraction(
        run=run,
        stage=todo.stage,
        fingerprint=wanted.identity.fingerprint,
        config=config,
        model=subject.model,
        described=wanted.described,
        precision=wanted.identity.config["precision"],
        dense=wanted.dense,
        load=subject.load,
    )


def _facts(subject: Subject, wanted: Wanted, todo: Todo) -> dict[str, Any]:
    described = wanted.described
    return {
        "network": subject.name,
        "dataset": wanted.names[0],
        "split": wanted.names[1],
        "views": dict(described.views),
        "dense": list(described.dense) if wanted.dense else [],
        "pixels": described.pixels.describe(),
        "example": _example(todo.stage, [s["name"] for s in todo.shards]),
        **_experts(todo.stage, [s["name"] for s in todo.shards]),
    }


def _experts(stage: Stage, shards: Sequence[str]) -> dict[str, Any]:
    """How often each of a student's experts was chosen, over all shards."""
    found = [np.array(r["facts"][EXPERTS]) for r in stage.records(shards).values() if EXPERTS in r["facts"]]
    return {EXPERTS: np.sum(found, axis=0).tolist()} if found else {}


def _memory(described: Described, shards: Sequence[Mapping[str, Any]]) -> int:
    """Bytes that a unit may need: its pixels as the network wants them, and an image while it becomes RGB."""
    told = described.pixels.describe()
    pixels = told.get("max_pixels") or told.get("size", 0) ** 2 or USUAL_PIXELS
    rows = max(shard["unit"]["rows"] for shard in shards)
    return 2 * rows * pixels * 3 + DECODED_PIXEL * LIMITS["max_pixels"] // 8


def _example(stage: Stage, shards: Sequence[str]) -> str:
    """What was said of the first sample that could not be read; empty: all could."""
    return next((e for r in stage.records(shards).values() if (e := r["facts"]["example"])), "")


def _refuse_unread(config: Config, wanted: Wanted, manifest: Manifest) -> None:
    bad = sum(manifest.rejects.values())
    if bad and config.evaluate.unread == "error":
        raise DataError(
            f"{wanted.names[0]} ({wanted.names[1]}): {bad} of {manifest.rows} samples cannot be read, such as "
            f"{manifest.facts['example']}. Mend them, or count them as wrong: evaluate.unread=wrong."
        )
