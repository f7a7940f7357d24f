"""What is made of all results: the leaderboard as Markdown and CSV, and the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.evaluate.score import EvaluateWork
from siglino_core.config import Layout
from siglino_core.errors import SiglinoError
from siglino_core.evaluation.results import page
from siglino_core.evaluation.results.by_cluster import ClusterRow, by_cluster
from siglino_core.evaluation.results.columns import KEY
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.leaderboard import leaderboard
from siglino_core.evaluation.results.leaderboard_text import csv_text, markdown
from siglino_core.evaluation.results.matching import Key
from siglino_core.evaluation.results.rows import STUDENT, headlines
from siglino_core.evaluation.results.worst import worst_samples
from siglino_core.pools.image_rows import image_rows
from siglino_core.store import Run, Shard, of_kind

PAGE = "evaluation.html"
SHOWN = ("knn", "zero_shot")  # tasks whose worst samples and clusters the page shows


def tabulate(work: EvaluateWork, shard: Shard) -> dict[str, Any]:
    """Write the tables and the page of the results that stand; returns the commit record."""
    evaluation = Evaluation.open(work.stage.files)
    results = evaluation.results
    records = work.stage.records([f"score-{name}" for name in dict.fromkeys(a.data.name for a in work.asked)])
    passed = [line for record in records.values() for line in record["facts"]["passed"]]
    board = leaderboard(results)
    with work.writer(shard["name"]) as out:
        out.put("leaderboard.md", markdown(board).encode())
        out.put("leaderboard.csv", csv_text(board).encode())
        series = _series(work, evaluation)
        wanted = {row["image_id"] for table in series.values() for row in worst_samples(table)}
        text = page.html(
            results,
            title=f"Evaluation of {work.run.url.rpartition('/')[2]}",
            clusters=_clusters(work, series),
            worst=series,
            image=_images(work.run, wanted).get,
            limits=[*passed, *(note for asked in work.asked for note in asked.data.test.notes)],
        )
        out.put(PAGE, text.encode())
        facts = {"says": f"{len(results)} results", "headlines": headlines(results), "passed": passed}
        return out.commit(rows=0, facts=facts)


def _series(work: EvaluateWork, evaluation: Evaluation) -> dict[Key, pa.Table]:
    """The student's samples on the run's own images, by view, for people to look into."""
    own = [a.data.name for a in work.asked if a.data.config.layout is Layout.RUN and a.data.config.run == work.run.url]
    found: dict[Key, pa.Table] = {}
    for task in SHOWN:
        for dataset in dict.fromkeys(own):
            table = evaluation.samples(task, dataset)
            if table is None:
                continue
            table = table.filter(pa.array(_is(table["network"], [STUDENT])))
            for values in table.group_by(list(KEY)).aggregate([]).to_pylist():
                same_N = np.logical_and.reduce([_is(table[name], [values[name]]) for name in KEY])
                found[Key(task=task, dataset=dataset, **values)] = table.filter(pa.array(same_N))
    return found


def _clusters(work: EvaluateWork, series: Mapping[Key, pa.Table]) -> dict[Key, list[ClusterRow]]:
    """The same by curation cluster, beside the training's loss on each."""
    train = work.run.stage("train").manifest()
    if train is None or not series:
        return {}
    losses = work.run.stage("train").table("clusters/part-00000.parquet", train)
    wanted = {image for table in series.values() for image in table["image_id"].to_pylist()}
    clusters = _assigned(work.run, train.facts["cluster_level"], wanted)
    return {key: by_cluster(table, clusters, losses) for key, table in series.items()}


def _assigned(run: Run, level: int, wanted: set[str]) -> dict[str, int]:
    """The cluster of each image that is wanted."""
    found: dict[str, int] = {}
    stage = run.stage("cluster")
    names = [n for n in stage.require().files if n.startswith("assignments/")]
    for name in names:
        with stage.files.parquet(name) as file:
            table = file.read(["image_id", f"level_{level}"])
        table = table.filter(pa.array(_is(table["image_id"], sorted(wanted))))
        found |= zip(table["image_id"].to_pylist(), table[f"level_{level}"].to_pylist(), strict=True)
    return found


def _images(run: Run, wanted: set[str]) -> dict[str, bytes]:
    """The encoded images of the run, as far as they can be had; one look at each shard is for all of them."""
    source = run.stage("source")
    found: dict[str, bytes] = {}
    try:
        for shard in of_kind(source.shards(), "part"):
            if not (missing := wanted - found.keys()):
                break
            with source.files.parquet(f"{shard['name']}.parquet") as file:
                rows = np.flatnonzero(_is(file.read(["image_id"])["image_id"], sorted(missing)))
            found |= {image["image_id"]: image["bytes"] for _, image in image_rows(source, shard["name"], rows)}
    except SiglinoError:
        pass  # the page does without
    return found


def _is(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    """Which of a column's values are among these, bool [N]."""
    found = pc.is_in(column, pa.array(values, pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
    return found.to_numpy(zero_copy_only=False)
