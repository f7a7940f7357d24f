"""From the command line's words to one frozen config: Hydra composes, the core's dataclasses judge."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from flows.words import EXPERIMENT, RECIPE, Word, is_file, parse
from pipelines.support.provenance import left_out, settings_of
from siglino_core.config import Config, build, to_dict
from siglino_core.config.credentials import faults, redacted
from siglino_core.config.retired import without_retired
from siglino_core.errors import ConfigError, SiglinoError
from siglino_core.store import STAGES, Run
from siglino_core.store.successor import PLAN

CONF = Path(__file__).parent / "conf"
CURATION = ("source", "embed", "cluster", "sample")


def experiments() -> list[str]:
    """The experiments that ship."""
    return sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))


def recipes() -> list[str]:
    """The recipes of curation that ship: settings of clusters and of the sample."""
    return sorted(p.stem for p in (CONF / RECIPE).glob("*.yaml"))


def compose_config(overrides: list[str], redo: Sequence[str] = ()) -> Config:
    """The config that the overrides ask for, e.g. ``["experiment=demo", "sample.target_size=100"]``.

    ``experiment`` may also be the path of a YAML file of your own; ``recipe`` sets what its file in ``conf/recipe``
    sets, over the experiment's. What neither it nor an override gives is as it was
    when the run's stages were made, if the run has begun; else it has its default.

    Args:
        redo: stages that are made anew: what followed from the run, and not from anybody's word, follows anew.

    Raises:
        ConfigError: with every unknown key, wrong type and impossible value at once.
    """
    parsed = parse(overrides, experiments(), recipes())
    values = _composed(parsed, to_dict(Config()))
    run = _begun(values.get("run"))
    if run is None:
        return build(Config, values)
    named = [w for w in parsed if w.key == EXPERIMENT]
    if named and named[0].value == _note(run, "source").get("experiment"):  # what was changed since counts
        base = to_dict(build(Config, _composed(named, to_dict(Config()))))
        return build(Config, _composed([w for w in parsed if w not in named], _as_made(run, base, redo)))
    return build(Config, _composed(parsed, _as_made(run, to_dict(Config()), redo)))


def _begun(url: Any) -> Run | None:
    """The run, if it has a stage that was begun."""
    if not isinstance(url, str) or faults({"run": url}):
        return None
    try:
        run = Run(url)
        return run if any(run.stage(stage).files.exists(PLAN) for stage in STAGES) else None
    except SiglinoError:  # the command itself says what is wrong with the store
        return None


def _composed(words: list[Word], base: dict[str, Any]) -> dict[str, Any]:
    """The base's settings, the experiment's over them, and over those what was typed."""
    experiment = next((w.value for w in words if w.key == EXPERIMENT), None)
    ConfigStore.instance().store(name="base", node=OmegaConf.create(base))
    chosen = [] if experiment is None or is_file(experiment) else [f"experiment={experiment}"]
    try:
        with initialize_config_dir(str(CONF), version_base=None):
            composed = compose("defaults", overrides=chosen)
        OmegaConf.set_struct(composed, False)  # unknown keys are for the core to name, all at once
        if experiment is not None and is_file(experiment):
            composed = OmegaConf.merge(composed, OmegaConf.load(experiment))
        for recipe in (w.value for w in words if w.key == RECIPE):
            composed = OmegaConf.merge(composed, OmegaConf.load(CONF / RECIPE / f"{recipe}.yaml"))
        for word in words:
            if word.key not in (EXPERIMENT, RECIPE):
                OmegaConf.update(composed, word.key, word.value)
        plain: Any = OmegaConf.to_container(composed, resolve=False)
    except (HydraException, OmegaConfBaseException, OSError, YAMLError, TypeError, ValueError) as e:
        what = f"experiment={experiment}" if experiment is not None and is_file(experiment) else "the config"
        raise ConfigError(f"{what} cannot be composed: {str(e).splitlines()[0]}") from e
    if asked := _interpolations(plain):
        lines = [f"  {key}: {redacted(text)}: no ${{...}} is filled in here; write the value" for key, text in asked]
        raise ConfigError("the config does not hold:", *lines)
    return plain


def _interpolations(values: Any, key: str = "") -> list[tuple[str, str]]:
    """Settings that ask for an environment variable or another value: what is written down is what was asked."""
    if isinstance(values, dict):
        return [found for k, v in values.items() for found in _interpolations(v, f"{key}.{k}" if key else str(k))]
    if isinstance(values, list):
        return [found for i, v in enumerate(values) for found in _interpolations(v, f"{key}[{i}]")]
    return [(key, values)] if isinstance(values, str) and "${" in values else []


def _as_made(run: Run, values: dict[str, Any], redo: Sequence[str]) -> dict[str, Any]:
    """The settings, and over them those by which the run's stages were made, as far as the run tells."""
    for stage in STAGES:
        stored = _note(run, stage).get("config", {})
        kept = without_retired(stored.get(stage, {}), f"{stage}.")
        values[stage] |= {k: v for k, v in kept.items() if k in values[stage]}
        if stage in stored:
            values["seed"] = stored.get("seed", values["seed"])
    for stage in CURATION:
        try:
            made = settings_of(run, stage)
            values["seed"] = made.pop("seed", values["seed"])
            if stage == "cluster" and stage in redo and left_out(_note(run, stage)):
                made.pop("num_clusters")
            values[stage] |= made
        except (SiglinoError, KeyError):  # the command says what it finds of the stage itself
            continue
    return values


def _note(run: Run, stage: str) -> dict[str, Any]:
    try:
        return run.about(stage)
    except SiglinoError:
        return {}


def quoted(text: str) -> str:
    """Text as a value in Hydra's grammar, whatever signs it holds."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), text)
    return f'"{escaped}"'


def yaml_with_docs(config: Any, indent: str = "") -> str:
    """A config as YAML, every key with its sentence."""
    lines = []
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            doc = (type(value).__doc__ or "").splitlines()[0]
            lines += [f"{indent}{f.name}:  # {doc}", yaml_with_docs(value, indent + "  ")]
        else:
            plain = json.dumps(to_dict(config)[f.name])
            lines.append(f"{indent}{f.name}: {plain}  # {f.metadata.get('doc', '')}")
    return "\n".join(lines)
