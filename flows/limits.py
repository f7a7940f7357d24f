"""What a pool or a run can give, judged before anything is computed for it."""

from collections.abc import Sequence

from pipelines.support.provenance import differences
from siglino_core.config import Config
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import STAGES, Run


def refuse_too_small(config: Config, images: int, *, stages: Sequence[str] = ("cluster", "sample")) -> None:
    """Refuse what a pool with this many distinct images cannot give, before anything is computed for it.

    Args:
        stages: those that are to run; what the others would need is not asked.

    Raises:
        ConfigError: the target or the clusters are more than the pool.
    """
    faults = []
    if "sample" in stages and config.sample.target_size > images:
        faults.append(f"sample.target_size={config.sample.target_size} is larger than the pool ({images} images)")
    if "cluster" in stages and config.cluster.num_clusters[0] > images * config.cluster.fit_fraction:
        faults.append(
            f"cluster.num_clusters={config.cluster.num_clusters} asks for more centroids than images ({images})"
        )
    if faults:
        raise ConfigError("\n".join(faults))


def require_specs(config: Config, stages: Sequence[str]) -> None:
    """Refuse an encoder or a teacher that is none, before a pool is read for it.

    Args:
        stages: those that are to run; what the others would need is not asked.

    Raises:
        ConfigError: a text names no network.
    """
    if "embed" in stages:
        Spec.of(config.embed)
    if "targets" in stages or "train" in stages:
        for teacher in config.targets.teachers:
            Spec.parse(teacher, "targets.teachers")


def require_made_by(config: Config, stages: Sequence[str]) -> None:
    """Refuse settings of stages that are not to run, and that were made by others.

    Args:
        stages: those that are to run; of the others those before the last of them are looked at.

    Raises:
        ConfigError: what differs, and what to do.
    """
    last = max(STAGES.index(stage) for stage in stages)
    for stage in STAGES[:last]:
        manifest = None if stage in stages or stage == "report" else Run(config.run).stage(stage).manifest()
        if manifest is not None and (differing := differences(config, stage, manifest)):
            raise ConfigError(
                f"{config.run}/{stage} is not made by this command, and was made by another config:\n  "
                + "\n  ".join(differing)
                + f"\nLeave these settings out, or make it again with --redo {stage}."
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
