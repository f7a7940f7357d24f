"""The settings of grounding: images with expressions, the fine-tuning of a student on them, and its answers."""

from dataclasses import dataclass, field
from enum import StrEnum

from siglino_core.config.curate import Precision
from siglino_core.config.distill import PackConfig
from siglino_core.config.loop import LoopConfig
from siglino_core.config.settings import setting


class ReferringLayout(StrEnum):
    SYNTHETIC = "synthetic"
    REFER = "refer"
    COCO = "coco"
    PARQUET = "parquet"


class Difficulty(StrEnum):
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class AnswerFormat(StrEnum):
    BOXES = "boxes"
    FLORENCE = "florence"
    FALCON = "falcon"


class Start(StrEnum):
    STUDENT = "student"
    SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class ReferringConfig:
    """Images with referring expressions."""

    name: str = setting("", "its name in tables and messages; empty: its layout's, or what its files are called")
    layout: ReferringLayout = setting(
        ReferringLayout.SYNTHETIC,
        "synthetic: exact scenes made from the seed; refer: RefCOCO, RefCOCO+ or RefCOCOg; coco: instances, each "
        "category an expression; parquet: rows as this software writes them",
    )
    uri: str = setting(
        "",
        "refer: the folder with a folder a data set; coco: the instances' JSON; parquet: a folder or file",
        shapes=False,
    )
    images: str = setting("", "refer and coco: the folder or URL of the images, or one above it", shapes=False)
    dataset: str = setting("refcoco", "of refer: refcoco, refcoco+ or refcocog")
    split_by: str = setting("", "of refer: unc, umd or google; empty: the one that results are reported on")
    split: str = setting("", "of refer: train, val, test, testA or testB; empty: train to train on, val to test")
    published: bool = setting(
        True, "of refer: its counts must be the published ones; false: for a part of one", shapes=False
    )
    negatives: int = setting(1, "of coco: absent categories that each image is asked for", ge=0)
    difficulty: Difficulty = setting(Difficulty.EASY, "of synthetic scenes: easy, medium or hard")
    count: int = setting(10_000, "of synthetic scenes: images", ge=1, le=1 << 40)
    side: int = setting(128, "of synthetic scenes: pixels of each side", ge=48, le=4096)
    cutouts: str = setting(
        "",
        "of synthetic scenes: folder or URL of a run whose transparent images are objects too; empty: shapes alone",
        shapes=False,
    )
    limit: int = setting(0, "only so many images, the first; 0: all", ge=0)


@dataclass(frozen=True, kw_only=True)
class ExpressionsConfig:
    """Which images with expressions grounding is trained and tested on."""

    train: list[ReferringConfig] = setting([], "to train on; empty: no grounding")
    test: list[ReferringConfig] = setting(
        [], "to test on; their images, told by id and by what the file holds, are taken out of training"
    )
    rows_per_shard: int = setting(256, "images a shard", ge=1, le=1 << 20)
    max_reject_share: float = setting(
        0.01, "the stage fails if a larger share of a set's images cannot be used", ge=0, le=1, shapes=False
    )


@dataclass(frozen=True, kw_only=True)
class GroundLossConfig:
    """The terms of the loss, and their weights; 0 leaves one out, but for the answer's."""

    answer: float = setting(1.0, "cross-entropy of the answers' tokens, a mean over tokens", ge=0)
    coordinate: float = setting(1.0, "cross-entropy of the centre's two bins, a mean over instances", ge=0)
    size: float = setting(1.0, "cross-entropy of the size's two bins, a mean over instances", ge=0)
    box: float = setting(
        0.0, "L1 and GIoU of the boxes that the bins mean, for small trainings, where bins learn slowly", ge=0
    )
    focal: float = setting(20.0, "focal loss of masks, a mean over instances that have one", ge=0)
    dice: float = setting(1.0, "Dice loss of masks, likewise", ge=0)
    gram: float = setting(
        0.0, "Gram anchoring: the patches' cosines stay those of the student that training begins from", ge=0
    )
    spread: float = setting(
        0.0, "bins: standard deviation of the Gaussian that stands for a true bin; 0: the bin alone", ge=0
    )

    def __post_init__(self) -> None:
        if not any((self.answer, self.coordinate, self.size, self.box, self.focal, self.dice)):
            raise ValueError("all weights are 0, so that nothing would be learnt: raise one")


