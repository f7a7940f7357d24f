"""Judged answers of one test set by one model or baseline, as arrays.

Legend: N expressions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siglino_core.grounding.metrics.boxes import Matched

# What the numbers follow from; the other columns are for people and for other tools.
COLUMNS = (
    "set", "image_id", "number", "text", "kind", "boxes", "predicted", "scores", "present", "said", "iou", "pairs",
    "inter", "union", "malformed", "missing",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Series:
    """Rows of `siglino_core.schema.ANSWERS` of one set and kind, in the order of the set."""

    table: pa.Table

    @property
    def n(self) -> int:
        return self.table.num_rows

    @cached_property
    def images_N(self) -> np.ndarray:
        """A number an image, int64: expressions of an image are not independent, and intervals draw whole images."""
        encoded = self.table["image_id"].combine_chunks().dictionary_encode()
        return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    @cached_property
    def true_N(self) -> np.ndarray:
        """How many referents there are, int64."""
        return _lengths(self.table["boxes"])

    @cached_property
    def predicted_N(self) -> np.ndarray:
        """How many boxes were predicted, int64."""
        return _lengths(self.table["predicted"])

    @cached_property
    def iou_N(self) -> np.ndarray:
        return self.table["iou"].to_numpy()

    @cached_property
    def said_N(self) -> np.ndarray:
        """Whether it was said to be present, bool."""
        return self.table["said"].to_numpy()

    @cached_property
    def matches(self) -> list[Matched]:
        """The boxes one to one, expression by expression."""
        return [
            Matched(
                predicted_M=np.arange(len(pairs)),
                true_M=np.arange(len(pairs)),
                iou_M=np.array(pairs, np.float64),
                predicted=int(predicted),
                true=int(true),
            )
            for pairs, predicted, true in zip(
                self.table["pairs"].to_pylist(), self.predicted_N, self.true_N, strict=True
            )
        ]

    @cached_property
    def masked_N(self) -> np.ndarray:
        """Which answers' masks were compared, bool."""
        return self.table["union"].is_valid().to_numpy()

    def pixels(self, masked_N: np.ndarray) -> np.ndarray:
        """Intersection and union of these expressions, int64 [M, 2]."""
        some = self.table.filter(pa.array(masked_N))
        return np.stack([some["inter"].to_numpy(), some["union"].to_numpy()], 1).astype(np.int64)

    @cached_property
    def sample_ids(self) -> list[str]:
        """A name each: its image's and its number; an image that comes twice counts on."""
        seen: dict[str, int] = {}
        names = []
        for image in self.table["image_id"].to_pylist():
            names.append(f"{image}#{seen.get(image, 0)}")
            seen[image] = seen.get(image, 0) + 1
        return names

    @cached_property
    def top_scores(self) -> list[float | None]:
        """Of the surest box."""
        return [scores[0] if scores else None for scores in self.table["scores"].to_pylist()]

    def counted(self, column: str, among_N: np.ndarray | None = None) -> int:
        """How many rows, or how many of some, have something in a column of counts or of yes and no."""
        there_N = self.table[column].to_numpy() != 0
        return int(np.count_nonzero(there_N if among_N is None else there_N & among_N))


def by_kind(table: pa.Table, kinds: Sequence[str]) -> Iterator[tuple[str, Series]]:
    """The series of a set's rows, of those kinds that there are."""
    for kind in kinds:
        own = table.filter(pc.field("kind") == kind)
        if own.num_rows:
            yield kind, Series(own)


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    return pc.list_value_length(column).to_numpy().astype(np.int64)  # pyright: ignore[reportAttributeAccessIssue]
