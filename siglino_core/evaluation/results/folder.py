"""An evaluation as it lies in a folder: its results at once, its samples as they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.store import RESULTS, read_results, read_samples, samples_file
from siglino_core.store import Files


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Results, and the samples behind them.

    Attributes:
        name: what it is called in words: its folder's URL.
        samples: of (task, data set), a table of `columns.SAMPLES`; None where there are none.
    """

    name: str
    results: Sequence[Result]
    samples: Callable[[str, str], pa.Table | None]

    @classmethod
    def of(cls, name: str, results: Sequence[Result], samples: Mapping[tuple[str, str], pa.Table]) -> "Evaluation":
        """One in memory."""
        return cls(name=name, results=results, samples=lambda task, dataset: samples.get((task, dataset)))

    @classmethod
    def joined(cls, name: str, parts: "Sequence[Evaluation]") -> "Evaluation":
        """Several as one; no two of them have the same task."""

        def samples(task: str, dataset: str) -> pa.Table | None:
            found = (part.samples(task, dataset) for part in parts)
            return next((table for table in found if table is not None), None)

        return cls(name=name, results=[r for part in parts for r in part.results], samples=samples)

    @classmethod
    def open(cls, files: Files) -> "Evaluation":
        """One in a folder.

        Raises:
            DataError: there are no results, or a file is none of results.
        """
        names = [name for name in files.sizes(RESULTS) if name.endswith(".json")]
        if not names:
            raise DataError(f"{files.url} has no {RESULTS}: it is no evaluation; `siglino evaluate` makes one")
        found = files.read_many(names)
        results = [r for name in names for r in read_results(found[name], f"{files.url}/{name}")]

        def samples(task: str, dataset: str) -> pa.Table | None:
            name = samples_file(task, dataset)
            return read_samples(files.read(name), f"{files.url}/{name}") if files.exists(name) else None

        return cls(name=files.url, results=results, samples=samples)
