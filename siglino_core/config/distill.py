"""The distillation's settings: targets, train, export."""

from dataclasses import dataclass, field
from enum import StrEnum

from siglino_core.config.curate import NETWORKS, Precision
from siglino_core.config.optim import OptimConfig
from siglino_core.config.settings import setting

STUDENTS = (  # `siglino_core.models.PRESETS`, which are with torch: a wrong name should not wait for it
    "siglino-moe-0.3b",
    "siglino-moe-0.15b",
    "siglino-0.6b",
    "siglino-70m",
    "siglino-30m",
    "siglino-micro",
    "siglino-nano",
)


class Stored(StrEnum):
    ONLINE = "online"
    SUMMARY = "summary"
    BF16 = "bf16"
    INT8 = "int8"
    FP8 = "fp8"


class Relation(StrEnum):
    ARKD = "arkd"
    RKD = "rkd"
    NONE = "none"


class Match(StrEnum):
    """How the packs of a window are matched, so that those of one step cost about the same."""

    NONE = "none"
    """As they come."""
    SHARDS = "shards"
    """Every virtual shard sorts its own packs of the window by cost; the k-th of each meet in one step."""
    GLOBAL = "global"
    """All packs of the window are sorted together and dealt out."""


class Tracker(StrEnum):
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


@dataclass(frozen=True, kw_only=True)
class TargetsConfig:
    """What the teachers say of the curated images, and how much of it is stored."""

    teachers: list[str] = setting(
        ["siglip2:google/siglip2-so400m-patch16-naflex", "dinov3:facebook/dinov3-vitl16-pretrain-lvd1689m"],
        NETWORKS,
    )
    keep: Stored = setting(
        Stored.ONLINE, "online: statistics alone, teachers run in training; summary; bf16, int8, fp8: patches too"
    )
    min_pixels: int = setting(128**2, "smaller images are enlarged to this area", ge=256)
    max_pixels: int = setting(256**2, "larger images are reduced to this area; their aspect is kept", ge=256)
    statistics_images: int = setting(10_000, "images that the teachers' means and variances are taken over", ge=2)
    capacity: int = setting(  # another one may move a target's last bit
        4096, "tokens that a teacher takes at once", ge=64, le=1 << 20
    )
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast in it, else fp32")


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Token-balanced batches (see docs/design.md)."""

    packs_per_step: int = setting(32, "packs in one step over all ranks, whose number divides it", ge=1, le=1 << 16)
    capacity: int = setting(4096, "tokens of a pack", ge=64, le=1 << 24)
    max_images: int = setting(0, "images of a pack; 0: from the mean image", ge=0)
    look_ahead: int = setting(256, "images that wait for a pack at a time, a multiple of 8", ge=8, le=65536)
    window: int = setting(64, "steps whose packs are matched by cost", ge=1, le=65536)
    match: Match = setting(Match.GLOBAL, "how: none, shards (inside virtual shards) or global")

    def __post_init__(self) -> None:
        if self.look_ahead % 8:
            raise ValueError(f"look_ahead: {self.look_ahead} is not a multiple of 8")


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Images at one resolution; an epoch is a mixture of parts."""

    name: str = setting("", "one word, in messages and metrics")
    run: str = setting("", "folder or URL of the run whose sample it is; empty: this one")
    min_pixels: int = setting(128**2, "smaller images are enlarged to this area", ge=256)
    max_pixels: int = setting(256**2, "larger images are reduced to this area; their aspect is kept", ge=256)
    native_from: int = setting(0, "only images of at least this area (a side squared), in pixels a side", ge=0)
    native_to: int = setting(0, "only images of at most this area; 0: no bound", ge=0)
    ratio: float = setting(0.0, "share of an epoch, relative to the other parts'; 0 for all: their sizes", ge=0)

    def __post_init__(self) -> None:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: {self.min_pixels} is above max_pixels={self.max_pixels}")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What the student pays for."""

    summary: float = setting(1.0, "weight of summaries' errors", ge=0)
    patch: float = setting(1.0, "weight of patches' errors", ge=0)
    register: float = setting(1.0, "weight of registers' errors (of teachers that have them)", ge=0)
    relation: Relation = setting(Relation.ARKD, "distances between images' summaries: arkd, rkd or none")
    relation_weight: float = setting(1.0, "weight of relations' errors", ge=0)
    relation_beta: float = setting(1.0, "where their smooth L1 turns from square to straight", ge=1e-9)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The student and its training."""

    student: str = setting("siglino-moe-0.3b", "a named configuration, or the path of a config.json")
    checkpoint: str = setting(
        "",
        "weights to begin from: exported folder, training checkpoint or file, or their URL; or hub id",
        shapes=False,
    )
    parts: list[PartConfig] = setting([], "images by resolution; none: this run's, at the targets' resolution")
    pack: PackConfig = field(default_factory=PackConfig)
    packs_at_once: int = setting(1, "packs in one forward pass; the relations of a step are taken inside it", ge=1)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    balance: float = setting(1e-3, "how far a step moves the bias that balances experts", ge=0, le=1)
    flip: bool = setting(False, "mirror half of the images; needs targets.keep=online")
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast in it, else fp32")
    max_bad_steps: int = setting(3, "steps in a row with a loss or gradient that is not finite before it stops", ge=1)
    ranks: int = setting(0, "processes that train; 0: one a GPU, or one", ge=0, le=65536, shapes=False)
    fsdp_size: int = setting(
        0, "ranks that share one copy of the weights; 0: all, 1: each has its own", ge=0, shapes=False
    )
    activation_checkpointing: bool = setting(
        False, "compute blocks again in the backward pass, to save memory", shapes=False
    )
    compile: bool = setting(False, "torch.compile block by block", shapes=False)
    num_workers: int = setting(1, "processes a rank that read and decode images; 0: none beside it", ge=0, shapes=False)
    checkpoint_steps: int = setting(500, "steps from one checkpoint to the next", ge=1, shapes=False)
    keep_last: int = setting(2, "checkpoints kept, the newest", ge=1, shapes=False)
    keep_every: int = setting(0, "steps; checkpoints at multiples of it are kept too; 0: none", ge=0, shapes=False)
    max_restarts: int = setting(
        3, "times that training begins anew from a checkpoint after a worker died", shapes=False
    )
    trackers: list[Tracker] = setting(
        [Tracker.TENSORBOARD], "beside metrics.jsonl: tensorboard, wandb, mlflow", shapes=False
    )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The student as others take it."""

    max_pixels: int = setting(
        0, "the processor's bound on an image's area; 0: the largest that it was trained at", ge=0
    )
