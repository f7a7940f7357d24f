"""The evaluation's settings: which networks, on which data sets, by which protocols."""

from dataclasses import dataclass
from enum import StrEnum

from siglino_core.config.curate import Format, LabelFolder
from siglino_core.config.settings import setting


class Task(StrEnum):
    KNN = "knn"
    LOGISTIC = "logistic"
    RIDGE = "ridge"
    ZERO_SHOT = "zero_shot"
    RETRIEVAL = "retrieval"
    SEGMENTATION = "segmentation"
    PATCH_RETRIEVAL = "patch_retrieval"
    FIDELITY = "fidelity"
    GEOMETRY = "geometry"


class Fit(StrEnum):
    AUTO = "auto"
    GRID = "grid"
    OWN = "own"
    SQUASH = "squash"


class Unread(StrEnum):
    ERROR = "error"
    WRONG = "wrong"


class Probing(StrEnum):
    QUICK = "quick"
    STRICT = "strict"


class Overlap(StrEnum):
    NONE = "none"
    TELL = "tell"
    REMOVE = "remove"


class Cleaning(StrEnum):
    CANONICAL = "canonical"
    LOWER = "lower"


class Layout(StrEnum):
    AUTO = "auto"
    IMAGEFOLDER = "imagefolder"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"
    COCO = "coco"
    CSV = "csv"
    MASKS = "masks"
    RUN = "run"
    COMPOSITES = "composites"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network to evaluate."""

    name: str = setting("", "its name in the tables; empty: student, untrained, or the teacher's own name")
    network: str = setting(
        "",
        "siglino:FOLDER_FILE_OR_HUB_ID for a student, or a network as targets.teachers and embed.encoder name it",
    )
    fit: Fit = setting(
        Fit.AUTO,
        "grid: the student's patches in the image's own aspect; own: as the network's authors have it; squash: to a "
        "square; auto: own for encoders of pixels, else grid",
    )
    min_pixels: int = setting(0, "images with fewer pixels are enlarged to this area; 0: evaluate.min_pixels", ge=0)
    max_pixels: int = setting(0, "images with more are reduced to this area; 0: evaluate.max_pixels", ge=0)
    image_size: int = setting(0, "side of the square for fit=own and fit=squash, in pixels; 0: the network's own", ge=0)
    weights: str = setting("", "file or folder of weights, where the network is a library's name", shapes=False)
    texts: list[str] = setting([], "VIEW=SPEC: the text side of a view, such as siglip2=siglip2:FOLDER")


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """A data set to evaluate on; a recipe gives all that is left out."""

    name: str = setting("", "its name in the tables")
    recipe: str = setting(
        "", "a known data set, such as imagenet: its names, templates and counts; a wrong name lists all"
    )
    uri: str = setting("", "where its test images are: a folder, file, glob or URL", shapes=False)
    train: str = setting(
        "", "where its training images are, for kNN and probes; empty: the test images, each left out in its turn"
    )
    run: str = setting("", "folder or URL of a run whose images that training did not see are the data; empty: none")
    layout: Layout = setting(Layout.AUTO, "how the files are laid out; auto looks")
    format: Format = setting(Format.AUTO, "of images that are laid out as pools are")
    annotations: str = setting("", "the JSON or CSV file that tells labels or captions; empty: none", shapes=False)
    train_annotations: str = setting("", "the same for the training images", shapes=False)
    masks: str = setting("", "folder of the test images' masks, named as the images", shapes=False)
    train_masks: str = setting("", "the same for the training images", shapes=False)
    label_column: str = setting("", "column or key of the label; empty: known names")
    caption_column: str = setting("", "column or key of the captions; empty: known names")
    label_folder: LabelFolder = setting(LabelFolder.AUTO, "which folder is the class, as source.label_folder")
    classes: str = setting(
        "",
        "text file of class names, one a line, in the order of their numbers; of composites, which labels are classes, "
        "else the 20 commonest with five cut-outs in each half",
        shapes=False,
    )
    templates: list[str] = setting([], "texts for zero-shot, {} for the class; empty: open_clip's 80 of ImageNet")
    cleaning: Cleaning = setting(
        Cleaning.CANONICAL,
        "of texts before SigLIP2 reads them: canonical (lower case, no punctuation), as its authors classify; or "
        "lower, as they retrieve. Other text sides clean as their own tokenizers do",
    )
    min_pixels: int = setting(0, "its images with fewer pixels are enlarged to this area; 0: the network's bound", ge=0)
    max_pixels: int = setting(0, "its images with more are reduced to this area; 0: the network's bound", ge=0)
    tasks: list[Task] = setting([], "what is measured on it; empty: all that it allows")
    captions: int = setting(
        0, "captions an image at most, the first of each; 0: as its recipe says, or all. The first five are usual", ge=0
    )
    most_test: int = setting(
        50_000,
        "of a run's images, so many test images at most, drawn by the seed; near-duplicates go then; 0: all",
        ge=0,
    )
    most_train: int = setting(200_000, "the same of its training images; 0: all", ge=0)
    near_duplicate: float = setting(
        0.0,
        "of a run's images: test images with a larger cosine to a kept one, by the run's embeddings, are left out; 0: "
        "the run's sample.near_duplicate",
        ge=0,
        le=1,
    )
    scenes: int = setting(400, "synthetic scenes of each split, of layout=composites", ge=8)
    limit: int = setting(0, "only so many samples of each split, for a try; the result says so; 0: all", ge=0)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is evaluated, on what, and how."""

    models: list[ModelConfig] = setting(
        [], "networks; empty: the run's student, its teachers, and the student as it was before training"
    )
    datasets: list[DatasetConfig] = setting([], "data sets; empty: the run's own images that training did not see")
    min_pixels: int = setting(0, "images with fewer pixels are enlarged to this area; 0: as in training", ge=0)
    max_pixels: int = setting(0, "images with more are reduced to this area; 0: as in training", ge=0)
    resolutions: list[int] = setting(
        [], "sides in pixels; networks on the grid are evaluated with all images of about each square's area too", ge=1
    )
    k: list[int] = setting([20, 10, 100, 200], "neighbours of kNN; the first is the headline", ge=1)
    temperature: float = setting(0.07, "of kNN's votes", ge=1e-6)
    segmentation: Probing = setting(
        Probing.QUICK,
        "protocol of the linear head: quick (10 rounds, about 1,024 pixels of an image) or strict (40,000 steps, all "
        "pixels, as DINOv3's on features that are computed once; for GPUs)",
    )
    unread: Unread = setting(
        Unread.ERROR, "a test image that cannot be read: error, or wrong (it counts, and n_failed says how many)"
    )
    overlap: Overlap = setting(
        Overlap.TELL, "test images that are in the training sample, by hash or nearly: none, tell, remove"
    )
    rows_per_shard: int = setting(512, "images a unit of extraction", ge=1)
    batch_size: int = setting(0, "images at once; 0: the device's own", ge=0, shapes=False)
