"""What a command would run into hours later, found out before its first stage begins."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from flows.limits import refuse_too_small
from pipelines.support.price import A100, CPU_CORE
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, Runner
from siglino_core.errors import ConfigError, SiglinoError
from siglino_core.report.numbers import size
from siglino_core.store import Run
from siglino_core.weights.source import may_be_there

MOST_DEVICES = {A100: 128, CPU_CORE: 4096}  # that a stage is thought to have where `runtime.workers` does not say
YEAR = 8760  # hours
PRICED = ("source", "embed", "cluster", "sample", "report", "targets", "train")
PATCH = 16  # pixels; the student's


def preflight(config: Config, stages: Sequence[str], redo: Sequence[str] = ()) -> None:
    """Make every check that needs no computing, for the stages that are to run and are not done yet.

    Args:
        stages: those that are to run.
        redo: of those, the ones that are made anew whatever is there.

    Raises:
        ConfigError, DataError, StoreError: a network that cannot be had, teachers that the student does not fit, a
            pool too small for what is asked of it, or a stage that exceeds this machine's memory or a year.
    """
    missing = [s for s in stages if s in redo or Run(config.run).stage(s).manifest() is None]
    if "embed" in missing:
        _encoder(config)
    if "sample" in missing and config.sample.learned:
        Run(config.sample.learned).stage("train").require()
    if "targets" in missing:
        _teachers(config, train="train" in missing)
    if "train" in missing:
        _training(config)
    if "export" in missing:
        _export(config)
    if "evaluate" in missing:
        _evaluation(config, alone=missing == ["evaluate"])
    if "ground" in missing:
        _grounding(config)
    _pool(config, missing)


def _encoder(config: Config) -> None:
    from siglino_core.encoders.spec import Spec
    from siglino_core.networks import describe

    spec, weights = Spec.of(config.embed), config.embed.weights
    if weights and spec.kind not in ("timm", "open_clip"):
        raise ConfigError(f"embed.weights={weights}: {config.embed.encoder} takes none; timm and open_clip do.")
    if weights and not os.path.exists(weights):
        raise ConfigError(f"embed.weights={weights}: there is nothing there.")
    describe(spec)


def _teachers(config: Config, *, train: bool) -> None:
    from pipelines.support.networks import cards_of
    from siglino_core.distillation.training.student import student_config

    cards = cards_of(config.targets.teachers)
    if train:
        student_config(config.train, cards)


def _training(config: Config) -> None:
    train = config.train
    if train.ranks > 1 and config.runtime.runner is Runner.LOCAL:
        raise ConfigError(f"train.ranks={train.ranks} needs runtime.runner=ray: the local one is one process")
    _require_there("train.checkpoint", train.checkpoint)
    if train.loss.gram:
        _require_there("train.loss.gram_checkpoint", train.loss.gram_checkpoint)


def _export(config: Config) -> None:
    from siglino_core.weights.origin import Origin

    if 0 < config.export.max_pixels < PATCH**2:  # 0: as trained
        raise ConfigError(f"export.max_pixels={config.export.max_pixels}: a patch has {PATCH} x {PATCH} pixels.")
    Origin.of(config)


def _grounding(config: Config) -> None:
    ground = config.ground
    if ground.ranks > 1 and config.runtime.runner is Runner.LOCAL:
        raise ConfigError(f"ground.ranks={ground.ranks} needs runtime.runner=ray: the local one is one process")
    _require_there("ground.checkpoint", ground.checkpoint)


def _evaluation(config: Config, *, alone: bool) -> None:
    """What an evaluation finds after all features are extracted: text sides; and data sets, where stages come before.

    Args:
        alone: the run is distilled, so that what the config leaves to it is known.
    """
    from siglino_core.encoders.spec import Spec
    from siglino_core.evaluation.data.open import find_train, open_split
    from siglino_core.evaluation.network.load import describe_network
    from siglino_core.evaluation.network.texts import load_texts
    from siglino_core.teachers.text import has_text_side, text_tower

    if alone:
        config = import_module("pipelines.evaluate.subjects").settled(config, Run(config.run))
    evaluate = config.evaluate
    bounds = {
        "min_pixels": evaluate.min_pixels or config.targets.min_pixels,
        "max_pixels": evaluate.max_pixels or config.targets.max_pixels,
    }
    for model in evaluate.models:
        if not alone and f"{config.run.rstrip('/')}/export" in model.network:
            continue  # it is still to be made
        network = describe_network(model, **bounds)
        for view in network.texts:
            load_texts(network, view, weights=model.weights)
    if alone:
        return  # its data sets are opened before anything else
    if not evaluate.models:
        for spec in (Spec.parse(teacher, "targets.teachers") for teacher in config.targets.teachers):
            if has_text_side(spec):
                text_tower(spec, "cpu")
    for data in evaluate.datasets:
        if data.uri or data.annotations:
            open_split(data, "test", config.seed)
            find_train(data, config.seed)


def _require_there(setting: str, source: str) -> None:
    """Refuse a path of this machine where nothing is; names of hubs and addresses are for whoever fetches them."""
    if source and not may_be_there(source):
        raise ConfigError(f"{setting}={source}: there is nothing there, and it is no URL and no hub id (owner/model).")


def _pool(config: Config, missing: Sequence[str]) -> None:
    """Judge what is asked of the pool by how many images it surely has; a guess is for prices alone."""
    asked = [s for s in ("cluster", "sample") if s in missing]
    if not asked:
        sample = Run(config.run).stage("sample").manifest()
        if sample is not None:
            refuse_unaffordable(config, estimates(config, missing, sample.rows))
        return
    source = Run(config.run).stage("source").manifest() if "source" not in missing else None
    if source is not None:
        most = about = source.rows - source.facts["duplicates"]
    else:
        clusters = max(config.cluster.num_clusters, default=0)  # where they are derived, a pool has enough
        enough = max(config.sample.target_size, round(clusters / config.cluster.fit_fraction))
        found = import_module("pipelines.source").count(config.source, enough)
        most, about = found.most, found.about
    if most is not None:
        refuse_too_small(config, most, stages=asked, bound=source is None)
        if source is None and config.source.pool_size > most:
            raise ConfigError(
                f"source.pool_size={config.source.pool_size} is larger than the pool (at most {most} images). "
                "Set it to 0, or give the pool that was meant."
            )
    refuse_unaffordable(config, estimates(config, missing, about))


def estimates(config: Config, stages: Sequence[str], images: int) -> list[Estimate]:
    """The prices of stages for a pool of so many images; a network that tells no price leaves them out."""
    found = {"source": Estimate(stage="source", shards=0, rows=images, bytes=0, device=CPU_CORE, device_hours=0)}
    last = max((PRICED.index(s) for s in stages if s in PRICED), default=0)
    try:
        for stage in PRICED[1 : last + 1]:
            found[stage] = import_module(f"pipelines.{stage}").plan(config, found)
    except SiglinoError:
        pass  # what has no price is not judged by it
    return [e for e in found.values() if e.stage in stages]


def refuse_unaffordable(config: Config, priced: Sequence[Estimate]) -> None:
    """Refuse what this machine's memory cannot hold, or what would take more than a year.

    Raises:
        ConfigError: which stage, what it needs, and which setting to change.
    """
    faults = []
    for e in priced:
        devices = config.runtime.workers or MOST_DEVICES[e.device]
        years = e.device_hours / devices / YEAR
        if years > 1:
            faults.append(
                f"{e.stage} would take {years:,.3g} years on {devices:,} devices ({e.device}): {e.note or 'too much'}. "
                f"{_mend(e.stage)}, or set runtime.workers to as many as there are."
            )
        here = memory()
        if config.runtime.address == "local" and here and e.memory > here:
            faults.append(
                f"{e.stage} holds {size(e.memory)} in one process, and this machine has {size(here)}. "
                f"{_mend(e.stage)}, or run it on a larger machine."
            )
    if faults:
        raise ConfigError(*faults)


def _mend(stage: str) -> str:
    return {
        "embed": "Take a smaller embed.encoder or a smaller pool",
        "cluster": "Lower cluster.num_clusters, cluster.iterations or cluster.resampling",
        "targets": "Take smaller targets.teachers",
        "train": "Lower train.optim.steps or take a smaller train.student",
        "ground": "Lower ground.optim.steps or ground.max_pixels",
    }.get(stage, "Ask for less")


def memory() -> int:
    """Bytes of memory that this machine has, or this container may use; 0: it is not known."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return min(machine, int(text)) if text.isdigit() else machine
