"""Data sets that are laid out as pools are: folders of images, tars and Parquet files, by the readers of pools."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from siglino_core.config import Format, SourceConfig
from siglino_core.errors import DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.evaluation.data.label_ids import class_order
from siglino_core.evaluation.data.sample import EvalSample, Unit, Unreadable
from siglino_core.hashing import fingerprint
from siglino_core.pools.columns import find_columns
from siglino_core.pools.joining import Joined
from siglino_core.pools.labels import folder_label, shared_folders
from siglino_core.pools.metadata import is_metadata
from siglino_core.pools.record import Found, Passed, Refused
from siglino_core.pools.sniff import Pool, open_pool, read

LEFT_OUT = "image_of_a_folder_that_is_no_class"


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolSplit:
    """A pool as a split.

    A sample's name is its path in a folder of images, its tar and key, or its Parquet file and row.

    Attributes:
        listed: whether the files say which number each class has.
        passed: what is no image of its own, by what it is: of the listing, and of the units that this copy has read.
    """

    pool: Pool
    config: SourceConfig
    identity: str
    classes: Sequence[str] = ()
    listed: bool = False
    passed: Counter[str] = field(default_factory=Counter)

    def __getstate__(self) -> dict[str, Any]:
        """A copy that is sent to another process leaves the listing behind; it can read units, and make none."""
        return {**self.__dict__, "pool": replace(self.pool, files={}, joined=Joined(), passed=Counter())}

    def units(self) -> list[Unit]:
        """Pieces of work; of a tar ``rows`` is a guess from its length."""
        return list(self.pool.plan(self.config))

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        """The samples of a unit, in the files' order.

        Raises:
            DataError: a tar is damaged, so that nobody knows how many samples it held; a file is no Parquet.
            StoreError: a file has gone, or the store does not answer.
        """
        rows = _parquet_rows(unit) if self.pool.format is Format.PARQUET else None
        for item in read(self.pool.format, self.pool.location, unit, self.config):
            if isinstance(item, Passed):
                self.passed[item.what] += item.times
                continue
            if self.pool.format is Format.WEBDATASET:
                sample_id = f"{unit['file']}/{item.key}"
                if isinstance(item, Refused) and item.key == unit["file"]:
                    raise DataError(
                        f"{item.uri} cannot be read whole ({item.error}), so that the samples of the data set cannot "
                        "be counted. Fetch it again."
                    )
            else:
                sample_id = item.key if rows is None else next(rows)
            yield _sample(sample_id, item)


def _sample(sample_id: str, item: Found | Refused) -> EvalSample | Unreadable:
    known = {"sample_id": sample_id, "label": item.label, "captions": item.captions}
    if isinstance(item, Found):
        return EvalSample(data=item.data, **known)
    return Unreadable(reason=item.reason, error=item.error, **known)


def _parquet_rows(unit: Unit) -> Iterator[str]:
    """The names of a unit's rows: the reader yields one image or reject a row, in order."""
    return (f"{name}:{row}" for name, start, stop in unit["reads"] for row in range(start, stop))


def open_pool_split(config: SourceConfig, leave_out: Sequence[str] = ()) -> PoolSplit:
    """List a data set that is laid out as pools are.

    ``classes`` are the names of a Hugging Face ClassLabel, or the folders that are classes, sorted; else empty.

    Args:
        leave_out: folders of images that are no class; they are counted as :data:`LEFT_OUT`.

    Raises:
        ConfigError, DataError, StoreError: as `siglino_core.pools.sniff.open_pool`.
    """
    with named("uri"):
        pool = open_pool(config)
    passed = pool.passed.copy()
    if leave_out and pool.format is Format.IMAGEFOLDER:
        shared = shared_folders(pool.joined.images)
        kept = {n: t for n, t in pool.joined.images.items() if folder_label(n, config, shared) not in leave_out}
        passed[LEFT_OUT] += len(pool.joined.images) - len(kept)
        if not kept:
            raise DataError(f"uri={pool.uri}: all images are of {', '.join(leave_out)}, which is left out.")
        pool = replace(pool, joined=replace(pool.joined, images=kept))
    asked = {n: getattr(config, n) for n in ("image_column", "caption_column", "label_column", "max_bytes")}
    rule = config.label_folder.value
    identity = fingerprint([pool.format.value, pool.listing(), asked, rule, list(leave_out)])
    classes = _classes(pool, config)
    listed = pool.format is Format.PARQUET and bool(classes)
    return PoolSplit(pool=pool, config=config, identity=identity, classes=classes, listed=listed, passed=+passed)


def _classes(pool: Pool, config: SourceConfig) -> tuple[str, ...]:
    if pool.format is Format.PARQUET:
        name = next(iter(pool.files))
        with pool.location.parquet(name) as file:
            return tuple(find_columns(file.schema_arrow, config, name, pool.location.url(name)).class_names)
    told = any("cls" in texts or "json" in texts for texts in pool.joined.images.values())
    if pool.format is Format.WEBDATASET or told or any(is_metadata(n) for n in pool.files):
        return ()
    shared = shared_folders(pool.joined.images)
    return class_order(folder_label(name, config, shared) for name in pool.joined.images)
