"""What an evaluation costs: images through networks, and what is stored of them."""

from collections.abc import Mapping

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, DatasetConfig
from siglino_core.distillation.training.student import student_config
from siglino_core.models.size import forward_flops
from siglino_core.networks import outline

FEATURE_ROW = 300  # bytes of a row of features without the features


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What evaluating the run's own student beside its teachers costs, on the images that training did not see.

    Raises:
        ConfigError: a teacher cannot be had.
    """
    cards = [outline(spec) for spec in config.targets.teachers]
    shape = student_config(config.train, cards)
    pixels = config.evaluate.max_pixels or config.targets.max_pixels
    areas = [pixels, *(side**2 for side in config.evaluate.resolutions)]
    pool = DatasetConfig()
    most = pool.most_test + pool.most_train if pool.most_test and pool.most_train else upstream["source"].rows
    rows = min(upstream["source"].rows, most)
    tokens = [shape.prefix + area // shape.patch_size**2 for area in (pixels, *areas)]  # once untrained
    flops = sum(forward_flops(shape, t) for t in tokens) + sum(card.image_flops(a) for a in areas for card in cards)
    dims = sum(card.dim for card in cards)
    width = len(tokens) * (2 * shape.width + dims) + len(areas) * dims
    gpu = price.on_gpu(flops, config.runtime, config.targets.precision.value)
    device, hours = price.device_hours(rows * flops, price.TARGETS, gpu=gpu)
    return Estimate(
        stage="evaluate",
        shards=-(-rows // config.evaluate.rows_per_shard),
        rows=rows,
        bytes=rows * (4 * width + FEATURE_ROW * (len(tokens) + len(areas) * len(cards))),
        device=device,
        device_hours=hours,
        memory=4 * rows * max(shape.width, *(card.dim for card in cards)),
        note=f"the student, untrained and trained, and {len(cards)} teachers on up to {rows:,} images of the pool",
    )
