"""Images with expressions for the stage that reads them: small sets of each layout, and what a run of it holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import expressions
from pipelines.support.runtime import Result
from siglino_core.config import Config, ExpressionsConfig, ReferringConfig, ReferringLayout, Runner, RuntimeConfig
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.shards import GroundingShards, shards_of
from siglino_core.store import Run
from tests.pictures import picture
from tests.refer import SIZE, annotation, file_name, instances, ref
from tests.siglino_core.grounding.data.test_table import require_same

SCENES = ReferringConfig(layout=ReferringLayout.SYNTHETIC, count=7, side=64)
REFS = [
    ref(3, 7, "train", "left cat", "the cat"),
    ref(1, 5, "train", "a cat"),
    ref(2, 7, "train", "right cat"),
    ref(5, 6, "train", "cat six"),
    ref(4, 9, "val", "val cat"),
]


def refer(folders: tuple[str, str], **settings: Any) -> ReferringConfig:
    plain = {"layout": ReferringLayout.REFER, "uri": folders[0], "images": folders[1], "published": False}
    return ReferringConfig(**(plain | settings))


def config(
    train: list[ReferringConfig], test: list[ReferringConfig] | None = None, seed: int = 0, **own: Any
) -> Config:
    sets = ExpressionsConfig(train=train, test=test or [], **({"rows_per_shard": 2} | own))
    return Config(seed=seed, expressions=sets, runtime=RuntimeConfig(runner=Runner.LOCAL))


def made(folder: Path, *args: Any, run: str = "run", redo: str = "no", **own: Any) -> tuple[Run, Result]:
    where = Run(str(folder / run))
    return where, expressions.run(config(*args, **own), where, redo=redo)


def rows(run: Run, kind: str, number: int = 0) -> list[Referring]:
    stage = run.stage("expressions")
    return list(GroundingShards.open(stage.files, shards_of(stage, kind, number)))


def facts(result: Result) -> dict[tuple[str, int], dict[str, Any]]:
    return {(one["which"], one["number"]): one for one in result.manifest.facts["sets"]}


def rejects(run: Run, result: Result) -> list[tuple[str, str, int]]:
    names = [n for n in result.manifest.files if n.startswith("rejects/")]
    tables = [run.stage("expressions").table(name, result.manifest) for name in sorted(names)]
    return [(r["source_key"], r["reason"], r["images"]) for t in tables for r in t.to_pylist()]


def require_equal(found: list[Referring], expected: list[Referring]) -> None:
    for one, other in zip(found, expected, strict=True):
        require_same(one, other)


def contents(run: Run) -> Mapping[str, bytes]:
    """Every file of the stage that is not about times."""
    files = run.stage("expressions").files
    return {n: files.read(n) for n in files.sizes() if n.endswith(".parquet")}


def coco(folder: Path, numbers: list[int], file: str = "instances.json", **change: Any) -> ReferringConfig:
    (folder / "photos").mkdir(exist_ok=True, parents=True)
    for number in numbers:
        (folder / "photos" / file_name(number)).write_bytes(picture(number, size=SIZE))
    names = [{"id": i, "name": n} for i, n in enumerate(("cat", "dog"), 1)]
    made_of = [annotation(n, n) for n in numbers]
    (folder / file).write_text(json.dumps(instances(numbers, made_of, categories=names)))
    where = {"uri": str(folder / file), "images": str(folder / "photos")}
    return ReferringConfig(layout=ReferringLayout.COCO, **(where | change))
