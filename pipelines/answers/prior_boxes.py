"""The boxes that answer any expression: from a draw of the training boxes, of a bounded number of files."""

import heapq
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipelines.answers.layout import PRIORS_FILE, AnswersWork
from siglino_core.grounding.judged.answer import Kind
from siglino_core.grounding.metrics.baselines import centre_box, largest_prior_box
from siglino_core.hashing import key_of
from siglino_core.store import Shard, Stage

MOST_FILES, MOST_BOXES = 256, 20_000


def priors(work: AnswersWork, shard: Shard) -> dict[str, Any]:
    """Draw boxes and commit the two; returns the commit record."""
    seed = work.config.seed
    names = index_files(work.expressions, seed)
    drawn = heapq.nsmallest(MOST_BOXES, _keyed(work.expressions, names, seed))
    boxes_T4 = np.array([box for _, _, box in drawn], np.float64).reshape(-1, 4)
    found: dict[str, Any] = {"boxes": len(boxes_T4), Kind.CENTRE.value: [], Kind.PRIOR.value: []}
    if len(boxes_T4):
        found[Kind.CENTRE.value] = centre_box(boxes_T4).tolist()
        found[Kind.PRIOR.value] = largest_prior_box(boxes_T4, seed=seed).tolist()
    with work.writer(shard["name"]) as out:
        out.put(PRIORS_FILE, json.dumps(found, sort_keys=True).encode())
        facts = {"boxes": len(boxes_T4), "says": f"{len(boxes_T4)} training boxes looked at"}
        return out.commit(rows=0, facts=facts)


def index_files(expressions: Stage, seed: int) -> list[str]:
    """The training shards' indexes that are looked at: all, or a draw of :data:`MOST_FILES`."""
    names = [f"index/{shard['name']}.parquet" for shard in expressions.shards("train")]
    names = [name for name in names if name in expressions.require().files]
    return sorted(sorted(names, key=lambda name: key_of(seed, "training boxes of", name))[:MOST_FILES])


def _keyed(expressions: Stage, names: list[str], seed: int) -> Iterator[tuple[int, int, list[float]]]:
    """Every box with a key, by which the draw goes."""
    place = 0
    for name in names:
        with expressions.files.parquet(name) as file:
            table = file.read(["image_id", "boxes"])
        for image_id, boxes in zip(table["image_id"].to_pylist(), table["boxes"].to_pylist(), strict=True):
            for i, box in enumerate(boxes or ()):
                place += 1
                yield key_of(seed, "training box", image_id, i), place, box
