"""One rank's fine-tuning: the model that begins from a student, its images and texts, and the loss, for the loop.

Ranks are processes that hold the same plan and each its own packs; who started them is not known here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from siglino_core.config import Config, GroundConfig, Start
from siglino_core.device import Device
from siglino_core.distillation.packing import Part
from siglino_core.distillation.training.anchor import load_anchor
from siglino_core.distillation.training.checkpoints import LOG
from siglino_core.distillation.training.loop import Loop, Ranks, Tell, Told, ready
from siglino_core.distillation.training.student import shape_of
from siglino_core.errors import ConfigError, DataError
from siglino_core.foreign import printable
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.data.referring import SHOWN
from siglino_core.grounding.data.shards import GroundingShards
from siglino_core.grounding.model import GroundingModel, headless
from siglino_core.grounding.training.objective import Objective
from siglino_core.grounding.training.reader import Asked
from siglino_core.grounding.training.task import Grounding, Setting
from siglino_core.grounding.transfer import transfer
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.resolution import Resolution
from siglino_core.store import Stage


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every rank must know; it may be pickled.

    Attributes:
        config: of the whole run.
        stage: the fine-tuning's, where checkpoints and the curve go.
        fingerprint: of the fine-tuning.
        shape: the model's.
        config_json: the same as checkpoints keep it.
        student: where the student's weights are.
        images: to train on.
    """

    config: Config
    stage: Stage
    fingerprint: str
    shape: GroundingConfig
    config_json: Mapping[str, Any]
    student: str
    images: GroundingShards


def shape_with(ground: GroundConfig, student: SigLinoConfig) -> GroundingConfig:
    """The model's shape around a student."""
    return GroundingConfig(student=student, **asdict(ground.shape))


def student_shape(config: Config) -> SigLinoConfig:
    """The shape of the student to begin from, whether or not it is there yet.

    Raises:
        ConfigError, DataError: there is no such student.
    """
    if config.ground.checkpoint:
        from siglino_core.weights import load  # transformers: seconds

        return headless(load.shape_of(config.ground.checkpoint))
    return headless(shape_of(config.train.student))


def new_model(job: Job) -> GroundingModel:
    """The model as it begins, on the CPU, in fp32: around the student's weights, or drawn altogether.

    Raises:
        ConfigError, DataError: there is no such student any more, or it is of another shape.
    """
    model = GroundingModel(job.shape)
    if job.config.ground.start is Start.STUDENT:
        from siglino_core.weights.load import load_student  # transformers: seconds

        loaded = load_student(job.student)
        transfer(model, loaded.state_dict(), loaded.spec)
    return model


def setting_of(job: Job, device: Device) -> Setting:
    """What the loop trains.

    Raises:
        ConfigError: an image that no pack holds.
        DataError: an image whose sides cannot be brought to patches.
    """
    ground, student = job.config.ground, job.shape.student
    resolution = Resolution(patch_size=student.patch_size, min_pixels=ground.min_pixels, max_pixels=ground.max_pixels)
    try:
        heights_N, widths_N = resolution.enlarged(job.images.heights_N, job.images.widths_N)
        part = Part.of("images", heights_N, widths_N, resolution)
    except ValueError as e:
        raise DataError(f"expressions: {e}") from e
    _require_room(job, part)
    anchored = ground.loss.gram > 0
    return Setting(
        model=lambda: new_model(job),
        config_json=dict(job.config_json),
        asked=Asked(
            images=job.images,
            patch_size=student.patch_size,
            mask_scale=job.shape.mask_scale,
            seed=job.config.seed,
            expressions=ground.expressions,
            most=ground.most_instances,
            masked=bool(ground.loss.focal or ground.loss.dice),
        ),
        part=part,
        pack=ground.pack,
        objective=Objective(weights=ground.loss),
        anchor=(lambda: load_anchor(job.student, student, device=device.device, dtype=device.dtype))
        if anchored
        else None,
        image_lr=ground.image_lr,
        word_lr=ground.word_lr,
        seed=job.config.seed,
        workers=ground.num_workers,
        fsdp_size=ground.fsdp_size,
        activation_checkpointing=ground.activation_checkpointing,
        compiled=ground.compile,
    )


def _require_room(job: Job, part: Part) -> None:
    """Refuse an image that no pack holds; panoramas have more tokens than ``ground.max_pixels`` says."""
    tokens_N = part.patches(slice(None)) + job.shape.student.prefix
    at = int(tokens_N.argmax())
    if tokens_N[at] > (capacity := job.config.ground.pack.capacity):
        image = job.images[at]
        raise ConfigError(
            f"ground.pack.capacity={capacity}: image {printable(image.image_id, SHOWN)} of {image.width} x "
            f"{image.height} pixels has {tokens_N[at]} tokens. Set it to {tokens_N[at]} or more, or lower "
            "ground.max_pixels."
        )


def run_rank(
    job: Job,
    device: Device,
    *,
    rank: int = 0,
    world: int = 1,
    tell: Tell | None = None,
    warn: Callable[[str], None] = LOG.warning,
) -> None:
    """Train to the end; the last checkpoint is then there.

    Args:
        warn: told, on rank 0, of checkpoints that are damaged and could be done without.

    Raises:
        SiglinoError: what is wrong with the data, the store or the config.
    """
    ranks, ground = Ranks(rank=rank, world=world), job.config.ground
    told = Told(tell=tell or (lambda *_: None), warn=warn)
    with ready(ground, device, ranks):
        loop = Loop(job.stage.files, job.fingerprint, ground, ranks, told)
        loop.run(lambda begin: Grounding(setting_of(job, device), device, ranks, begin))
