"""A run's own images as a data set: those that training did not see, and those that it did.

A run may have billions of them. Its shards are read one by one, a draw is kept of what they hold, and only the drawn
images are looked at further.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.errors import DataError
from siglino_core.evaluation.data.chosen import Part, chosen
from siglino_core.evaluation.data.kept import in_turn, read_columns
from siglino_core.evaluation.data.label_ids import class_order
from siglino_core.evaluation.data.sample import EvalSample, Unit
from siglino_core.hashing import fingerprint
from siglino_core.pools.image_rows import image_rows
from siglino_core.store import Run

ROWS = 512  # images of a unit


@dataclass(frozen=True, kw_only=True, eq=False)
class RunSplit:
    """Images of a run, by the part they played in its curation; samples are named by their image ids.

    Attributes:
        near_duplicate: cosine from which on an image that was not kept is one that was; 1: none is, as in curation.
        most, seed: so many images are drawn by the seed, before near-duplicates go; 0: all.
        formats: encodings of the images that are wanted; empty: all.
        digest: of the run's sample.
    """

    run: Run
    part: Part
    near_duplicate: float
    most: int
    seed: int
    formats: tuple[str, ...]
    digest: str
    identity: str
    rows_per_unit: int = ROWS

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_found")}

    @cached_property
    def _found(self) -> tuple[dict[str, np.ndarray], Counter[str]]:
        return chosen(self.run.url, self.digest, self.part, self.near_duplicate, self.most, self.seed, self.formats)

    @cached_property
    def _found_classes(self) -> tuple[str, ...]:
        return _labels_of(self.run, self._found[0])

    @property
    def classes(self) -> Sequence[str]:
        return self._found_classes

    @property
    def passed(self) -> Counter[str]:
        """How many of the run's images are left out, by why."""
        return self._found[1]

    def units(self) -> list[Unit]:
        """Pieces of work, each with the [shard, row] of its images; no shard is named of which nothing belongs here."""
        rows = [[shard, int(row)] for shard, of_shard in self._found[0].items() for row in of_shard]
        parts = [rows[start : start + self.rows_per_unit] for start in range(0, len(rows), self.rows_per_unit)]
        return [{"rows_of": part, "rows": len(part)} for part in parts]

    def read(self, unit: Unit) -> Iterator[EvalSample]:
        """The samples of a unit, in the order of shards and rows.

        Raises:
            DataError, StoreError: the pool that a run without bytes points to has changed or gone.
        """
        for shard, of_shard in groupby(unit["rows_of"], key=lambda place: place[0]):
            rows = np.array([row for _, row in of_shard], np.int64)
            for _, image in image_rows(self.run.stage("source"), shard, rows):
                yield EvalSample(
                    sample_id=image["image_id"],
                    data=image["bytes"],
                    label=image["label"],
                    captions=(image["caption"],) if image["caption"] else (),
                )


def open_run(
    url: str,
    part: Part = Part.HELD_OUT,
    near_duplicate: float | None = None,
    *,
    most: int = 0,
    seed: int = 0,
    formats: Sequence[str] = (),
    rows_per_unit: int = ROWS,
) -> RunSplit:
    """A run's images that its training did not see, or those that it did.

    Held out is what is neither kept, nor rejected, nor a copy or near-duplicate by the curation's own word, nor, for
    that looks within cells alone, as like to any kept image by the run's embeddings.

    Args:
        near_duplicate: cosine from which on; None: ``sample.near_duplicate`` of the run.
        most, seed: images that are drawn by the seed, wherever shards begin and end; near-duplicates are looked for
            among these alone, so that there may be fewer. 0: all.
        formats: encodings of the images that are wanted, as `siglino_core.images.formats` has them; empty: all.

    Raises:
        DataError: its sample was made from other images, or after its training; none is left.
        StoreError: its source, embed, cluster or sample is not finished.
    """
    run = Run(url)
    sample = run.stage("sample").require()
    for name in ("source", "embed", "cluster"):
        if sample.identity["inputs"][name] != run.stage(name).require().digest:
            raise DataError(
                f"{url}: its {name} was made anew after its sample, so that nobody knows what training saw. "
                "Run `siglino curate --redo sample`."
            )
    require_trained_on(run, sample.digest)
    cosine = sample.identity["config"]["near_duplicate"] if near_duplicate is None else near_duplicate
    how = [part.value, cosine, most, seed, list(formats)]
    split = RunSplit(
        identity=fingerprint(["run", sample.identity["inputs"], sample.digest, *how]),
        run=run,
        part=part,
        near_duplicate=cosine,
        most=most,
        seed=seed,
        formats=tuple(formats),
        digest=sample.digest,
        rows_per_unit=rows_per_unit,
    )
    if not split.units():
        why = ", ".join(f"{what} {count}" for what, count in sorted(split.passed.items()))
        raise DataError(
            f"{url}: no image of the run is {part.value.replace('_', ' ')} ({why}). Curate fewer (sample.target_size), "
            "or evaluate on another data set."
        )
    return split


def require_trained_on(run: Run, digest: str) -> None:
    """Refuse a run whose training, if there is one, saw another sample than the one that lies there now.

    What is not in this sample may be in that one, so that nothing of the run is sure to be held out.

    Raises:
        DataError: it did.
    """
    train = run.stage("train").manifest()
    if train is not None and train.identity["inputs"].get("sample", digest) != digest:
        raise DataError(
            f"{run.url}: its sample was made anew after its training, so that images which training saw would pass for "
            "held out. Run `siglino distill --redo train`."
        )


def _labels_of(run: Run, rows: dict[str, np.ndarray]) -> tuple[str, ...]:
    labels: set[str | None] = set()
    for shard, table in in_turn(run, list(rows), lambda s: read_columns(run, "source", s, ["label"])):
        labels.update(table["label"].take(pa.array(rows[shard])).unique().to_pylist())
    return class_order(labels)
