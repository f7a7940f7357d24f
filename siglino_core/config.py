"""Every setting: frozen dataclasses with ranges, and a builder that reports all errors at once."""

import dataclasses
import difflib
import itertools
import types
import typing
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, TypeVar

from siglino_core.errors import ConfigError

T = TypeVar("T")


def setting(default: Any, doc: str, *, ge: float | None = None, le: float | None = None, shapes: bool = True) -> Any:
    """A config field: its default, a sentence, its range, and whether it shapes the artifacts' bytes."""
    meta = {"doc": doc, "ge": ge, "le": le, "shapes": shapes}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=meta)
    return field(default=default, metadata=meta)


class Format(StrEnum):
    AUTO = "auto"
    IMAGEFOLDER = "imagefolder"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"


class Keep(StrEnum):
    BYTES = "bytes"
    POINTER = "pointer"


class Verify(StrEnum):
    DECODE = "decode"
    HEADER = "header"


class Pooling(StrEnum):
    CLS = "cls"
    MEAN = "mean"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Seeding(StrEnum):
    RANDOM = "random"
    KMEANS_PP = "kmeans++"
    D2_ROUNDS = "d2_rounds"


class Engine(StrEnum):
    EXACT = "exact"


class Pick(StrEnum):
    RANDOM = "random"
    CLOSEST = "closest"
    SPREAD = "spread"


class Quota(StrEnum):
    RADIUS = "radius"
    HIERARCHICAL = "hierarchical"


class Shards(StrEnum):
    PARQUET = "parquet"
    WEBDATASET = "webdataset"


class Runner(StrEnum):
    RAY = "ray"
    LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the pool lies and which of its files are images."""

    uri: str = setting("", "folder, file or glob of the pool; any fsspec URL, or package://module/file", shapes=False)
    format: Format = setting(Format.AUTO, "layout of the pool; auto looks and says what it found")
    rows_per_shard: int = setting(1024, "images a shard (a tar is never split)", ge=1, le=65536)
    keep: Keep = setting(Keep.BYTES, "copy the encoded images into the run, or keep a pointer to the pool")
    verify: Verify = setting(Verify.DECODE, "decode every image in full, or read its header only")
    image_column: str = setting("", "column with the image bytes; empty: found by name")
    caption_column: str = setting("", "column with the caption; empty: found by name")
    label_column: str = setting("", "column with the label; empty: found by name")
    max_pixels: int = setting(89_478_485, "larger images are rejected (Pillow's own bomb limit)", ge=1)
    max_bytes: int = setting(64 << 20, "longer files are rejected unread", ge=1)
    max_reject_share: float = setting(0.2, "a larger share of rejects is an error", ge=0, le=1, shapes=False)
    pool_size: int = setting(0, "images in the pool, for a plan without listing it; 0: list it", ge=0, shapes=False)


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which encoder embeds the pool."""

    encoder: str = setting("efficientnet_lite0", "efficientnet_lite0 | timm:<model> | dinov3:<hub id or folder>")
    weights: str = setting("", "safetensors file or folder for a timm encoder; empty: pretrained", shapes=False)
    pooling: Pooling = setting(Pooling.CLS, "DINOv3: the class token, or the mean of the patches")
    image_size: int = setting(0, "pixels a side; 0: the encoder's own", ge=0, le=2048)
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast in it, else fp32")
    batch_size: int = setting(  # another one may move an embedding's last bit
        0, "images a forward pass; 0: from the device", ge=0, le=65536, shapes=False
    )
    max_reject_share: float = setting(0.2, "a larger share of rejects is an error", ge=0, le=1, shapes=False)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """The hierarchy of centroids."""

    num_clusters: list[int] = setting([1000, 100, 10], "centroids a level, finest first", ge=1)
    seeding: Seeding = setting(Seeding.D2_ROUNDS, "how a level's first centroids are drawn")
    iterations: int = setting(0, "Lloyd iterations a level; 0 keeps the seeds", ge=0, le=1000)
    resampling: int = setting(0, "times a level is drawn flat and clustered again (Vo et al. 2024)", ge=0, le=100)
    resampling_iterations: int = setting(5, "Lloyd iterations in each of them", ge=0, le=1000)
    fit_fraction: float = setting(1.0, "share of the pool that is clustered; the rest is only assigned", ge=1e-9, le=1)
    center: bool = setting(False, "subtract the pool's mean embedding and renormalise before clustering")
    engine: Engine = setting(Engine.EXACT, "how nearest centroids are found")


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What is kept of the pool."""

    target_size: int = setting(10_000, "images in the curated set, exactly", ge=1)
    near_duplicate: float = setting(
        0.95, "cosine of two embeddings (as clustered) above which one goes; 1 keeps all", ge=0, le=1
    )
    trim: float = setting(0.01, "share dropped as outliers: those farthest from their second neighbour", ge=0, le=0.5)
    quota: Quota = setting(
        Quota.RADIUS, "radius: the same spacing everywhere; hierarchical: shares from the top level down (Vo et al.)"
    )
    quota_power: float = setting(
        0.0, "hierarchical: clusters claim size ** this; 0 equal, 1 as random, between flatter", ge=0, le=1
    )
    min_support: int = setting(1, "hierarchical: clusters with fewer images are drawn at the pool's own rate", ge=1)
    pick: Pick = setting(Pick.SPREAD, "which members fill a quota; spread takes the farthest apart first")
    shards: Shards = setting(Shards.PARQUET, "format of the training shards")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """How much the report shows; its size doesn't grow with the pool."""

    map_points: int = setting(3000, "images on the map; fewer than 3: no map", ge=0, le=20_000)
    clusters: int = setting(12, "clusters shown as image grids", ge=0, le=50)
    images_per_cluster: int = setting(12, "images in each grid", ge=2, le=50)


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where the work runs; nothing here changes a byte of the artifacts."""

    runner: Runner = setting(Runner.RAY, "ray, or local: one process, for small pools and tests", shapes=False)
    address: str = setting("local", "Ray cluster: local, auto, or ray://host:10001", shapes=False)
    workers: int = setting(0, "parallel workers; 0: one a CPU (or GPU)", ge=0, shapes=False)
    cpus: int = setting(0, "CPUs that a local Ray may use; 0: all", ge=0, shapes=False)
    device: str = setting("auto", "auto, cpu, cuda or mps", shapes=False)


@dataclass(frozen=True, kw_only=True)
class CurateConfig:
    """The whole curation: source -> embed -> cluster -> sample -> report."""

    run: str = setting("runs/default", "folder or URL of the artifacts", shapes=False)
    seed: int = setting(0, "every random choice follows from it", ge=0)
    source: SourceConfig = field(default_factory=SourceConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


def shaping(config: Any) -> dict[str, Any]:
    """The fields of a stage's config that shape its bytes, as plain values."""
    return {
        f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config) if f.metadata.get("shapes", True)
    }


