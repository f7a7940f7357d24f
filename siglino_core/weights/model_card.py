"""The model card of an exported student: Markdown with the Hub's front matter."""

import siglino_core
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import STUDENT
from siglino_core.models.hf_config import TRANSFORMERS
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.models.size import backbone_parameters, forward_flops
from siglino_core.report.cards import code, fenced, plain, table
from siglino_core.weights.card_code import CardCode
from siglino_core.weights.citations import bibtex
from siglino_core.weights.origin import LICENCES, UNKNOWN, Origin

FROM, BELOW = (".".join(map(str, version)) for version in TRANSFORMERS)
INSTEAD = "With SigLino installed, `import siglino_core.models.hf` stands for `trust_remote_code=True`."
ARGUMENTS = (
    "- `heads=[...]` of a call computes these teachers' features alone; the student's own, `siglino`, come along.",
    "- `normalize=True` brings all features to length 1.",
    "- An image's features depend on nothing but the image: not on what else is in the batch, nor on padding.",
    "- `processor(images=..., max_pixels=512**2)` changes the bound on an image's area for a call.",
)
BACKBONE = (
    "Heads that take a backbone get such maps from `AutoBackbone.from_pretrained(ID, trust_remote_code=True, "
    "out_indices=[...])`, where 0 is before the first block. Some releases of `transformers` look for that ID on the "
    "Hub alone, and not for a folder."
)
RAW = (
    "Outputs are raw: those under a teacher's name lie in that teacher's own space, with its mean and its scale. For a "
    "cosine bring both sides to length 1; features of different spaces do not compare."
)
USES = {
    STUDENT: "heads that you train yourself",
    "siglip2": "matching with texts, retrieval, classification",
    "dinov3": "dense maps, neighbours, correspondence",
    "lite_text": "matching with texts",
    "lite": "dense maps",
}
TEXTS = (
    "Summaries of {names} lie among that teacher's texts. {scale}The student's summaries are predictions of the "
    "teacher's: what matches best is more to be relied on than how well it matches."
)
SCALE = "SigLIP2's scale and bias make a cosine a probability, each text by itself. "
UNKNOWN_LICENCE = (
    "The licence of the weights is not known: it follows from those of the teachers and of the training images, which "
    "whoever shares this model must check first."
)
CODE_LICENCE = "The code files beside them are SigLino's, under Apache-2.0."


def model_card(
    student: SigLinoConfig,
    processor: SigLinoImageProcessor,
    *,
    name: str,
    source: str,
    parameters: int,
    origin: Origin | None = None,
) -> str:
    """The card.

    Args:
        name: of the folder, from whose parent the code runs as it stands.
        source: where the weights came from.
        parameters: of the whole model, the teachers' heads included.
        origin: what the weights do not say; nothing if left out.
    """
    origin = origin or Origin()
    pieces = CardCode(student, origin.teachers)
    parts = [
        f"---\n{_front_matter(student, origin)}\n---",
        f"# {plain(name)}",
        "A vision encoder that predicts the features of several teachers at once. An image keeps its aspect.",
        "## Features of an image\n\n" + fenced(pieces.features(name), "python"),
        INSTEAD,
        "\n".join(ARGUMENTS),
        "Patches after blocks in between, numbered from 0:",
        fenced(pieces.layers(), "python"),
        BACKBONE,
        "## Spaces\n\n" + _spaces(student),
        RAW,
        *_texts(pieces),
        "## Nearest neighbours\n\n" + fenced(pieces.neighbours(), "python"),
        "## A linear head for segmentation\n\n" + fenced(pieces.segmentation(), "python"),
        "## Preprocessing\n\n" + _preprocessing(processor),
        "## Shape\n\n" + _shape(student, parameters),
        "## Licence\n\n" + f"{_licence(origin)} {CODE_LICENCE}",
        "## Where the weights came from\n\n" + _source(source, origin),
        "## Citation\n\n" + fenced(bibtex([t.name for t in student.teachers]), "bibtex"),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(c: SigLinoConfig, origin: Origin) -> str:
    """The Hub's keys. Its relations of base models (finetune, adapter, merge, quantized) have none for a student."""
    from huggingface_hub import ModelCardData

    known = origin.license in LICENCES
    tags = ["siglino", "vision", "distillation", *["mixture-of-experts"] * (c.experts > 0)]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        license=origin.license if known else "other",
        license_name=None if known else origin.license,
        license_link=origin.license_link or None,
        base_model=origin.base_models or None,
        datasets=list(origin.datasets) or None,
        tags=tags,
    )
    return data.to_yaml()


