"""Published figures, how each was measured, and whether a result of ours reproduces one.

A file of ``references/`` is one model on one data set in one task: the figure with its source, the network and the data
as a config names them, and what of preprocessing and protocol must be equal. Whoever has weights and data runs it.

A figure counts as reproduced if it lies within our result's own 95% interval, widened by half a unit of the figure's
last digit. The same images are behind both, so that two faithful measurements lie nearer than this: the bound is
lenient, and the difference is told beside it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

from siglino_core.config import Cleaning, DatasetConfig, Fit, ModelConfig, Task, did_you_mean
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.recipe import recipes
from siglino_core.evaluation.results.result import Metric, Result
from siglino_core.statistics.proportion import wilson

ALL_BUT = 0.01  # of the samples: COCO has 25,010 captions, and some take the first five of each image


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published figure.

    Attributes:
        name: of its file.
        title: the model in words, and what it was shown.
        percent, decimals: the figure as it is printed, and its digits after the point.
        metric: its name in our results.
        n: samples that it is a mean over.
        source: paper and table, or repository and file.
        network, fit, image_size, min_pixels, max_pixels, texts: as `siglino_core.config.ModelConfig` has them;
            ``network`` empty: no spec names it, and one's own module does.
        view: of the network; empty: the source does not say which.
        recipe, task: the data set and what is measured on it. A data set without a recipe is taken as its files are.
        templates: ``imagenet`` for open_clip's 80; empty: the recipe's.
        cleaning: of texts, as `siglino_core.config.DatasetConfig` has it.
        preprocessing, parameters: what must be equal in a result that has them.
        notes: what of the protocol is not known, or differs here.
        contested: who measured otherwise, and what; empty: nobody that we know of.
    """

    name: str
    title: str
    percent: float
    decimals: int
    metric: str
    n: int
    source: str
    network: str = ""
    fit: str = "auto"
    image_size: int = 0
    min_pixels: int = 0
    max_pixels: int = 0
    texts: tuple[str, ...] = ()
    view: str = ""
    recipe: str
    task: str
    templates: str = ""
    cleaning: str = "canonical"
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    contested: str = ""

    @classmethod
    def read(cls, name: str, text: str) -> Self:
        """From a file's text.

        Raises:
            DataError: it is no TOML, or lacks a key, or has one that there is not.
        """
        try:
            values: dict[str, Any] = tomllib.loads(text)
            known = {f.name for f in fields(cls)} - {"name"}
            if unknown := sorted(values.keys() - known):
                raise ValueError(f"no key {unknown[0]}{did_you_mean(unknown[0], sorted(known))}")
            lists = {key: tuple(values[key]) for key in ("texts", "notes") if key in values}
            found = cls(name=name, **{**values, **lists})
            for kind, value in ((Task, found.task), (Fit, found.fit), (Cleaning, found.cleaning)):
                kind(value)  # refuses what is none
            if not 0 < found.percent <= 100 or found.n < 1 or not found.source:
                raise ValueError("percent above 0 and at most 100, n from 1, and a source")
        except (TypeError, ValueError) as e:
            raise DataError(f"reference {name}: {e}") from e
        return found

    @property
    def rounding(self) -> float:
        """Half a unit of the last digit, in points."""
        return 0.5 * 10.0**-self.decimals

    def model(self, network: str = "", texts: tuple[str, ...] = ()) -> ModelConfig:
        """The network as a config names it.

        Args:
            network: another source of the same weights, such as a local folder; empty: the reference's own.
            texts: other text sides, as ``VIEW=SPEC``.

        Raises:
            ConfigError: the reference names none, and none is given.
        """
        if not (network or self.network):
            raise ConfigError(f"reference {self.name}: no spec names {self.title}; give one's own, module:attribute")
        return ModelConfig(
            name=self.name,
            network=network or self.network,
            fit=Fit(self.fit),
            image_size=self.image_size,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            texts=list(texts or self.texts),
        )

    def dataset(self, uri: str, **where: Any) -> DatasetConfig:
        """The data as a config names them.

        Args:
            uri: where the test images are.
            where: ``train``, ``annotations``, ``masks`` and whatever else of `siglino_core.config.DatasetConfig` says
                where something is.
        """
        from siglino_core.evaluation.zero_shot import imagenet_templates

        templates = list(imagenet_templates()) if self.templates == "imagenet" else []
        return DatasetConfig(
            name=self.recipe,
            recipe=self.recipe if self.recipe in recipes() else "",
            uri=uri,
            tasks=[Task(self.task)],
            templates=templates,
            cleaning=Cleaning(self.cleaning),
            **where,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a figure is reproduced.

    Attributes:
        difference: ours less the published one, in points.
        allowed: how far apart they may lie on this side, in points.
        differs: what of the protocol is not the same, each in words; nothing is reproduced then.
        words: all of it in one sentence.
    """

    reproduced: bool
    difference: float
    allowed: float
    differs: tuple[str, ...]
    words: str


def judge(reference: Reference, result: Result) -> Verdict:
    """Whether our result reproduces a figure.

    Raises:
        DataError: the result has no such metric, or is a sanity row.
    """
    if result.sanity:
        raise DataError(f"reference {reference.name}: a sanity row ({result.sanity}) is no measurement")
    if reference.metric not in result.metrics:
        there = ", ".join(result.metrics)
        raise DataError(f"reference {reference.name}: the result has no metric {reference.metric!r}, but {there}")
    metric = result.metrics[reference.metric]
    difference = 100 * metric.value - reference.percent
    low, high = interval_of(metric)
    allowed = 100 * (metric.value - low if difference > 0 else high - metric.value) + reference.rounding
    differs = tuple(differences(reference, result))
    near = abs(difference) <= allowed + 1e-9  # NaN is near to nothing
    return Verdict(
        reproduced=near and not differs,
        difference=difference,
        allowed=allowed,
        differs=differs,
        words=_words(reference, metric, difference, allowed, differs, near=near),
    )


def interval_of(metric: Metric) -> tuple[float, float]:
    """A metric's 95% interval: its own, else Wilson's by its n."""
    if metric.low is not None and metric.high is not None:
        return metric.low, metric.high
    found = wilson(round(min(1.0, max(0.0, metric.value)) * metric.n), metric.n)
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def differences(reference: Reference, result: Result) -> list[str]:
    """What a result was not measured like, in words: data, task, view, samples, preprocessing, parameters.

    What the result does not tell is not held against it.
    """
    found = []
    for what, ours, theirs in (
        ("data set", result.dataset, reference.recipe),
        ("task", result.task, reference.task),
        ("view", result.view, reference.view or result.view),
    ):
        if ours != theirs:
            found.append(f"{what} {ours}, not {theirs}")
    n = result.metrics[reference.metric].n
    if abs(n - reference.n) > ALL_BUT * reference.n:
        found.append(f"{n:,} samples, not {reference.n:,}")
    for held, asked in ((result.preprocessing, reference.preprocessing), (result.parameters, reference.parameters)):
        found += [f"{k}={_short(held[k])}, not {_short(v)}" for k, v in asked.items() if k in held and held[k] != v]
    if reference.templates == "imagenet" and len(templates := result.parameters.get("templates", [""] * 80)) != 80:
        found.append(f"{len(templates)} templates, not 80")
    return found


def references() -> dict[str, Reference]:
    """All that come with the package, by name.

    Raises:
        DataError: a file is damaged.
    """
    return {name: load_reference(name) for name in sorted(_names())}


def load_reference(name: str) -> Reference:
    """One that comes with the package, or a TOML file's.

    Raises:
        ConfigError: there is none of the name.
        DataError: the file is damaged.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"reference {name}: there is no such file")
        return Reference.read(path.stem, path.read_text(encoding="utf-8"))
    if name not in _names():
        raise ConfigError(f"reference {name}: not one of {', '.join(sorted(_names()))}{did_you_mean(name, _names())}")
    return Reference.read(name, _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def _folder() -> Traversable:
    return files("siglino_core.evaluation").joinpath("references")


def _names() -> list[str]:
    return [f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml")]


def _words(
    reference: Reference, metric: Metric, difference: float, allowed: float, differs: tuple[str, ...], *, near: bool
) -> str:
    digits = max(1, reference.decimals)
    ours, theirs = f"{100 * metric.value:.{digits}f}", f"{reference.percent:.{reference.decimals}f}"
    said = f"{reference.title}, {reference.metric}: {ours} against {theirs} published ({difference:+.2f} points)"
    if differs:
        return f"{said}: not comparable: {'; '.join(differs)}"
    by = f"{allowed:.2f} are allowed for n={metric.n:,} and rounding"
    contested = f"; contested: {reference.contested}" if reference.contested else ""
    return f"{said}: {'reproduced' if near else 'not reproduced'}; {by}{contested}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
