"""What was judged of samples: every figure of every method and seed, means, and paired differences to random."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from siglino_core.statistics.interval import Interval

NO_STEPS: Mapping[str, float] = MappingProxyType({})
FORMAT = 1  # of the JSON; `judgement.schema.json` has its schema


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to choose, measured.

    Attributes:
        role: recipe, the one that is judged, or baseline.
        settings: of its stages; empty: it is none of the product's.
        seeds: a seed's number and its figures.
    """

    role: str
    settings: Mapping[str, Any]
    seeds: Sequence[Mapping[str, float]]

    def mean(self, steps: Mapping[str, float] = NO_STEPS) -> dict[str, Interval]:
        """Of every metric over the seeds.

        Args:
            steps: by metric, the least that it can move by.
        """
        return {key: _interval([found[key] for found in self.seeds], steps.get(key, 0.0)) for key in self._keys()}

    def less(self, other: "Method", steps: Mapping[str, float] = NO_STEPS) -> dict[str, Interval]:
        """The differences to another method under the same seeds, its mean and interval."""
        assert [a["seed"] for a in self.seeds] == [b["seed"] for b in other.seeds]
        pairs = list(zip(self.seeds, other.seeds, strict=True))
        return {key: _interval([a[key] - b[key] for a, b in pairs], steps.get(key, 0.0)) for key in self._keys()}

    def _keys(self) -> list[str]:
        return [key for key in self.seeds[0] if key != "seed"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The whole.

    Attributes:
        pool, protocol: what was judged on, and how, in plain values.
        recipe: the method that is judged.
        random: the method that the others are held against; empty: there is none.
        methods: by name, in reading order.
        left_out: methods that could not be had, and why.
        selected: the rows that the recipe chooses of the whole pool.
    """

    pool: Mapping[str, Any]
    protocol: Mapping[str, Any]
    recipe: str
    random: str
    methods: Mapping[str, Method]
    left_out: Mapping[str, str] = field(default_factory=dict)
    selected: Sequence[int] = ()

    def differences(self, name: str) -> dict[str, Interval]:
        """Of a method to random; empty of random itself, and without it."""
        if name == self.random or self.random not in self.methods:
            return {}
        return self.methods[name].less(self.methods[self.random], self.steps())

    def means(self, name: str) -> dict[str, Interval]:
        """Of every metric of a method over the seeds."""
        return self.methods[name].mean(self.steps())

    def steps(self) -> dict[str, float]:
        """By metric, the least that a figure is taken to move by: an image of the sample, or an answer of the test."""
        target = int(self.protocol["target"])
        image, answer = 1 / target, 1 / min(target, int(self.protocol.get("tested", target)))
        of_sample = dict.fromkeys(("rare_half_share", "near_duplicates", "junk"), image)
        return {**of_sample, "labels_covered": 1.0, "probe": answer, "probe_rare": answer}

    def as_json(self) -> dict[str, Any]:
        """Plain values, by `judgement.schema.json`."""
        return {
            "format": FORMAT,
            "pool": dict(self.pool),
            "protocol": dict(self.protocol),
            "recipe": self.recipe,
            "random": self.random,
            "methods": {name: self._method(name) for name in self.methods},
            "left_out": dict(self.left_out),
            "selected": list(self.selected),
        }

    def _method(self, name: str) -> dict[str, Any]:
        method = self.methods[name]
        return {
            "role": method.role,
            "settings": dict(method.settings),
            "seeds": [{**found, "seed": int(found["seed"])} for found in method.seeds],
            "mean": {key: asdict(value) for key, value in self.means(name).items()},
            "less_random": {key: asdict(value) for key, value in self.differences(name).items()},
        }


def _interval(values: Sequence[float], step: float) -> Interval:
    """Without bounds where all seeds agree and nothing says by how much they might not have."""
    found = Interval.of(values, step)
    return found if found.low != found.high else Interval(mean=found.mean, n=found.n)
