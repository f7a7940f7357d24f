"""What a fine-tuning costs, before anything is read or loaded: FLOPs of images and texts, forward and backward."""

from collections.abc import Mapping

import torch

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.training.rank import shape_with, student_shape
from siglino_core.models.size import forward_flops, training_flops
from siglino_core.report.numbers import short

EXPRESSION, ANSWER = 6, 5  # tokens of an expression and of an answer with one instance, their frames included


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What :func:`pipelines.ground.run` would do.

    Raises:
        ConfigError, DataError: the student's shape cannot be had.
    """
    ground, pack = config.ground, config.ground.pack
    shape = shape_with(ground, student_shape(config))
    patches = ground.max_pixels // shape.student.patch_size**2
    tokens = patches + shape.student.prefix
    images = pack.packs_per_step * (pack.capacity // tokens) * ground.optim.steps
    texts = ground.expressions * (EXPRESSION + ANSWER)
    an_image = training_flops(shape.student, tokens) + _text_flops(shape, texts, tokens)
    if ground.loss.gram > 0:
        an_image += forward_flops(shape.student, tokens)
    gpu = price.on_gpu(an_image, config.runtime, ground.precision.value)
    device, hours = price.device_hours(images * an_image, price.TRAIN, gpu=gpu)
    rows = upstream["expressions"].train if "expressions" in upstream else 0
    parameters = _parameters(shape)
    epochs = f", {images / rows:,.1f} epochs" if rows else ""
    return Estimate(
        stage="ground",
        shards=1,
        rows=images,
        bytes=4 * parameters * (1 + 3 * (ground.keep_last + 1)),  # the model; checkpoints with the optimisers' state
        device=device,
        device_hours=hours,
        note=(
            f"{ground.optim.steps:,} steps of {pack.packs_per_step * pack.capacity:,} tokens of images, {images:,} "
            f"images of up to {ground.max_pixels:,} pixels with {ground.expressions} expressions each{epochs}; "
            f"{short(an_image, 'FLOP')} an image; {parameters / 1e6:,.0f}M parameters"
        ),
    )


def _text_flops(shape: GroundingConfig, texts: int, image: int) -> float:
    """Forward and backward, of so many tokens of text behind an image of so many tokens."""
    s = shape.student
    inner = s.heads * s.head_dim
    products = 4 * s.width * inner + 3 * s.width * shape.text_width * shape.text_top_k
    attention = 2 * inner * (image + texts / 2)
    return 3 * 2.0 * s.layers * texts * (products + attention)


def _parameters(shape: GroundingConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in GroundingModel(shape).parameters())
