"""A unit of the stage: some rows of a set, read, looked at and written, an image a row group."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from pipelines.expressions.layout import TRAIN
from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.grounding.data.left_out import NOBODY, LeftOut, Without
from siglino_core.grounding.data.refer import TEST_IMAGE
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.data.sets import ReferringSet, Rows
from siglino_core.grounding.data.shards import content_of, index_of, read_index
from siglino_core.grounding.data.table import to_table
from siglino_core.hashing import fingerprint
from siglino_core.store import Files, Shard

TESTED = "image_of_a_test_set"
OPEN = 2  # sets that a worker keeps open: units come set by set
EXAMPLES = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpressionsWork(Work):
    """What every unit of this stage knows.

    Attributes:
        sets: to test on and to train on.
        identities: fingerprints of what decides their rows, in the same order.
        tests: the shards to test on, which are committed before one to train on begins.
    """

    sets: Mapping[str, tuple[ReferringSet, ...]]
    identities: Mapping[str, tuple[str, ...]]
    tests: tuple[str, ...]


@dataclass(kw_only=True)
class Tally:
    """What a unit came to: its index, its rejects, and counts of both."""

    source: str
    index: list[pa.Table] = field(default_factory=lambda: [schema.GROUNDING_INDEX.empty_table()])
    rejects: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    masks: bool = False

    def add(self, row: Referring) -> None:
        """Count an image that is written."""
        self.index.append(index_of([row]))
        self.counts["images"] += 1
        self.counts["expressions"] += len(row.expressions)
        self.counts["absent"] += sum(e.absent for e in row.expressions)
        self.counts["instances"] += sum(len(e.boxes_K4) for e in row.expressions)
        self.masks = self.masks or any(e.masks for e in row.expressions)

    def leave_out(self, item: LeftOut) -> None:
        """Count what is not written; what cannot be used has a row of its own."""
        self.left_out[item.reason] += item.times
        if item.error:
            told = {"reason": item.reason, "error": item.error, "images": int(item.whole)}
            self.rejects.append({"source_uri": self.source, "source_key": item.image_id, **told})

    @property
    def bad(self) -> dict[str, int]:
        """Images that cannot be used, by reason."""
        return dict(sorted(Counter(r["reason"] for r in self.rejects if r["images"]).items()))

    def facts(self) -> dict[str, Any]:
        """What the commit record says beside rows and rejects."""
        said = f"{self.counts['images']} images, {self.counts['expressions']} expressions"
        return {
            **{name: self.counts[name] for name in ("expressions", "instances", "absent")},
            "masks": self.masks,
            "left_out": dict(sorted(self.left_out.items())),
            "examples": [r["error"] for r in self.rejects if r["images"]][:EXAMPLES],
            "says": said + (f", {len(self.rejects)} rejects" if self.rejects else ""),
        }


def write(work: ExpressionsWork, shard: Shard) -> dict[str, Any]:
    """Read a unit's rows and commit them; returns the commit record.

    Raises:
        DataError: the set is not what it was when the stage began, or not what it should be.
        StoreError: a file has gone, or the store does not answer.
    """
    name, kind, number = shard["name"], shard["kind"], shard["set"]
    one = work.sets[kind][number]
    with work.writer(name) as out:
        rows, held_out = opened(one, work.identities[kind][number])
        without: Without = NOBODY
        contents: AbstractSet[str] = frozenset()
        if kind == TRAIN:
            ids, contents = _tested(work.stage.files.url, work.fingerprint, work.tests)
            without = {TESTED: ids, TEST_IMAGE: held_out}
        found = Tally(source=one.name)
        with out.parquet(f"{name}.parquet", schema.GROUNDING) as images:
            for item in rows.read(shard, without):
                if isinstance(item, LeftOut):
                    found.leave_out(item)
                elif contents and content_of(item) in contents:  # the same file under another name
                    found.leave_out(LeftOut(image_id=item.image_id, reason=TESTED, whole=True))
                else:
                    images.write_table(to_table([item]))
                    found.add(item)
        out.write(f"index/{name}.parquet", pa.concat_tables(found.index), schema.GROUNDING_INDEX)
        if found.rejects:
            rejects = pa.Table.from_pylist(found.rejects, schema.REJECTS)
            out.write(f"rejects/{name}.parquet", rejects, schema.REJECTS)
        return out.commit(rows=found.counts["images"], rejects=found.bad, facts=found.facts())


@lru_cache(OPEN)
def opened(one: ReferringSet, identity: str) -> tuple[Rows, frozenset[str]]:
    """A set, and the images that it may not be trained on; once a process.

    Raises:
        DataError: its files have changed; and as `ReferringSet.open`.
    """
    if fingerprint(one.identity()) != identity:
        raise DataError(f"{one.name}: its files have changed since the stage began. Run again with --redo expressions.")
    return one.open(), one.held_out()


@lru_cache(1)
def _tested(url: str, _fingerprint: str, shards: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The ids of all images of the shards to test on, and what their files hold; once a process."""
    files, names = Files(url), ["image_id", "content"]
    tables = [read_index(files, shard, names) for shard in shards]
    ids, contents = (frozenset(value for table in tables for value in table[name].to_pylist()) for name in names)
    return ids, contents
