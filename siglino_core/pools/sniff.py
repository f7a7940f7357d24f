"""Which of the three layouts a pool has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from siglino_core.config import Format, SourceConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.hashing import fingerprint
from siglino_core.pools import imagefolder, parquet, webdataset
from siglino_core.pools.columns import find_columns
from siglino_core.pools.joining import Joined
from siglino_core.pools.location import Location, find, public_url
from siglino_core.pools.metadata import is_metadata
from siglino_core.pools.record import Found, Passed, Refused, is_image, suffix
from siglino_core.pools.tars import SUFFIX
from siglino_core.store import Shard


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool.

    Attributes:
        format: its layout.
        files: the sizes in bytes of the files that belong to it, by name.
        passed: the files that do not, counted by what they are.
        joined: of a folder of images, which texts belong to which.
    """

    location: Location
    uri: str
    format: Format
    files: dict[str, int]
    passed: Counter[str]
    joined: Joined = field(default_factory=Joined)

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    def listing(self) -> str:
        """What the pool consists of, in a line that changes with any name or size."""
        digest = fingerprint(list(self.files.items()))
        return f"{len(self.files)} files, {self.bytes} bytes, listing {digest}"

    def plan(self, config: SourceConfig) -> Iterator[Shard]:
        """The shards' contents, in order; each with its ``rows`` (a guess for tars).

        Raises:
            ConfigError: a setting asks for what this pool cannot give.
        """
        match self.format:
            case Format.WEBDATASET:
                yield from webdataset.plan(self.files, webdataset.look(self.location, self.files, config))
            case Format.PARQUET:
                yield from parquet.plan(self.location, self.files, config)
            case _:
                tables = [n for n in self.files if is_metadata(n)]
                _readable(self, tables, config)
                imagefolder.look(self.location, tables, self.joined, config)
                rows, others = imagefolder.rows(self.location, tables, self.joined)
                yield from imagefolder.plan(self.files, self.joined, rows, config.rows_per_shard, others)


def _readable(pool: Pool, tables: list[str], config: SourceConfig) -> None:
    """Refuse a setting that names a key of files that are not there."""
    values = tables or any("json" in texts for texts in pool.joined.images.values())
    for setting in ("caption_column", "label_column"):
        if getattr(config, setting) and not values:
            raise ConfigError(
                f"source.{setting}={getattr(config, setting)}: it names a key of JSON files beside the images or a "
                f"column of metadata.jsonl or metadata.csv, and {pool.uri} has none. Leave it out."
            )


def read(kind: Format, location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused | Passed]:
    """What a shard of a pool of layout ``kind`` holds, in order."""
    reader = {Format.WEBDATASET: webdataset.read, Format.PARQUET: parquet.read}.get(kind, imagefolder.read)
    return reader(location, shard, config)


def open_pool(config: SourceConfig) -> Pool:
    """List the pool and see what it is.

    Raises:
        ConfigError: ``source.uri`` is not set or no URL.
        DataError: nothing is there, or nothing of the format.
    """
    location, listing = find(config.uri)
    files = listing.sizes
    uri = public_url(config.uri)
    kinds = Counter(kind for name in files if (kind := _kind(name)))
    kind = _look(location, files, kinds, config) if config.format is Format.AUTO else config.format
    if kind is None or not kinds[kind]:
        asked = "" if config.format is Format.AUTO else f", and source.format={config.format.value} was asked for"
        raise DataError(
            f"source.uri={uri}: found {_says(files, kinds)}{asked}. "
            "A pool is a folder of images, of tars, or of .parquet files."
        )
    joined = Joined()
    if kind is Format.IMAGEFOLDER:
        joined = imagefolder.belongs(files, config)
        if not joined.images:
            raise DataError(f"source.image_column={config.image_column}: no image's name in {uri} ends like this.")
        texts = {t for of_image in joined.images.values() for t in of_image.values()}
        chosen = {n: s for n, s in files.items() if n in joined.images or n in texts or is_metadata(n)}
    else:
        chosen = {name: size for name, size in files.items() if _kind(name) is kind}
    others = Counter(joined.passed.get(n) or f"{suffix(n) or 'other'}_file" for n in files if n not in chosen)
    return Pool(location=location, uri=uri, format=kind, files=chosen, passed=listing.passed + others, joined=joined)


def _kind(name: str) -> Format | None:
    if is_image(name):
        return Format.IMAGEFOLDER
    if SUFFIX.search(name):
        return Format.WEBDATASET
    return Format.PARQUET if suffix(name) in ("parquet", "pq") else None


def _look(location: Location, files: dict[str, int], kinds: Counter[Format], config: SourceConfig) -> Format | None:
    """Tars come first, for img2dataset puts Parquet files without images beside its tars and its images."""
    if kinds[Format.IMAGEFOLDER] > kinds[Format.WEBDATASET] > 0:
        raise DataError(
            f"{location.public}: {_says(files, kinds)}. Which are the pool? Say source.format=imagefolder or "
            "source.format=webdataset, or give a folder that holds the one kind alone."
        )
    if kinds[Format.WEBDATASET]:
        return Format.WEBDATASET
    if kinds[Format.PARQUET] and kinds[Format.IMAGEFOLDER]:
        name = next(n for n in files if _kind(n) is Format.PARQUET)
        try:
            with location.parquet(name) as file:
                find_columns(file.schema_arrow, config, name, name)
        except DataError:
            return Format.IMAGEFOLDER
        return Format.PARQUET
    return next(iter(kinds), None)


def _says(files: dict[str, int], kinds: Counter[Format]) -> str:
    if not kinds:
        return f"{len(files)} files, none of which holds images (such as {', '.join(list(files)[:3])})"
    names = {Format.IMAGEFOLDER: "images", Format.WEBDATASET: "tars", Format.PARQUET: "Parquet files"}
    return ", ".join(f"{count} {names[kind]}" for kind, count in kinds.items())
