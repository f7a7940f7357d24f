"""From an opened image and expressions to boxes and masks in the image's own pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from siglino_core.grounding.answers import MOST_INSTANCES, Answered, answers
from siglino_core.grounding.cache import image_states
from siglino_core.grounding.codecs import to_boxes
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.vocabulary import encode
from siglino_core.models.inputs import picture
from siglino_core.models.processor import SigLinoImageProcessor

THRESHOLD = 0.5  # chance from which on a pixel belongs to a mask
TOGETHER = 64  # expressions that are answered side by side
Task = Literal["box", "mask"]


@dataclass(frozen=True, eq=False)
class Instance:
    """What an expression refers to.

    Attributes:
        box_xyxy: (x0, y0, x1, y1) in the image's pixels, as it is shown, half-open.
        score: 0 to 1, for an order among instances; no chance.
        mask: bool [height, width] of the image, or None.
        present: the model's chance that the expression refers to anything.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    mask: np.ndarray | None
    present: float


@dataclass(frozen=True, eq=False)
class Reply:
    """What is said of an expression.

    Attributes:
        present: the model's chance that the expression refers to anything.
        instances: none where it is found absent.
        complete: the answer ended by itself, and was not cut at ``most``.
    """

    present: float
    instances: list[Instance]
    complete: bool


def predict(
    model: GroundingModel,
    image: Any,
    queries: Sequence[str],
    task: Task = "box",
    *,
    processor: SigLinoImageProcessor | None = None,
    forced: bool = False,
    most: int = MOST_INSTANCES,
) -> list[list[Instance]]:
    """What each expression refers to in an image; nothing where the model finds it absent.

    Args:
        image: whatever the processor takes: a Pillow image, an array, a path, bytes.
        queries: expressions, any number of them: the image is read once.
        task: ``box``, or ``mask`` for boxes and masks.
        processor: of the student's export; left out, the default one.
        forced: exactly one instance of each expression.
        most: instances of one expression.

    Raises:
        DataError: an expression without text, or too long a one.
        ValueError: an unknown task, one string in place of several, or an image that the processor refuses.
    """
    settings: dict[str, Any] = {"processor": processor, "forced": forced, "most": most}
    return [reply.instances for reply in replies(model, image, queries, task, **settings)]


def replies(
    model: GroundingModel,
    image: Any,
    queries: Sequence[str],
    task: Task = "box",
    *,
    processor: SigLinoImageProcessor | None = None,
    forced: bool = False,
    most: int = MOST_INSTANCES,
) -> Iterator[Reply]:
    """The same with the chance of presence, one expression after another: masks of :data:`TOGETHER` are held at once.

    Arguments and errors are those of :func:`predict`; errors come with the first reply.
    """
    if isinstance(queries, str):
        raise ValueError(f"queries: a list of expressions; for one, [{queries[:40]!r}]")
    if task not in ("box", "mask"):
        raise ValueError(f"task={task!r}: 'box' or 'mask'")
    if most < 1:
        raise ValueError(f"most={most}: at least 1")
    processor = processor or SigLinoImageProcessor(patch_size=model.config.student.patch_size)
    expressions = [encode(query) for query in queries]
    seen = picture(image, as_given=not processor.do_rescale)
    height, width = (seen.height, seen.width) if isinstance(seen, Image.Image) else seen.shape[:2]
    patches_NV, shape = processor.patches(seen)
    device = model.embedding.weight.device
    states = image_states(model, patches_NV.to(device), shape, masks=task == "mask")
    for first in range(0, len(expressions), TOGETHER):
        for answered in answers(model, states, expressions[first : first + TOGETHER], most=most, forced=forced):
            yield Reply(answered.present, _instances(answered, height, width), answered.complete)


def full_mask(logits_hw: Tensor, height: int, width: int) -> np.ndarray:
    """A mask's logits to bool [height, width]: scaled first, then compared."""
    logits = F.interpolate(logits_hw[None, None].float(), (height, width), mode="bilinear", align_corners=False)
    return (logits[0, 0].sigmoid() > THRESHOLD).cpu().numpy()


def _instances(answered: Answered, height: int, width: int) -> list[Instance]:
    found = []
    for one in answered.instances:
        box = to_boxes(torch.tensor([one.centre]), torch.tensor([one.side]), width, height)[0].tolist()
        mask = None if one.mask is None else full_mask(one.mask, height, width)
        found.append(Instance((box[0], box[1], box[2], box[3]), one.score, mask, answered.present))
    return found
