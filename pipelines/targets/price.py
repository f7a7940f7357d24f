"""What targets cost, before anything is read or loaded: bytes of every `targets.keep`, and the teachers' FLOPs."""

from collections.abc import Mapping, Sequence

from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, Stored
from siglino_core.distillation.targets.codec import DENSE, patch_bytes
from siglino_core.encoders.card import Card
from siglino_core.networks import outline
from siglino_core.report.numbers import short


def plan(
    config: Config,
    upstream: Mapping[str, Estimate],
    *,
    patches: float | None = None,
    cards: Sequence[Card] | None = None,
) -> Estimate:
    """What the curated images' targets cost.

    Args:
        upstream: the estimates of the stages before; how many images are curated, the config says.
        patches: of the mean image; None: all images are of the largest area.
        cards: of the teachers, if they are known.

    Raises:
        ConfigError: a teacher cannot be had.
    """
    rows = config.sample.target_size
    cards = [outline(spec) for spec in config.targets.teachers] if cards is None else cards
    n = patches or config.targets.max_pixels / cards[0].patch_size ** 2
    images = min(rows, config.targets.statistics_images)
    if config.targets.keep is not Stored.ONLINE:
        images += rows
    flops = sum(c.image_flops(n * c.patch_size**2) for c in cards)
    gpu = price.on_gpu(flops, config.runtime, config.targets.precision.value)
    device, hours = price.device_hours(images * flops, price.TARGETS, gpu=gpu)
    priced = {keep: _bytes(cards, keep, rows, n) for keep in Stored}
    return Estimate(
        stage="targets",
        shards=-(-rows // config.source.rows_per_shard),
        rows=rows,
        bytes=priced[config.targets.keep],
        device=device,
        device_hours=hours,
        note=f"{short(flops, 'FLOP')} an image{price.unsaid(cards)}; targets.keep: "
        + ", ".join(f"{keep.value} {short(size, 'B')}" for keep, size in priced.items()),
    )


def choices(
    config: Config, *, patches: float | None = None, cards: Sequence[Card] | None = None
) -> list[tuple[Stored, int]]:
    """Bytes that every `targets.keep` would store; arguments and errors as of :func:`plan`."""
    rows = config.sample.target_size
    cards = [outline(spec) for spec in config.targets.teachers] if cards is None else cards
    n = patches or config.targets.max_pixels / cards[0].patch_size ** 2
    return [(keep, _bytes(cards, keep, rows, n)) for keep in Stored]


def _bytes(cards: Sequence[Card], keep: Stored, rows: int, patches: float) -> int:
    """Without the statistics' few megabytes, which do not grow with the images."""
    if keep is Stored.ONLINE:
        return 0
    summaries = sum(2 * c.dim for c in cards)
    if keep not in DENSE:
        return rows * summaries
    registers = sum(2 * c.dim * c.registers for c in cards)
    dense = sum(patches * patch_bytes(keep, c.dim) for c in cards if c.patches)
    return round(rows * (summaries + registers + dense))
