"""How the answers' work is cut, what every unit knows, and how the expressions' images are read."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.support.work import Work
from siglino_core.config import OtherAnswersConfig
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.table import from_table
from siglino_core.grounding.judged.shuffled import Asked
from siglino_core.store import Manifest, Shard, Stage

STAGE = "answers"
PRIORS, ANSWER, OTHER, TABLES = "priors", "answer", "other", "tables"  # kinds of units
TEST = "test"  # kind of the expressions' shards; those of training are `train`
PRIORS_FILE = "priors.json"
_ODD = re.compile(r"[^A-Za-z0-9._+@-]+")


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A test set of the expressions.

    Attributes:
        number: its place, by which its shards are called.
        name: as results' files are called: its own with dashes for what no file is called by.
        limit: only so many images of it are there; 0: all.
    """

    number: int
    name: str
    images: int
    expressions: int
    masks: bool
    limit: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswersWork(Work):
    """What every unit of this stage knows.

    Attributes:
        precision: that the model computes in.
        sets: in their order.
        shards: of the expressions' test images: their names by the number of their set.
        hashes: of the model and the images, for results.
        load: what reads the model's folder, if not `siglino_core.grounding.folder.load_grounding`.
    """

    precision: str
    sets: tuple[TestSet, ...]
    shards: dict[int, list[str]]
    hashes: dict[str, str]
    load: Callable[[str], Any] | None = None

    @property
    def expressions(self) -> Stage:
        return self.run.stage("expressions")

    def set_of(self, shard: str) -> TestSet:
        """Whose images a shard of the expressions has."""
        number = number_of(shard)
        return next(one for one in self.sets if one.number == number)

    def priors(self) -> dict[str, Any]:
        """What `priors` committed: the boxes that are answers to everything; without training boxes, none."""
        return json.loads(self.stage.files.read(PRIORS_FILE))


def number_of(shard: str) -> int:
    """The number of the set that a shard of the expressions, such as ``test-0-00000``, belongs to."""
    return int(shard.split("-")[1])


def answers_file(shard: str) -> str:
    """The answers to a shard of test images."""
    return f"answers/{shard}.parquet"


def other_file(name: str) -> str:
    """Another model's answers, to all test images."""
    return f"others/{name}.parquet"


def predictions_file(name: str) -> str:
    """A test set's boxes in COCO's form."""
    return f"predictions/{name}.json"


def sets_of(manifest: Manifest) -> list[TestSet]:
    """The test sets, each under a name of its own that a file can bear."""
    found: list[TestSet] = []
    for one in manifest.facts["sets"]:
        if one["which"] != TEST:
            continue
        name = _ODD.sub("-", str(one["name"])).strip("-.")[:64] or f"set-{one['number']}"
        name = name if name[0].isalnum() else f"set-{name}"
        if name in {other.name for other in found}:
            name = f"{name}-{one['number']}"
        counts = {key: one[key] for key in ("number", "images", "expressions", "masks", "limit")}
        found.append(TestSet(name=name, **counts))
    return found


def planned(shards: dict[int, list[str]], others: list[OtherAnswersConfig]) -> list[Shard]:
    """The units: one that draws boxes, one a shard of test images, one another model, and one for the tables."""
    tests = [name for names in shards.values() for name in names]
    return [
        {"name": PRIORS, "kind": PRIORS},
        *({"name": f"answer-{name}", "kind": ANSWER, "shard": name} for name in tests),
        *({"name": f"other-{one.name}", "kind": OTHER, "model": one.name} for one in others),
        {"name": TABLES, "kind": TABLES},
    ]


def images(expressions: Stage, shard: str) -> Iterator[tuple[int, Referring]]:
    """The images of a shard with their rows, one row group in memory at a time.

    Raises:
        DataError: a row is none of an image with expressions.
    """
    name = f"{shard}.parquet"
    row = 0
    with expressions.files.parquet(name) as file:
        for group in range(file.num_row_groups):
            for one in from_table(file.read_row_group(group), f"{expressions.files.url}/{name}"):
                yield row, one
                row += 1


def encoded(expressions: Stage, shard: str, wanted: set[int]) -> dict[int, bytes]:
    """The encoded images of some rows of a shard."""
    found: dict[int, bytes] = {}
    first = 0
    with expressions.files.parquet(f"{shard}.parquet") as file:
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if here := [row for row in range(first, first + count) if row in wanted]:
                column = file.read_row_group(group, columns=["bytes"])["bytes"]
                found |= {row: column[row - first].as_py() for row in here}
            first += count
    return found


def texts(expressions: Stage, shard: str) -> list[Asked]:
    """All expressions of a shard with their images, in order; neither images nor masks are read."""
    with expressions.files.parquet(f"{shard}.parquet") as file:
        paths = [file.schema.column(i).path for i in range(len(file.schema))]
        text = next(path for path in paths if path.startswith("expressions.") and path.endswith(".text"))
        table: pa.Table = file.read(columns=["image_id", text])
    return [(row["image_id"], one["text"]) for row in table.to_pylist() for one in row["expressions"]]
