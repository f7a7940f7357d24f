"""How many objects were found, missed and invented, by how many there are: crowds are where detectors fail."""

from collections.abc import Sequence
from dataclasses import dataclass

from siglino_core.grounding.metrics.boxes import Matched

BUCKETS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6+": (6, None)}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Objects of all samples that have so many.

    Attributes:
        found: true objects with a prediction of their own that reaches the threshold.
        missed: the other true ones; ``invented``: the other predicted ones.
    """

    samples: int
    found: int
    missed: int
    invented: int

    @property
    def f1(self) -> float | None:
        """2 * found / (2 * found + missed + invented); None where there is nothing to find and nothing was said."""
        total = 2 * self.found + self.missed + self.invented
        return 2 * self.found / total if total else None


def by_count(matches: Sequence[Matched], threshold: float = 0.5) -> dict[str, Counted]:
    """The samples by their number of true objects; buckets without samples are there too."""
    return {name: _counted(matches, low, high, threshold) for name, (low, high) in BUCKETS.items()}


def _counted(matches: Sequence[Matched], low: int, high: int | None, threshold: float) -> Counted:
    inside = [m for m in matches if low <= m.true and (high is None or m.true <= high)]
    found = sum(m.found(threshold) for m in inside)
    return Counted(
        samples=len(inside),
        found=found,
        missed=sum(m.true for m in inside) - found,
        invented=sum(m.predicted for m in inside) - found,
    )
