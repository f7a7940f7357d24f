"""What training costs, before anything is read or loaded: the FLOPs of the student and of teachers beside it."""

from collections.abc import Mapping

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, Stored
from siglino_core.distillation.training.mixture import parts_of
from siglino_core.distillation.training.student import student_config
from siglino_core.models import SigLinoConfig
from siglino_core.models.size import backbone_parameters, forward_flops, training_flops
from siglino_core.networks import outline
from siglino_core.report.numbers import short


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What training costs: FLOPs of the student, forward and backward, and of what runs beside it."""
    pack, rows = config.train.pack, config.sample.target_size
    cards = [outline(spec) for spec in config.targets.teachers]
    shape = student_config(config.train, cards)
    tokens = pack.packs_per_step * pack.capacity * config.train.optim.steps
    patches = _mean_patches(config)
    mean = patches + shape.prefix
    flops = training_flops(shape, mean) / mean
    if config.train.loss.gram > 0:  # an anchor as large as the student: forward
        flops += forward_flops(shape, mean) / mean
    if config.targets.keep is Stored.ONLINE:
        flops += sum(c.image_flops(patches * c.patch_size**2) for c in cards) / mean
    gpu = price.on_gpu(flops * mean, config.runtime, config.train.precision.value)
    device, hours = price.device_hours(tokens * flops, price.TRAIN, gpu=gpu)
    images = tokens // mean
    return Estimate(
        stage="train",
        shards=1,
        rows=images,
        bytes=_checkpoint_bytes(shape) * (config.train.keep_last + 1),
        device=device,
        device_hours=hours,
        note=(
            f"{config.train.optim.steps:,} steps of {pack.packs_per_step * pack.capacity:,} tokens, "
            f"{short(tokens, '')} tokens, {images / max(1, rows):,.1f} epochs; {short(flops, 'FLOP')} a token; "
            f"one byte-range read an image, {images:,} in all"
        ),
    )


def _mean_patches(config: Config) -> int:
    parts = parts_of(config)
    weights = [p.ratio or 1.0 for p in parts]
    return round(sum(w * p.max_pixels / 256 for w, p in zip(weights, parts, strict=True)) / sum(weights))


def _checkpoint_bytes(shape: SigLinoConfig) -> int:
    heads = sum(shape.width * t.dim + t.dim**2 for t in shape.teachers)
    return 3 * 4 * (backbone_parameters(shape) + heads)  # weights, and about two numbers each of the optimisers
