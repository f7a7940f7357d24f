"""What a training is: its identity, the job that every rank gets, and whether the targets belong to it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from pipelines.support.networks import same_words
from pipelines.support.work import Work
from siglino_core.config import Config, shaping
from siglino_core.config.distill import STUDENTS
from siglino_core.distillation.training.clusters import MOST
from siglino_core.distillation.training.mixture import runs_of
from siglino_core.distillation.training.rank import Job
from siglino_core.distillation.training.routes import Routes
from siglino_core.distillation.training.student import student_config
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError
from siglino_core.networks import describe
from siglino_core.store import Identity, Manifest, Run

VERSION = 3


def require_same_targets(config: Config, run: Run, sample: Manifest, targets: Manifest) -> None:
    """Refuse targets of another sample, other teachers or other settings.

    Raises:
        ConfigError: they are, and what differs.
    """
    if targets.identity["inputs"]["sample"] != sample.digest:
        raise ConfigError(
            f"{run.url}/targets are of another sample ({targets.identity['inputs']['sample'][:12]}, this run's is "
            f"{sample.digest[:12]}). Use --redo targets."
        )
    theirs, ours = targets.identity["config"], shaping(config.targets)
    cards = _asked(config, targets)
    stored = {name: teacher["card"]["identity"] for name, teacher in targets.facts["teachers"].items()}
    ours |= {"teachers": {card.name: card.identity for card in cards}, "precision": theirs["precision"]}
    theirs = {**theirs, "teachers": stored}
    differing = [f"targets.{k}: {theirs.get(k)!r} there, {v!r} here" for k, v in ours.items() if theirs.get(k) != v]
    if differing:
        raise ConfigError(
            f"{run.url}/targets were made by another config:",
            *(f"  {line}" for line in differing),
            "Use --redo targets.",
        )


def identity_of(config: Config, precision: str, sample: Manifest, targets: Manifest) -> Identity:
    """What decides the student's bytes.

    Args:
        precision: of the computation, e.g. ``float32``.
    """
    return Identity(
        stage="train",
        version=VERSION,
        config={
            **shaping(config.train),
            "student": _student(config, targets),
            "seed": config.seed,
            "precision": precision,
        },
        inputs={"sample": sample.digest, "targets": targets.digest, **_others(config), **_begun_from(config)},
    )


def job_of(work: Work, sample: Manifest, targets: Manifest) -> Job:
    """What every rank must know."""
    from siglino_core.models.hf_config import SigLinoHFConfig  # transformers: seconds

    config = work.config
    cards = _cards(config, targets)
    shape = student_config(config.train, cards)
    Routes.of(config, [card.name for card in cards])  # refused before any rank starts
    _require_something(config, cards)
    counts = work.run.stage("cluster").require().identity["config"]["num_clusters"]
    level = next((i for i, k in enumerate(counts, start=1) if k <= MOST), len(counts))
    return Job(
        config=config,
        stage=work.stage,
        fingerprint=work.fingerprint,
        shape=shape,
        config_json=SigLinoHFConfig.of(shape, architectures=["SigLinoModel"]).to_diff_dict(),
        cards=cards,
        level=level,
        clusters=counts[level - 1],
        cache=str(Path(gettempdir()) / "siglino-index") if sample.facts["kept"] > 1_000_000 else "",
    )


def _require_something(config: Config, cards: Sequence[Card]) -> None:
    """Refuse a training whose only terms are of what its teachers have not.

    Raises:
        ConfigError: patches or registers alone weigh anything, and no teacher has them.
    """
    loss = config.train.loss
    if loss.summary or loss.relates or loss.gram:
        return
    if not any((loss.patch and card.patches) or (loss.register and card.registers) for card in cards):
        kinds = " and ".join(kind for kind in ("patch", "register") if getattr(loss, kind))
        raise ConfigError(
            f"train.loss: {kinds} alone weighs anything, and none of {', '.join(c.name for c in cards)} has such "
            "features, so that there is nothing to learn: set train.loss.summary above 0"
        )


def _others(config: Config) -> dict[str, str]:
    """Digests of other runs' samples that are trained on."""
    return {url: Run(url).stage("sample").require().digest for url in runs_of(config)[1:]}


def _begun_from(config: Config) -> dict[str, str]:
    """The identity of the weights that training begins with, and of those that anchor it, if there are any."""
    from siglino_core.weights.source import identity

    loss = config.train.loss
    sources = {"checkpoint": config.train.checkpoint, "gram_checkpoint": loss.gram_checkpoint if loss.gram else ""}
    return {name: identity(source) for name, source in sources.items() if source}


def _student(config: Config, targets: Manifest) -> Any:
    """A student's name; of one's own its shape, wherever its config.json lies, less the teachers: targets tell them."""
    if config.train.student in STUDENTS:
        return config.train.student
    shape = asdict(student_config(config.train, _cards(config, targets)))
    return {key: value for key, value in shape.items() if key != "teachers"}


def _cards(config: Config, targets: Manifest) -> tuple[Card, ...]:
    """The teachers' cards as the targets have them, in the config's order."""
    stored = targets.facts["teachers"]
    return tuple(Card.read(stored[card.name]["card"]) for card in _asked(config, targets))


def _asked(config: Config, targets: Manifest) -> list[Card]:
    """The cards of the teachers that are asked for; none is looked at that the targets were asked for by that name."""
    if same_words(targets, config.targets.teachers):
        return [Card.read(card) for card in targets.identity["config"]["teachers"]]
    return [describe(spec) for spec in config.targets.teachers]
