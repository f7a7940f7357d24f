"""What answers cost, before anything is read or loaded: an image's pass, and twice that of every expression."""

from collections.abc import Mapping

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, ReferringConfig, ReferringLayout
from siglino_core.grounding.data.published import PUBLISHED
from siglino_core.grounding.data.refs import DATASETS
from siglino_core.grounding.data.synthetic.level import LEVELS
from siglino_core.grounding.training.rank import student_shape
from siglino_core.models.size import forward_flops
from siglino_core.report.numbers import short

TOKENS = 16  # of an expression with its answer, that of one instance
ROW = 400  # bytes of an answer's row, and of its share of results and predictions; masks take as much again
ROWS = 4  # an expression: the model's, the shuffled text's, and those of two boxes
AN_IMAGE = 4  # expressions, where the set does not say


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What the answers to all test images cost, roughly: the student's shape stands for the model's.

    Raises:
        ConfigError: the device or the precision that was asked for isn't there, or the student's shape cannot be had.
    """
    counts = [counted(one) for one in config.expressions.test]
    images = sum(count[0] for count in counts if count)
    expressions = sum(count[1] for count in counts if count)
    shape = student_shape(config)
    patches = config.ground.max_pixels // shape.patch_size**2
    image = forward_flops(shape, patches + shape.prefix)
    query = forward_flops(shape, patches + shape.prefix + TOKENS) - image
    gpu = price.on_gpu(image, config.runtime, config.answers.precision.value)
    device, hours = price.device_hours(images * image + 2 * expressions * query, price.EMBED, gpu=gpu)
    unknown = [one.name or one.uri for one, count in zip(config.expressions.test, counts, strict=True) if count is None]
    row = ROW * (2 if config.answers.masks else 1)
    return Estimate(
        stage="answers",
        shards=-(-images // config.expressions.rows_per_shard) + 2 + len(config.answers.others),
        rows=expressions,
        bytes=expressions * row * ROWS + (price.REPORT if config.expressions.test else 0),
        device=device,
        device_hours=hours,
        note=f"{images:,} images and {expressions:,} expressions, each asked twice; {short(image, 'FLOP')} an image, "
        f"{short(query, 'FLOP')} a question" + (f"; without {', '.join(unknown)}, not counted yet" if unknown else ""),
    )


def counted(one: ReferringConfig) -> tuple[int, int] | None:
    """Images and expressions of a test set, as far as its settings tell them; None: they do not."""
    found: tuple[int, int] | None = None
    if one.layout is ReferringLayout.SYNTHETIC:
        found = one.count, one.count * LEVELS[one.difficulty].expressions
    elif one.layout is ReferringLayout.REFER:
        by = one.split_by or DATASETS.get(one.dataset, ("",))[0]
        split = PUBLISHED.get((one.dataset, by), {}).get(one.split or "val")
        found = (split.images, split.expressions or 3 * split.objects) if split else None
    if one.limit and (found is None or one.limit < found[0]):
        each = found[1] / found[0] if found else AN_IMAGE
        return one.limit, round(one.limit * each)
    return found