def to_dict(config: Any) -> dict[str, Any]:
    """A config as nested plain values, as YAML has it."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def keys(cls: type, prefix: str = "") -> list[str]:
    """Every dotted key of a config class."""
    found: list[str] = []
    for name, kind in typing.get_type_hints(cls).items():
        nested = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        found += keys(kind, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]
    return found


def did_you_mean(key: str, known: list[str]) -> str:
    """`` (did you mean X?)`` or nothing."""
    tails = {k.rpartition(".")[2]: k for k in known}
    close = difflib.get_close_matches(key, known, 1, 0.6)
    close = close or [tails[t] for t in difflib.get_close_matches(key.rpartition(".")[2], list(tails), 1, 0.75)]
    return f" (did you mean {close[0]}?)" if close else ""


def build(cls: type[T], values: dict[str, Any]) -> T:
    """A config from nested plain values.

    Raises:
        ConfigError: with every unknown key, wrong type and impossible value, one a line.
    """
    errors: list[str] = []
    config: Any = _build(cls, values, "", errors, keys(cls))
    if cls is CurateConfig:
        errors += _impossible(config)
    if errors:
        raise ConfigError("the config does not hold:\n  " + "\n  ".join(errors))
    return config


def _build(cls: Any, values: Any, prefix: str, errors: list[str], known: list[str]) -> Any:
    if not isinstance(values, dict):
        errors.append(f"{prefix.rstrip('.')}: expected settings, got {values!r}")
        return cls()
    hints = typing.get_type_hints(cls)
    errors += [f"unknown key {prefix}{k}{did_you_mean(prefix + str(k), known)}" for k in values if k not in hints]
    made: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        if f.name not in values:
            continue
        kind, value, key = hints[f.name], values[f.name], f"{prefix}{f.name}"
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            made[f.name] = _build(kind, value, f"{key}.", errors, known)
            continue
        try:
            made[f.name] = _convert(kind, value)
        except (TypeError, ValueError, OverflowError):
            errors.append(f"{key}: {value!r} is not {_says(kind)}")
            continue
        errors += [f"{key}: {v!r} {fault}" for v in _items(made[f.name]) if (fault := _range_fault(v, f.metadata))]
    return cls(**made)


def _convert(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, list | tuple):
            raise TypeError
        return [_convert(kind.__args__[0], v) for v in value]
    if kind is bool and not isinstance(value, bool):
        raise TypeError
    if kind is int and (
        isinstance(value, bool) or not isinstance(value, int | float | str) or float(value) != int(float(value))
    ):
        raise TypeError
    if kind is float and isinstance(value, bool):
        raise TypeError
    if kind is str and not isinstance(value, str | int | float):
        raise TypeError
    return kind(float(value)) if kind is int and not isinstance(value, int) else kind(value)


def _says(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(e.value) for e in kind)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(
        kind, "a list of whole numbers"
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _range_fault(value: Any, meta: Any) -> str:
    if meta.get("ge") is not None and not value >= meta["ge"]:
        return f"is below {meta['ge']:g}"
    if meta.get("le") is not None and not value <= meta["le"]:
        return f"is above {meta['le']:g}"
    return ""


def _impossible(config: CurateConfig) -> list[str]:
    errors: list[str] = []
    levels = config.cluster.num_clusters
    if not levels:
        errors.append("cluster.num_clusters: at least one level is needed")
    if any(a <= b for a, b in itertools.pairwise(levels)):
        errors.append(f"cluster.num_clusters: {levels} does not decrease from the finest level up")
    if config.sample.quota is Quota.RADIUS and config.sample.pick is not Pick.SPREAD:
        errors.append("sample.quota=radius needs sample.pick=spread (or choose sample.quota=hierarchical)")
    if not config.run:
        errors.append("run: a folder or URL is needed")
    return errors


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    return value.value if isinstance(value, Enum) else list(value) if isinstance(value, list) else value
