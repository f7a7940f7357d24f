"""What made a run: the settings of finished stages from their own manifests, whatever is asked for now."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from siglino_core.config import Config, build, shaping
from siglino_core.config.retired import without_retired
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError
from siglino_core.networks import describe
from siglino_core.store import Manifest, Run

_ASKED: ContextVar[dict[str, Any] | None] = ContextVar("asked", default=None)
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}


@contextmanager
def asked_for(about: dict[str, Any]) -> Iterator[None]:
    """Within, a run's artifacts are made by this command: what the run's note says is of those that stand."""
    before = _ASKED.set(about)
    try:
        yield
    finally:
        _ASKED.reset(before)


def about(run: Run) -> dict[str, Any]:
    """The command and the experiment of what is being made, or else of what stands."""
    return _ASKED.get() or run.about()


def made_by(run: Run, sample: Mapping[str, Any]) -> Config:
    """The config by which a curation was made: what shaped its bytes as made, the rest at its default.

    Args:
        sample: the identity of the sample, whose manifest may not be written yet.
    """
    values = {name: _settings(name, run.stage(name).require()) for name in ("source", "embed", "cluster")}
    values["sample"] = _known("sample", sample["config"])
    return build(Config, {**values, "seed": sample["config"]["seed"], "run": run.url})


def left_out(note: Mapping[str, Any]) -> bool:
    """Whether nobody said how many clusters there are, so that they followed from pool and sample.

    Args:
        note: of what made the stage `cluster`.
    """
    return note.get("config", {}).get("cluster", {}).get("num_clusters") == []


def settings_of(run: Run, stage: str) -> dict[str, Any]:
    """The settings that shaped a finished stage of the curation, as one would give them; ``seed`` is the run's."""
    manifest = run.stage(stage).manifest()
    if manifest is None:
        return {}
    values = _settings(stage, manifest)
    values.pop("precision", None)  # a finished stage keeps its own
    seed = manifest.identity["config"].get("seed")
    return values if seed is None else {**values, "seed": seed}


def _settings(stage: str, manifest: Manifest) -> dict[str, Any]:
    """A finished stage's settings, with those that shape no byte and that one would miss."""
    values = without_retired(_known(stage, manifest.identity["config"]), f"{stage}.")
    if stage == "source":
        values["uri"] = manifest.facts["uri"]
    if stage == "embed":
        values["encoder"] = manifest.facts["asked"][0]
    return values


def _known(stage: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stored config the settings that a user may give."""
    names = {f.name for f in dataclasses.fields(getattr(Config(), stage))}
    values = {key: value for key, value in stored.items() if key in names}
    if "precision" in values:
        values["precision"] = PRECISIONS[values["precision"]]
    return values


def differences(config: Config, stage: str, manifest: Manifest) -> list[str]:
    """How a config differs from what made a finished stage, as ``key: theirs there, ours here``."""
    theirs = manifest.identity["config"]
    ours = shaping(getattr(config, stage)) | {"seed": config.seed}
    ours["precision"] = next((k for k, v in PRECISIONS.items() if v == ours.get("precision")), "auto")
    ours = {key: value for key, value in ours.items() if value != "auto"}  # left to the pool, or to the device
    for key in ("teachers", "student"):  # there as cards and a shape, here as words
        ours.pop(key, None)
    if stage == "export" and not config.export.max_pixels:  # left to the training
        ours.pop("max_pixels")
    if stage == "expressions":
        theirs, ours = _flat(theirs), ours | _flat(_sets(config))
    found = [
        f"{stage}.{key}: {theirs[key]!r} there, {value!r} here"
        for key, value in ours.items()
        if key in theirs and theirs[key] != value
    ]
    return found + _networks(config, stage, manifest)


def _sets(config: Config) -> dict[str, dict[str, Any]]:
    """The data sets as the stage `expressions` tells them, whatever their files hold."""
    from siglino_core.grounding.data.sets import sets_of  # seconds

    asked = {"train": config.expressions.train, "test": config.expressions.test}
    sets = {kind: sets_of(of, train=kind == "train", seed=config.seed) for kind, of in asked.items()}
    return {kind: {str(i): shaping(one.config) for i, one in enumerate(of)} for kind, of in sets.items()}


def _flat(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A config of `expressions` with a key for each set's settings, and under ``train`` and ``test`` their names."""
    found = dict(stored)
    for kind in ("train", "test"):
        found[kind] = [one["name"] for one in stored[kind].values()]
        for i, one in stored[kind].items():
            found |= {f"{kind}[{i}].{key}": value for key, value in one.items() if key != "files"}
    return found


def _networks(config: Config, stage: str, manifest: Manifest) -> list[str]:
    """Other networks, which another word alone does not make them."""
    if stage == "embed":
        key, asked, identities = "embed.encoder", [config.embed.encoder], [manifest.identity["config"]["weights_hash"]]
    elif stage == "targets":
        key, asked = "targets.teachers", list(config.targets.teachers)
        identities = [card["identity"] for card in manifest.identity["config"]["teachers"]]
    else:
        return []
    words = manifest.facts["asked"]
    if words == asked:
        return []
    specs: list[Spec | str] = [Spec.of(config.embed)] if stage == "embed" else list(asked)
    try:
        same = [describe(spec).identity for spec in specs] == identities
    except ConfigError:
        same = False
    return [] if same else [f"{key}: {words!r} there, {asked!r} here"]
