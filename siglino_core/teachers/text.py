"""The text side of the teachers that have one: texts among the summaries of images, a student's included.

Legend: B texts, C the teacher's width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor
from torch.nn.functional import normalize

from siglino_core.encoders.spec import KINDS, Spec
from siglino_core.errors import ConfigError

BATCH = 64  # texts at once


@dataclass(frozen=True, kw_only=True)
class TextTower:
    """A teacher's text side, frozen, in fp32.

    A text matches an image by the cosine of both vectors. SigLIP's probability is ``sigmoid(scale * cosine + bias)``,
    each text by itself; without a bias (CLIP) texts compete: the softmax over texts of ``scale * cosine``.

    Attributes:
        dim: width of the vectors.
        embed: a batch of texts to vectors [B, C] of any length.
        scale: of cosines, already exponentiated; None: the teacher has none.
        bias: added to the scaled cosine; None: the teacher has none.
        cleaning: what is done to a text before it is tokenised, for results to say; empty: what the tokenizer does.
    """

    dim: int
    embed: Callable[[list[str]], Tensor]
    scale: float | None = None
    bias: float | None = None
    cleaning: str = ""

    @torch.no_grad()
    def features(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors, fp32 [B, C]; what no encoding can write in a text counts as a question mark.

        Args:
            texts: any strings, empty ones too; the teacher cuts those that are too long for it.

        Raises:
            ConfigError: they are no sequence of strings.
        """
        clean = writable(texts)
        batches = [clean[i : i + BATCH] for i in range(0, len(clean), BATCH)]
        found = [normalize(self.embed(batch).float(), dim=-1) for batch in batches]
        return torch.cat(found) if found else torch.empty(0, self.dim)


def writable(texts: Sequence[str]) -> list[str]:
    """The texts; what no encoding can write in one counts as a question mark.

    Raises:
        ConfigError: they are no sequence of strings.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ConfigError(f"texts: a list of strings is needed, not {type(texts).__name__}")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(f"texts: number {place} is no string but {type(text).__name__}")
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]


def text_tower(spec: Spec | str, device: str = "cpu", cleaning: str = "canonical") -> TextTower:
    """The text side of a teacher, ready to compute.

    Args:
        spec: the teacher as ``targets.teachers`` names it: ``siglip2:SOURCE``, ``open_clip:SOURCE`` or ``lite_text``.
        cleaning: of texts, as `siglino_core.teachers.siglip2_text.load_text` has it; others clean in one way alone.

    Raises:
        ConfigError: it is no spec, the teacher has no text side, or its weights or tokenizer cannot be had.
    """
    spec = Spec.parse(spec, "teacher") if isinstance(spec, str) else spec
    kind = KINDS.get(spec.kind)
    if kind is None or not kind.reads:
        readers = ", ".join(name for name, kind in KINDS.items() if kind.reads)
        raise ConfigError(f"{spec.asked}: this teacher has no text side; there is one in {readers}")
    load_text = import_module(f"siglino_core.{kind.reads}").load_text
    return load_text(spec, device, cleaning) if spec.kind == "siglip2" else load_text(spec, device)


def has_text_side(spec: Spec | str) -> bool:
    """Whether a teacher has a text side; of SigLIP2 there are checkpoints of the vision tower alone.

    Raises:
        ConfigError: it is no spec, or its configuration cannot be had.
    """
    spec = Spec.parse(spec, "teacher") if isinstance(spec, str) else spec
    kind = KINDS.get(spec.kind)
    if kind is None or not kind.reads:
        return False
    return spec.kind != "siglip2" or import_module(f"siglino_core.{kind.reads}").has_text(spec)


def text_features(spec: Spec | str, texts: Sequence[str], device: str = "cpu") -> Tensor:
    """Texts in the space of a teacher's summaries: unit vectors, fp32 [B, C], on the device.

    Each call loads the weights: for several, take :func:`text_tower`'s ``features``. Raises as that and they do.
    """
    return text_tower(spec, device).features(texts)
