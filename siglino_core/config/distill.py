"""The distillation's settings: targets, train, export."""

from dataclasses import dataclass, field
from enum import StrEnum

from siglino_core.config.curate import NETWORKS, Precision
from siglino_core.config.loop import LoopConfig
from siglino_core.config.loss import LossConfig
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


class HeadForm(StrEnum):
    MLP = "mlp"
    LINEAR = "linear"
    TRANSFORMER = "transformer"


class Match(StrEnum):
    """How a step's packs are matched, so that ranks which wait for one another in a pass have like ones."""

    NONE = "none"
    """As they come."""
    STEP = "step"
    """Sorted by cost, inside the step."""


@dataclass(frozen=True, kw_only=True)
class TargetsConfig:
    """The teachers' outputs for the curated images, and how much of them is stored."""

    teachers: list[str] = setting(
        ["siglip2:google/siglip2-so400m-patch16-naflex", "dinov3:facebook/dinov3-vitl16-pretrain-lvd1689m"],
        NETWORKS,
    )
    keep: Stored = setting(
        Stored.ONLINE,
        "online: store nothing, run the teachers in training; summary: image vectors; bf16, int8, fp8: patches too",
    )
    min_pixels: int = setting(128**2, "images with fewer pixels are enlarged to this area", ge=256)
    max_pixels: int = setting(
        256**2, "images with more pixels are reduced to this area, in their own aspect ratio", ge=256
    )
    statistics_images: int = setting(10_000, "images from which the teachers' means and variances are computed", ge=2)
    capacity: int = setting(  # another one may move a target's last bit
        4096, "tokens per forward pass of a teacher", ge=64, le=1 << 20
    )
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast at it, fp32 elsewhere")


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Token-balanced batches (see docs/design.md)."""

    packs_per_step: int = setting(32, "packs per step over all ranks; a multiple of their number", ge=1, le=1 << 16)
    capacity: int = setting(
        4096, "tokens per pack, at most; a pack is one sequence of several images' tokens", ge=64, le=1 << 24
    )
    max_images: int = setting(
        0, "images per pack, at most; 0: 1.5 times what fills a pack in the part with the smallest images", ge=0
    )
    look_ahead: int = setting(256, "images from which the next pack is filled; a multiple of 8", ge=8, le=65536)
    match: Match = setting(
        Match.STEP,
        "step: a step's packs are sorted by cost, so that in a pass all ranks have like ones; none: they are not",
    )
    block: int = setting(1 << 20, "images that are planned at a time; a million take about a second", ge=1)

    def __post_init__(self) -> None:
        if self.look_ahead % 8:
            raise ValueError(f"look_ahead: {self.look_ahead} is not a multiple of 8")


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """Images at one resolution; an epoch is a mixture of parts."""

    name: str = setting("", "a name, for messages and metrics")
    run: str = setting("", "folder or URL of the run whose sample it takes; empty: this run")
    min_pixels: int = setting(128**2, "images with fewer pixels are enlarged to this area", ge=256)
    max_pixels: int = setting(
        256**2, "images with more pixels are reduced to this area, in their own aspect ratio", ge=256
    )
    native_from: int = setting(0, "only images of at least this area; given as the side of a square, in pixels", ge=0)
    native_to: int = setting(0, "only images of at most this area, given likewise; 0: no limit", ge=0)
    ratio: float = setting(
        0.0, "share of an epoch, relative to the other parts; 0 for all parts: as many as each has", ge=0
    )
    teachers: list[str] = setting(
        [], "names of the teachers that its images train, as metrics have them (dinov3); empty: all"
    )

    def __post_init__(self) -> None:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: {self.min_pixels} is above max_pixels={self.max_pixels}")


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """The heads that predict the teachers' features from the student's; an export keeps them."""

    form: HeadForm = setting(
        HeadForm.MLP,
        "mlp: as published; linear: one product; transformer: a block over the image's tokens, then linear",
    )
    layers: list[int] = setting(
        [],
        "numbers of blocks, from 0, whose tokens add to the prediction, each by a head of its own; empty: none",
        ge=0,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LoopConfig):
    """The student and its training."""

    student: str = setting("siglino-moe-0.3b", "a named configuration, or the path of a config.json")
    checkpoint: str = setting(
        "",
        "weights to begin from: an exported folder, a training checkpoint, a file, a URL or a hub id; empty: none",
        shapes=False,
    )
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    parts: list[PartConfig] = setting(
        [], "sets of images and their resolutions; empty: this run's, at the targets' resolution"
    )
    pack: PackConfig = field(default_factory=PackConfig)
    packs_at_once: int = setting(
        1, "packs per forward pass and rank: more take more memory, and less time", ge=1, shapes=False
    )
    loss: LossConfig = field(default_factory=LossConfig)
    flip: bool = setting(False, "mirror half of the images, at random; needs targets.keep=online")

    def __post_init__(self) -> None:
        packs, related = self.pack.packs_per_step, self.loss.relation_packs
        if related and packs % related:
            fits = ", ".join(str(n) for n in range(1, packs + 1) if packs % n == 0)
            raise ValueError(
                f"loss.relation_packs: groups of {related} packs do not make a step of pack.packs_per_step={packs}; of "
                f"{fits} do, and 0 is all of them"
            )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The exported model folder."""

    max_pixels: int = setting(
        0, "largest area that the processor gives the student, in pixels; 0: the largest in training", ge=0
    )
    license: str = setting(
        "unknown", "of the weights, for the card: the Hub's id, as apache-2.0, or the name of another licence"
    )
    license_link: str = setting("", "URL of another licence's text, or a file beside the card; empty: none")
    datasets: list[str] = setting([], "the Hub's ids of the data sets that the images are from, for the card")
