"""The model card of an exported student: Markdown with the hub's front matter."""

from siglino_core.models.config import SigLinoConfig
from siglino_core.models.size import backbone_parameters, forward_flops
from siglino_core.report.cards import code, fenced, plain, table

USE = """\
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
out = model(**processor(Image.open("image.jpg")))
out.summary_features[{name!r}]  # one vector an image
out.patch_features[{name!r}]    # one a patch, row by row"""
INSTEAD = "With SigLino installed, `import siglino_core.models.hf` stands for `trust_remote_code=True`."
LICENCE = (
    "The licence of the weights is not known: it follows from those of the teachers and of the training images, which "
    "whoever shares this model must check first. The code files beside them are SigLino's, under Apache-2.0."
)


def model_card(student: SigLinoConfig, *, name: str, source: str, parameters: int, max_pixels: int) -> str:
    """The card.

    Args:
        source: where the weights came from.
        parameters: of the whole model, the teachers' heads included.
        max_pixels: the processor's bound on an image's area.
    """
    front = "\n".join(
        (
            "---",
            "library_name: transformers",
            "pipeline_tag: image-feature-extraction",
            "license: unknown",
            "tags:\n- siglino\n- vision\n- distillation",
            "---",
        )
    )
    parts = [
        front,
        f"# {plain(name)}",
        "A vision encoder that predicts the features of several teachers at once. An image keeps its aspect, and its "
        "features depend on nothing but itself.",
        "## Shape\n\n" + _shape(student, parameters),
        "## Features\n\n" + _features(student),
        "## Use\n\n" + fenced(USE.format(name=student.teachers[0].name if student.teachers else "siglino"), "python"),
        INSTEAD,
        f"The processor resizes to whole patches of {student.patch_size} pixels, at most {max_pixels:,} pixels in all "
        "(`max_pixels=` for a call), and scales them to ±1.",
        "## Licence\n\n" + LICENCE,
        f"## Where the weights came from\n\n`{code(source)}`",
    ]
    return "\n\n".join(parts) + "\n"


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


def _features(c: SigLinoConfig) -> str:
    rows = [["`siglino`", f"{c.width}", "its CLS token"]]
    rows += [
        [f"`{code(t.name)}`", f"{t.dim}", "the teacher's own pooling" if t.pooled else "the head over its CLS token"]
        for t in c.teachers
    ]
    return table(["space", "width", "summary"], rows, left=3)
