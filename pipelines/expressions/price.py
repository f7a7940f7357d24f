"""What images with expressions cost, before one is read: of files that are not there yet, by what was published."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.expressions.layout import TEST, sets_by_kind
from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, ReferringConfig, ReferringLayout
from siglino_core.errors import ConfigError, StoreError
from siglino_core.grounding.data.instances import count_images
from siglino_core.grounding.data.published import PUBLISHED, counted
from siglino_core.grounding.data.refs import is_there, read_refs
from siglino_core.grounding.data.sets import ReferringSet
from siglino_core.grounding.data.stored import Stored
from siglino_core.store import Files

COCO_IMAGES = 118_287  # of COCO's train2017


@dataclass(frozen=True, kw_only=True)
class Priced:
    """What one set costs, as far as it is known; ``assumed`` says what is not, and is empty where all is."""

    images: int
    bytes: int
    seconds: float
    assumed: str = ""


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What :func:`pipelines.expressions.run` would do: no image is looked at.

    Where files are not there yet, or their store does not let anybody look, the images of RefCOCO's data sets are as
    many as was published, and those of COCO as many as train2017 has. Images that training leaves out for the tests'
    sake are counted.

    Args:
        upstream: the estimates of the stages before, none of which matters.

    Raises:
        ConfigError: there is nothing to train on, or a data set or split that there is not.
        DataError, StoreError: a file that is there cannot be read, or Parquet files are not there.
    """
    sets = sets_by_kind(config)
    rows = size = shards = train = 0
    seconds = 0.0
    notes: list[str] = []
    for of_kind in sets.values():
        for one in of_kind:
            priced = _priced(one)
            rows, size, seconds = rows + priced.images, size + priced.bytes, seconds + priced.seconds
            shards += -(-priced.images // config.expressions.rows_per_shard)
            train += priced.images if one.train else 0
            what = "train" if one.train else "test"
            notes.append(f"{what} {one.name} {priced.images:,}" + (f" ({priced.assumed})" if priced.assumed else ""))
    if not sets[TEST]:
        notes.append("no test set, so training alone")
    return Estimate(
        stage="expressions",
        shards=shards,
        rows=rows,
        bytes=size,
        device=price.CPU_CORE,
        device_hours=seconds / 3600,
        note="images: " + ", ".join(notes),
        image_bytes=size / max(1, rows),
        train=train,
    )


def _priced(one: ReferringSet) -> Priced:
    config, assumed = one.config, ""
    match config.layout:
        case ReferringLayout.SYNTHETIC:
            pixels = config.side**2
            image = price.SCENE_BYTES + price.SCENE_PIXEL_BYTES * pixels
            seconds, count = price.SCENE + price.SCENE_PIXEL * pixels, config.count
        case ReferringLayout.REFER:
            image, seconds = price.REFERRED_BYTES, price.REFERRED_IMAGE
            count, assumed = _refer_images(config)
        case ReferringLayout.COCO:
            image, seconds = price.REFERRED_BYTES, price.REFERRED_IMAGE
            count, assumed = _coco_images(config)
        case ReferringLayout.PARQUET:
            stored = Stored(config.uri)
            count = sum(unit["stop"] - unit["start"] for unit in stored.units(1 << 20))
            image, seconds = stored.bytes / max(1, count), price.REFERRED_ROW
    count = min(count, config.limit or count)
    written = round(count * (image + price.EXPRESSIONS_ROW))
    return Priced(images=count, bytes=written, seconds=count * seconds, assumed=assumed)


def _refer_images(config: ReferringConfig) -> tuple[int, str]:
    """How many images a split has, and by what that is assumed."""
    key = config.dataset, config.split_by
    there, why = _looked(lambda: is_there(config.uri, *key), "the files are not there yet")
    counts = counted(read_refs(config.uri, *key)) if there else PUBLISHED[key]
    if config.split not in counts:
        known = ", ".join(counts)
        raise ConfigError(f"split={config.split}: {config.dataset} by {config.split_by} has the splits {known}")
    return counts[config.split].images, "" if there else f"as published; {why}"


def _coco_images(config: ReferringConfig) -> tuple[int, str]:
    folder, _, name = config.uri.rpartition("/")
    there, why = _looked(lambda: Files(folder or ".").exists(name), f"{name} is not there yet")
    return (count_images(config.uri), "") if there else (COCO_IMAGES, f"as train2017 has; {why}")


def _looked(is_there: Callable[[], bool], absent: str) -> tuple[bool, str]:
    """Whether files are there, and if not why they are not counted."""
    try:
        return is_there(), absent
    except StoreError:
        return False, "their store does not let us look"
