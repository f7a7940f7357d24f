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


class LabelFolder(StrEnum):
    AUTO = "auto"
    NONE = "none"
    FIRST = "first"
    PARENT = "parent"


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
    FACILITY = "facility"
    HERDING = "herding"


class Quota(StrEnum):
    GROUPED = "grouped"
    GLOBAL = "global"
    HIERARCHICAL = "hierarchical"


class Shards(StrEnum):
    PARQUET = "parquet"
    WEBDATASET = "webdataset"


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the pool lies and which of its files are images."""

    uri: str = setting("", "where the pool is: a folder, file, glob or URL, or package://module/file", shapes=False)
    format: Format = setting(Format.AUTO, "how the pool is laid out; auto looks, and says what it sees")
    rows_per_shard: int = setting(1024, "images per shard; a tar file is never split", ge=1, le=65536)
    keep: Keep = setting(Keep.BYTES, "copy the encoded images into the run, or keep a pointer to the pool")
    verify: Verify = setting(Verify.DECODE, "decode every image in full, or read its header only")
    image_column: str = setting(
        "", "column with the image bytes, or how the images' names end (jpg, rgb.png); empty: found by name"
    )
    caption_column: str = setting("", "column or JSON key with the caption; empty: found by name")
    label_column: str = setting("", "column or JSON key with the label; empty: found by name")
    label_folder: LabelFolder = setting(
        LabelFolder.AUTO,
        "which folder of an image's name is its label: none, the first, the parent, or auto: the first that is "
        "no split (train, val), no numbered shard and not shared by all",
    )
    max_pixels: int = setting(89_478_485, "images with more pixels are rejected; the default is Pillow's limit", ge=1)
    min_side: int = setting(
        16, "images whose shorter side has fewer pixels are rejected; a student's patch is 16", ge=1
    )
    max_aspect: float = setting(200.0, "images with a larger ratio of longer to shorter side are rejected", ge=1)
    max_bytes: int = setting(64 << 20, "files with more bytes are rejected without reading them", ge=1)
    max_reject_share: float = setting(
        0.2, "if more than this share of the images is rejected, the stage fails", ge=0, le=1, shapes=False
    )
    pool_size: int = setting(0, "images in the pool, so that `plan` need not list it; 0: list it", ge=0, shapes=False)


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Which encoder embeds the pool."""

    encoder: str = setting("efficientnet_lite0", NETWORKS, shapes=False)  # its card does
    weights: str = setting(
        "", "safetensors file or its folder, of a timm or open_clip name; empty: its own", shapes=False
    )
    pooling: Pooling = setting(Pooling.CLS, "DINOv3's embedding: its class token, or the mean of its patches")
    image_size: int = setting(
        0, "side of the square that images are scaled to, in pixels; 0: the encoder's own", ge=0, le=2048
    )
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast at it, fp32 elsewhere")
    batch_size: int = setting(  # another one may move an embedding's last bit
        0, "images per forward pass; 0: chosen for the device", ge=0, le=65536, shapes=False
    )
    max_reject_share: float = setting(
        0.2, "if more than this share of the images is rejected, the stage fails", ge=0, le=1, shapes=False
    )


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """The hierarchy of centroids."""

    num_clusters: list[int] = setting(
        [],
        "number of centroids of each level, the finest first; empty: one for 40 images but at most one for 4 of the "
        "sample, and a fifth of that on each level above, which has 64 or more",
        ge=1,
    )
    seeding: Seeding = setting(
        Seeding.D2_ROUNDS,
        "how the first centroids are chosen: random, kmeans++, or d2_rounds (like it, doubling them each round)",
    )
    iterations: int = setting(0, "Lloyd iterations per level; 0 keeps the first centroids", ge=0, le=1000)
    resampling: int = setting(
        0, "rounds of resampling per level: thin dense clusters, then cluster anew (Vo et al. 2024)", ge=0, le=100
    )
    resampling_iterations: int = setting(5, "Lloyd iterations in each round of resampling", ge=0, le=1000)
    fit_fraction: float = setting(
        1.0, "share of the pool that decides the centroids; the rest is only assigned to them", ge=1e-9, le=1
    )
    center: bool = setting(False, "subtract the pool's mean embedding and renormalise before clustering")
    engine: Engine = setting(
        Engine.EXACT, "how nearest centroids are found; exact compares every image with every centroid"
    )


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What is kept of the pool."""

    target_size: int = setting(10_000, "exact number of images to keep", ge=1)
    near_duplicate: float = setting(
        0.95, "of two images whose embeddings have a larger cosine, one is dropped; 1 drops none", ge=0, le=1
    )
    trim: float = setting(
        0.01,
        "share of images dropped as outliers: those farthest from their second neighbour among some thousand images; "
        "where one of the two has the image among its own three nearest, half of the distance counts; an image that "
        "stands for three or more is none",
        ge=0,
        le=0.5,
    )
    pick: Pick = setting(
        Pick.HERDING,
        "which images of a cluster are kept. herding: those that together are spread as all of the cluster are; "
        "facility: those that represent the others best; coverage: those farthest apart; closest: to the centroid; "
        "random",
    )
    quota: Quota = setting(
        Quota.GROUPED,
        "how many of each cluster. grouped: in proportion to its images, with one level; with several, by quota_power "
        "on levels 2 and 1; images count by duplicate_power. global: the pick's score is compared over all clusters, "
        "and the highest stay. hierarchical: by quota_power on every level",
    )
    quota_power: float = setting(
        0.1,
        "grouped (with several levels), hierarchical: a share grows as the cluster's size to this power; 0: equal, 1: "
        "as at random",
        ge=0,
        le=1,
    )
    duplicate_power: float = setting(
        0.5,
        "grouped: in a cluster's share an image counts as often as the pool has near-duplicates of it, to this power; "
        "facility: so does one that is to be represented; 0: once",
        ge=0,
        le=1,
    )
    size_penalty: float = setting(
        0.25,
        "facility with quota=global: scores are divided by the cluster's size to this power; the higher, the fewer "
        "from large clusters",
        ge=0,
        le=1,
    )
    min_support: int = setting(
        3,
        "grouped, hierarchical: clusters with fewer images, near-duplicates among them, get no more than their share "
        "of the pool, if the others can take the rest",
        ge=1,
    )
    learned: str = setting(
        "",
        "folder or URL of a run that was trained on a sample of the same clusters: those with more loss left get more "
        "images; empty: none",
        shapes=False,
    )
    learned_power: float = setting(
        1.0,
        "of sample.learned: what a cluster claims is multiplied by its loss over the mean one, to this power; below 0 "
        "it gets less",
        ge=-8,
        le=8,
        shapes=False,  # with the run's digest it is among the sample's inputs
    )
    shards: Shards = setting(Shards.PARQUET, "file format of the training shards")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """How much the report shows; its size doesn't grow with the pool."""

    map_points: int = setting(3000, "images on the map; 0: no map", ge=0, le=20_000)
    clusters: int = setting(12, "clusters shown as image grids", ge=0, le=50)
    images_per_cluster: int = setting(12, "images in each grid", ge=2, le=50)
