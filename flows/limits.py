"""What a pool or a run can give, judged before anything is computed for it."""

import os
from collections.abc import Sequence

from pipelines.support.provenance import differences
from siglino_core.config import Config
from siglino_core.curation.clustering.levels import levels_of
from siglino_core.encoders.spec import OWN, Spec
from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import STAGES, Run

LEAVES = ("report", "evaluate")  # stages that no other is made from
MODULES = "SIGLINO_MODULES"  # in the environment: whose networks of one's own may be run, by module


def refuse_too_small(
    config: Config, images: int, *, stages: Sequence[str] = ("cluster", "sample"), bound: bool = False
) -> None:
    """Refuse what a pool with this many distinct images cannot give, before anything is computed for it.

    Args:
        bound: it may have fewer, and the message says so.
        stages: those that are to run; what the others would need is not asked.

    Raises:
        ConfigError: the target or the clusters are more than the pool.
    """
    has = f"at most {images}" if bound else f"{images}"
    faults = []
    if "sample" in stages and config.sample.target_size > images:
        faults.append(f"sample.target_size={config.sample.target_size} is larger than the pool ({has} images)")
    if "cluster" in stages and levels_of(config, images)[0] > images * config.cluster.fit_fraction:
        faults.append(f"cluster.num_clusters={config.cluster.num_clusters} asks for more centroids than images ({has})")
    if faults:
        raise ConfigError(*faults)


def require_specs(config: Config, stages: Sequence[str]) -> None:
    """Refuse an encoder or a teacher that is none, before a pool is read for it.

    Args:
        stages: those that are to run; what the others would need is not asked.

    Raises:
        ConfigError: a text names no network, or a module that may not run here.
    """
    specs = [Spec.of(config.embed)] if "embed" in stages else []
    if "targets" in stages or "train" in stages:
        specs += [Spec.parse(teacher, "targets.teachers") for teacher in config.targets.teachers]
    if "evaluate" in stages:
        named = [m.network for m in config.evaluate.models]
        named += [spec for m in config.evaluate.models for text in m.texts if (spec := text.partition("=")[2])]
        specs += [Spec.parse(text, "evaluate.models") for text in named]
    for spec in specs:
        _require_allowed(spec)


def _require_allowed(spec: Spec) -> None:
    """Refuse a module that whoever owns this deployment has not named: who may give a setting may not run any code."""
    module = spec.source.partition(":")[0]
    allowed = [name.strip() for name in os.environ.get(MODULES, "").split(",")]
    if spec.kind == OWN and not any(name and f"{module}.".startswith(f"{name}.") for name in allowed):
        raise ConfigError(
            f"{spec.asked}: {module} is not among the modules that may run here. Name it in the environment of what "
            f"starts siglino, a worker of Prefect's too: {MODULES}={module} (several with commas between)."
        )


def require_made_by(config: Config, stages: Sequence[str]) -> None:
    """Refuse settings of stages that are not to run, and that were made by others.

    Args:
        stages: those that are to run; of the others those before the last of them are looked at.

    Raises:
        ConfigError: what differs, and what to do.
    """
    last = max(STAGES.index(stage) for stage in stages)
    for stage in STAGES[:last]:
        manifest = None if stage in stages or stage in LEAVES else Run(config.run).stage(stage).manifest()
        if manifest is not None and (differing := differences(config, stage, manifest)):
            raise ConfigError(
                f"{config.run}/{stage} is not made by this command, and was made by another config:",
                *(f"  {line}" for line in differing),
                f"Leave these settings out, or make it again: --redo {stage}, without --only and --from.",
            )


def require_sample(config: Config) -> None:
    """Refuse to distil from a run whose curation has not come to its sample.

    Raises:
        StoreError: there is no finished sample in the run.
    """
    if Run(config.run).stage("sample").manifest() is None:
        raise StoreError(
            f"{config.run}: there is no finished sample here, which the student would learn from. "
            "Curate first: `siglino curate` with the same settings."
        )
