"""What training costs, before anything is read or loaded: the FLOPs of the student and of teachers beside it."""

from collections.abc import Mapping

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, Stored
from siglino_core.distillation.training.mixture import parts_of
from siglino_core.distillation.training.relations import related_packs, rounds
from siglino_core.distillation.training.routes import Routes
from siglino_core.distillation.training.student import student_config
from siglino_core.models import SigLinoConfig
from siglino_core.models.size import backbone_parameters, forward_flops, head_products, training_flops
from siglino_core.networks import outline
from siglino_core.report.numbers import short


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What training costs: FLOPs of the student, forward and backward, and of what runs beside it."""
    pack, rows = config.train.pack, config.sample.target_size
    cards = [outline(spec) for spec in config.targets.teachers]
    shape = student_config(config.train, cards)
    tokens = pack.packs_per_step * pack.capacity * config.train.optim.steps
    online = cards if config.targets.keep is Stored.ONLINE else []

    again, routes = _forward_again(config), Routes.of(config, [c.name for c in cards])

    def image_flops(patches: int, teachers: frozenset[str]) -> float:
        n = patches + shape.prefix
        anchor = 1 if config.train.loss.gram > 0 else 0  # as large as the student
        return (
            training_flops(shape, n)
            + (anchor + again) * forward_flops(shape, n)
            + sum(c.image_flops(patches * c.patch_size**2) for c in online if c.name in teachers)
        )

    # Each part at its own size: attention's share grows with the square.
    parts = _parts(config, shape.patch_size)
    mean = sum(share * (patches + shape.prefix) for share, patches in parts)
    each = zip(parts, routes.by_part, strict=True)
    an_image = sum(share * image_flops(patches, teachers) for (share, patches), teachers in each)
    flops = an_image / mean
    gpu = price.on_gpu(an_image, config.runtime, config.train.precision.value)
    device, hours = price.device_hours(tokens * flops, price.TRAIN, gpu=gpu)
    images = int(tokens / mean)
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
            f"one byte-range read an image, {images:,} in all{_said_again(again)}" + price.unsaid(online)
        ),
    )


def _parts(config: Config, patch_size: int) -> list[tuple[float, int]]:
    """Each part's share of the images, and the patches of its largest."""
    parts = parts_of(config)
    weights = [p.ratio or 1.0 for p in parts]
    return [(w / sum(weights), p.max_pixels // patch_size**2) for w, p in zip(weights, parts, strict=True)]


def _forward_again(config: Config) -> float:
    """The share of the forward passes that are computed twice: for relations between images of several passes.

    Where it is the machine that decides how many ranks there are, the share is that of one, the most that it can be.
    """
    train = config.train
    packs = train.pack.packs_per_step
    turns = rounds(packs, related=related_packs(train.loss, packs), at_once=(train.ranks or 1) * train.packs_at_once)
    return 1 - len(turns) / turns[-1].stop


def _said_again(share: float) -> str:
    if not share:
        return ""
    return f"; relations compute {share:.0%} of the forward passes twice: fewer with more train.packs_at_once"


def _checkpoint_bytes(shape: SigLinoConfig) -> int:
    heads = sum(head_products(shape, t) for t in shape.teachers)
    return 3 * 4 * (backbone_parameters(shape) + heads)  # weights, and about two numbers each of the optimisers
