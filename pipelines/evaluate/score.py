"""A data set's scores: every network and view of it, by every task that it allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.evaluate.layout import Patches, read
from pipelines.evaluate.overlap import Check
from pipelines.evaluate.subjects import Data, Subject
from pipelines.evaluate.unseen import Others, seen, without
from pipelines.support.inputs import check
from pipelines.support.work import Work
from siglino_core.config import Layout, Task
from siglino_core.device import choose, single_thread
from siglino_core.errors import DataError
from siglino_core.evaluation import tasks
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.results.columns import samples_table
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.rows import AT, teachers_among
from siglino_core.evaluation.results.store import results_file, samples_file, write_results, write_samples
from siglino_core.evaluation.segmentation.dense import Dense
from siglino_core.evaluation.tasks import Question, answers, plainly
from siglino_core.evaluation.tasks.towers import Towers
from siglino_core.models.encoder import STUDENT
from siglino_core.store import Shard, Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One network on one data set, its features extracted.

    Attributes:
        stages: the names of their folders, by split.
        inputs: their digests, by folder.
    """

    subject: Subject
    data: Data
    stages: Mapping[str, str]
    inputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluateWork(Work):
    """What every unit of this stage knows.

    Attributes:
        checks: which data sets' test images are looked for in the training sample.
    """

    asked: tuple[Asked, ...]
    checks: tuple[Check, ...] = ()


def score(work: EvaluateWork, shard: Shard) -> dict[str, Any]:
    """Answer all tasks on one data set and commit results and samples; returns the commit record."""
    device = choose(work.config.runtime.device).device
    if device == "cpu":
        single_thread()
    towers = Towers(device)
    writer = work.writer(shard["name"])
    results: dict[str, list[Result]] = {}
    samples: dict[str, list[pa.Table]] = {}  # as tables: as rows they would take a multiple of the memory
    passed: list[str] = []
    for asked in work.asked:
        if asked.data.name == shard["dataset"]:
            question = _question(work, asked, towers, passed)
            for answer in answers(question):
                results.setdefault(answer.result.task, []).append(answer.result)
                samples.setdefault(answer.result.task, []).append(samples_table(answer.rows))
    if not results:
        why = (f"  {line}" for line in dict.fromkeys(passed))
        raise DataError(f"{shard['dataset']}: nothing can be measured on it.", *why)
    with writer as out:
        for task, of_task in results.items():
            out.put(results_file(task, shard["dataset"]), write_results(of_task))
            out.put(samples_file(task, shard["dataset"]), write_samples(pa.concat_tables(samples[task])))
        count = sum(map(len, results.values()))
        facts = {"says": f"{count} results of {', '.join(results) or 'nothing'}", "passed": list(dict.fromkeys(passed))}
        return out.commit(rows=count, facts=facts)


def _question(work: EvaluateWork, asked: Asked, towers: Towers, passed: list[str]) -> Question:
    stages = {split: work.run.stage(name) for split, name in asked.stages.items()}
    data, described = asked.data, asked.subject.described
    told, gone = seen(work, data.name, passed)
    patches = {split: _patches(stage) for split, stage in stages.items()} if data.dense else {}
    if gone and patches:
        patches["test"] = {view: Others(dense, gone) for view, dense in patches["test"].items()}
    features = {which: _features(work, asked, which) for which in stages}
    others = {one.subject.name: one for one in work.asked if one.data.name == data.name}
    of_teachers = Task.FIDELITY in tasks.asked(data.config.tasks, dense=data.dense)
    taught = _teachers(asked.subject, others) if of_teachers else {}
    return Question(
        test=without(features["test"], gone),
        train=features.get("train"),
        classes=tuple(data.test.classes),
        spoken=data.recipe.spoken if data.recipe else plainly,
        templates=data.config.templates or (data.recipe.templates if data.recipe else ()),
        teachers={view: _features(work, others[teacher], "test") for view, teacher in taught.items()},
        texts={v: towers.of(described, v, asked.subject.model.weights, data.config.cleaning) for v in described.texts},
        patches=patches,
        tasks=tuple(data.config.tasks),
        limit=data.config.limit,
        settings=work.config.evaluate,
        seed=work.config.seed,
        passed=passed,
        told=told,
        by_class=_by_class(data),
        device=choose(work.config.runtime.device).device,
    )


def _features(work: EvaluateWork, asked: Asked, which: str) -> Features:
    """What was extracted of a split, its files as the manifest has them."""
    stage = work.run.stage(asked.stages[which])
    check(work.config.runtime, stage)
    split = {"test": asked.data.test, "train": asked.data.train}[which]
    name = split.name if split is not None else which
    return read(stage, stage.require(), network=asked.subject.name, dataset=asked.data.name, split=name)


def _teachers(subject: Subject, others: Mapping[str, Asked]) -> dict[str, str]:
    """The network that teaches each view of a student that has one beside it, in the order of the views.

    At a size of its own a student is compared with its teacher at that size. A teacher that has none there sees images
    of that size already, or squeezes all to one.
    """
    views = {name: list(one.subject.described.views) for name, one in others.items()}
    if STUDENT not in views[subject.name]:
        return {}
    known = teachers_among(views)
    base = subject.name.partition(AT)[0]
    found = {view: known.get((subject.name, view)) or known.get((base, view)) for view in views[subject.name]}
    return {view: teacher[0] for view, teacher in found.items() if teacher is not None}


def _by_class(data: Data) -> tuple[Task, ...]:
    """The tasks whose official metric is the mean over classes.

    A pool's own labels have a long tail: without having learned them, whoever names the commonest for all would win.
    """
    if data.recipe is not None and data.recipe.metric == "mean_per_class":
        return (Task.KNN, Task.LOGISTIC, Task.RIDGE, Task.ZERO_SHOT)
    return (Task.ZERO_SHOT,) if data.config.layout is Layout.RUN else ()


def _patches(stage: Stage) -> Mapping[str, Dense]:
    manifest = stage.require()
    return {view: Patches(stage, manifest, view) for view in manifest.facts["dense"]}