@dataclass(frozen=True, kw_only=True)
class GroundShapeConfig:
    """What stands beside the student: text experts, heads for coordinates, sizes and masks."""

    text_experts: int = setting(4, "experts of each layer for text and answers", ge=1)
    text_top_k: int = setting(2, "of these, per token", ge=1)
    text_hidden: int = setting(0, "hidden width of one; 0: twice the student's width over text_top_k", ge=0)
    shared_expert: bool = setting(False, "one more expert a layer for all tokens, image and text alike")
    bins: int = setting(1024, "bins of a coordinate, and of a side", ge=2)
    coordinate_hidden: int = setting(512, "hidden width of the heads for coordinates and sides", ge=1)
    fourier: int = setting(256, "features by which a point or size that was predicted enters again; even", ge=2)
    mask_width: int = setting(64, "channels of a mask's query and of the pixels' features", ge=1)
    mask_scale: int = setting(4, "mask logits on each side of a patch", ge=1)
    places: bool = setting(
        True,
        "texts read of each patch where in the image it is; false: as published, where they must learn it from what "
        "patches say of one another",
    )

    def __post_init__(self) -> None:
        if self.text_top_k > self.text_experts:
            raise ValueError(f"text_top_k: {self.text_top_k} is above text_experts={self.text_experts}")
        if self.fourier % 2:
            raise ValueError(f"fourier: {self.fourier} is odd: cosines and sines are as many")


@dataclass(frozen=True, kw_only=True)
class GroundConfig(LoopConfig):
    """The early-fusion model, whose image side is the student, and its training."""

    checkpoint: str = setting(
        "",
        "the student: an exported folder, a training checkpoint, a file, a URL or a hub id; empty: the run's export",
        shapes=False,
    )
    start: Start = setting(Start.STUDENT, "student: its weights; scratch: its shape alone, with drawn weights")
    shape: GroundShapeConfig = field(default_factory=GroundShapeConfig)
    image_lr: float = setting(
        0.3, "learning rate of what the student gave, as a share of optim.lr; 0: it is frozen", ge=0, le=1
    )
    word_lr: float = setting(
        1.0,
        "learning rate of the words' vectors, likewise; 0: they stay as drawn, which small trainings do with",
        ge=0,
        le=1,
    )
    min_pixels: int = setting(128**2, "images with fewer pixels are enlarged to this area", ge=256)
    max_pixels: int = setting(512**2, "images with more are reduced to this area, in their own aspect ratio", ge=256)
    expressions: int = setting(8, "expressions of an image that one pass asks; others in later epochs", ge=1)
    most_instances: int = setting(32, "instances of an expression that are learnt, and answered, at most", ge=1)
    pack: PackConfig = field(default_factory=PackConfig)
    loss: GroundLossConfig = field(default_factory=GroundLossConfig)

    def __post_init__(self) -> None:
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: {self.min_pixels} is above max_pixels={self.max_pixels}")


@dataclass(frozen=True, kw_only=True)
class OtherAnswersConfig:
    """Another model's answers to the test images' expressions, judged beside the fine-tuned model's."""

    name: str = setting("", "the model's name in tables")
    format: AnswerFormat = setting(
        AnswerFormat.BOXES,
        "of an output: boxes: [left, top, right, bottom] in pixels each, the surest first; florence: Florence-2's "
        "text; falcon: Falcon-Perception's list",
    )
    uri: str = setting(
        "",
        "JSON lines with image_id, expression and output; an empty output says that there is no such thing",
        shapes=False,
    )


@dataclass(frozen=True, kw_only=True)
class AnswersConfig:
    """How the fine-tuned model is asked about the test images, and what is shown of it."""

    forced: bool = setting(
        False, "exactly one box for each expression, as benchmarks without absent ones count; false: absence counts"
    )
    masks: bool = setting(True, "masks beside boxes, where the test images have them")
    shown: int = setting(24, "images on the page with boxes drawn, of each test set", ge=0, le=200)
    precision: Precision = setting(Precision.AUTO, "bf16 on GPUs that multiply it natively, else fp32")
    others: list[OtherAnswersConfig] = setting([], "other models' answers, for a row each in every table")