def _texts(pieces: CardCode) -> list[str]:
    found = pieces.texts()
    if not found:
        return []
    names = " and ".join(f"`{code(name)}`" for name in found)
    says = TEXTS.format(names=names, scale=SCALE * any("logit_scale" in text for text in found.values()))
    return ["## Matching texts", says, *(fenced(text, "python") for text in found.values())]


def _preprocessing(p: SigLinoImageProcessor) -> str:
    rows = [
        ["whole patches", f"{p.patch_size} x {p.patch_size} pixels"],
        ["an image's area", f"{p.min_pixels:,} to {p.max_pixels:,} pixels, its aspect kept"],
        ["`rescale_factor`", f"{p.rescale_factor:.6g}"],
        ["`image_mean`", f"{p.image_mean}"],
        ["`image_std`", f"{p.image_std}"],
    ]
    return table(["", ""], rows, left=2)


def _shape(c: SigLinoConfig, parameters: int) -> str:
    mixtures = sum(c.is_mixture(i) for i in range(c.layers))
    hidden = [f"{c.layers - mixtures} dense layers, hidden {c.hidden}"] if mixtures < c.layers else []
    hidden += [f"{mixtures} mixtures of {c.experts} experts, {c.top_k} a token, hidden {c.expert_hidden}"] * (
        mixtures > 0
    )
    tokens = 256 + c.prefix
    rows = [
        ["width, layers", f"{c.width}, {c.layers}"],
        ["attention", f"{c.heads} heads of {c.head_dim}"],
        ["feed-forward", "; ".join(hidden)],
        ["parameters", f"{parameters:,}"],
        ["of the backbone", f"{backbone_parameters(c):,}"],
        ["of those, met by a token", f"{backbone_parameters(c, active=True):,}"],
        ["operations for 256 patches", f"{forward_flops(c, tokens) / 1e9:,.1f} GFLOP"],
    ]
    return table(["", ""], rows, left=2)


def _spaces(c: SigLinoConfig) -> str:
    rows = [[f"`{STUDENT}`", f"{c.width}", "its CLS token", USES[STUDENT]]]
    rows += [
        [
            f"`{code(t.name)}`",
            f"{t.dim}",
            "the teacher's own pooling" if t.pooled else "the head over its CLS token",
            USES.get(t.name, "what its teacher is for"),
        ]
        for t in c.teachers
    ]
    return table(["space", "width", "summary", "for"], rows, left=4)


def _licence(origin: Origin) -> str:
    if origin.license == UNKNOWN:
        return UNKNOWN_LICENCE
    where = f" ({code(origin.license_link)})" if origin.license_link else ""
    return f"`{code(origin.license)}`{where}, as given by whoever exported this model."


def _source(source: str, origin: Origin) -> str:
    import torch

    lines = [f"`{code(source)}`"]
    if origin.datasets:
        lines.append("Images: " + ", ".join(f"`{code(name)}`" for name in origin.datasets))
    made = f"Written by siglino {siglino_core.__version__} with torch {torch.__version__.partition('+')[0]}"
    return "\n\n".join([*lines, f"{made}; the code files load with `transformers>={FROM},<{BELOW}`."])
