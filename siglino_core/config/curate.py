"""The curation's settings: source, embed, cluster, sample, report."""

from dataclasses import dataclass
from enum import StrEnum

from siglino_core.config.settings import setting

NETWORKS = (
    "dinov3:SOURCE or siglip2:SOURCE (folder or hub id), timm:NAME_OR_FOLDER, open_clip:NAME_OR_FOLDER, "
    "efficientnet_lite0, lite, lite_text, or module:attribute for one of your own"
)


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
    COVERAGE = "coverage"


class Quota(StrEnum):
    RADIUS = "radius"
    HIERARCHICAL = "hierarchical"


class Shards(StrEnum):
    PARQUET = "parquet"
    WEBDATASET = "webdataset"


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
    min_side: int = setting(16, "images with a shorter side, in pixels, are rejected: a patch of a student is 16", ge=1)
    max_aspect: float = setting(
        200.0, "images that are longer than so many times their shorter side are rejected", ge=1
    )
    max_bytes: int = setting(64 << 20, "longer files are rejected unread", ge=1)
    max_reject_share: float = setting(0.2, "a larger share of rejects is an error", ge=0, le=1, shapes=False)
    pool_size: int = setting(0, "images in the pool, for a plan without listing it; 0: list it", ge=0, shapes=False)


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which encoder embeds the pool."""

    encoder: str = setting("efficientnet_lite0", NETWORKS)
    weights: str = setting(
        "", "safetensors file or its folder, of a timm or open_clip name; empty: its own", shapes=False
    )
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
    pick: Pick = setting(Pick.COVERAGE, "which members fill a quota; coverage takes the farthest apart first")
    shards: Shards = setting(Shards.PARQUET, "format of the training shards")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """How much the report shows; its size doesn't grow with the pool."""

    map_points: int = setting(3000, "images on the map; fewer than 3: no map", ge=0, le=20_000)
    clusters: int = setting(12, "clusters shown as image grids", ge=0, le=50)
    images_per_cluster: int = setting(12, "images in each grid", ge=2, le=50)
