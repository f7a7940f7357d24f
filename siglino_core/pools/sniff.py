"""Which of the three layouts a pool has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from siglino_core.config import Format, SourceConfig
from siglino_core.errors import DataError
from siglino_core.hashing import fingerprint
from siglino_core.pools import imagefolder, parquet, webdataset
from siglino_core.pools.columns import find_columns
from siglino_core.pools.location import Location, find, public_url
from siglino_core.pools.record import Found, Refused, is_image, suffix
from siglino_core.store import Shard


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool: its layout, and the sizes in bytes of the files that belong to it, by name."""

    location: Location
    uri: str
    format: Format
    files: dict[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    def listing(self) -> str:
        """What the pool consists of, in a line that changes with any name or size."""
        digest = fingerprint(list(self.files.items()))
        return f"{len(self.files)} files, {self.bytes} bytes, listing {digest}"

    def plan(self, config: SourceConfig) -> Iterator[Shard]:
        """The shards' contents, in order; each with its ``rows`` (a guess for tars)."""
        match self.format:
            case Format.WEBDATASET:
                first = next(iter(self.files))
                yield from webdataset.plan(self.files, webdataset.bytes_per_image(self.location, first))
            case Format.PARQUET:
                yield from parquet.plan(self.location, self.files, config)
            case _:
                yield from imagefolder.plan(self.files, config.rows_per_shard)


def read(kind: Format, location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused]:
    """What a shard of a pool of layout ``kind`` holds, in order."""
    reader = {Format.WEBDATASET: webdataset.read, Format.PARQUET: parquet.read}.get(kind, imagefolder.read)
    return reader(location, shard, config)


def open_pool(config: SourceConfig) -> Pool:
    """List the pool and see what it is.

    Raises:
        ConfigError: ``source.uri`` is not set or no URL.
        DataError: nothing is there, or nothing of the format.
    """
    location, files = find(config.uri)
    uri = public_url(config.uri)
    kinds = Counter(kind for name in files if (kind := _kind(name)))
    kind = _look(location, files, kinds, config) if config.format is Format.AUTO else config.format
    if kind is None or not kinds[kind]:
        asked = "" if config.format is Format.AUTO else f", and source.format={config.format.value} was asked for"
        raise DataError(
            f"source.uri={uri}: found {_says(files, kinds)}{asked}. "
            "A pool is a folder of images, of .tar files (not compressed), or of .parquet files."
        )
    if kind is Format.IMAGEFOLDER:
        chosen = imagefolder.belongs(files)
    else:
        chosen = {name: size for name, size in files.items() if _kind(name) is kind}
    return Pool(location=location, uri=uri, format=kind, files=chosen)


def _kind(name: str) -> Format | None:
    if is_image(name):
        return Format.IMAGEFOLDER
    return {"tar": Format.WEBDATASET, "parquet": Format.PARQUET, "pq": Format.PARQUET}.get(suffix(name))


def _look(location: Location, files: dict[str, int], kinds: Counter[Format], config: SourceConfig) -> Format | None:
    """Tars come first, for img2dataset puts Parquet files without images beside its tars and its images."""
    if kinds[Format.WEBDATASET]:
        return Format.WEBDATASET
    if kinds[Format.PARQUET] and kinds[Format.IMAGEFOLDER]:
        name = next(n for n in files if _kind(n) is Format.PARQUET)
        try:
            with location.parquet(name) as file:
                find_columns(file.schema_arrow, config, name)
        except DataError:
            return Format.IMAGEFOLDER
        return Format.PARQUET
    return next(iter(kinds), None)


def _says(files: dict[str, int], kinds: Counter[Format]) -> str:
    if not kinds:
        return f"{len(files)} files, none of which holds images (such as {', '.join(list(files)[:3])})"
    names = {Format.IMAGEFOLDER: "images", Format.WEBDATASET: "tars", Format.PARQUET: "Parquet files"}
    return ", ".join(f"{count} {names[kind]}" for kind, count in kinds.items())
