"""Images with questions as a pass: patches, texts, masks at the head's scale.

Legend: N patches of all images, V values of a patch, K instances of all texts, U mask logits on each side of a patch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from siglino_core.grounding.codecs import to_centres
from siglino_core.grounding.data.referring import Expression, Referring, raster_order
from siglino_core.grounding.targets import Question
from siglino_core.grounding.vocabulary import encode
from siglino_core.images.patches import to_patches


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """The images of one pass, and what is asked about them.

    Attributes:
        patches_NV: uint8, the images' patches one after the other.
        shapes: each image's (height, width) in patches.
        ids: the images'.
        image_Q: the image of each question, never falling.
        questions: with their answers.
        masks: by instance, as they stand over all questions: fp32 [U h, U w], the share that a mask covers.
    """

    patches_NV: Tensor
    shapes: list[tuple[int, int]]
    ids: list[str]
    image_Q: list[int]
    questions: list[Question]
    masks: dict[int, Tensor]

    def pin_memory(self) -> "Batch":
        """For DataLoader: what is copied to a GPU, in memory that it can fetch by itself."""
        return replace(self, patches_NV=self.patches_NV.pin_memory())

    @property
    def image_K(self) -> list[int]:
        """The image of each instance."""
        pairs = zip(self.image_Q, self.questions, strict=True)
        return [image for image, question in pairs for _ in range(len(question.centre_K2))]


def batch_of(
    images: Sequence[Referring],
    asked: Sequence[Sequence[Expression]],
    shapes: Sequence[tuple[int, int]],
    *,
    patch_size: int,
    mask_scale: int,
    most: int,
    masked: bool = True,
) -> Batch:
    """A pass of images, each with some of its expressions.

    Args:
        asked: of each image; instances are put into raster order, and those beyond ``most`` are left out.
        shapes: each image's (height, width) in patches.
        masked: whether masks are made, of expressions that have some.

    Raises:
        BadImage: an image cannot be decoded.
        DataError: an expression has too many tokens.
    """
    image_Q: list[int] = []
    questions: list[Question] = []
    masks: dict[int, Tensor] = {}
    count = 0
    for number, (image, expressions, (height, width)) in enumerate(zip(images, asked, shapes, strict=True)):
        for expression in expressions:
            order = raster_order(expression.boxes_K4)[:most]
            centre_K2, side_K2 = to_centres(torch.from_numpy(expression.boxes_K4[order]), image.width, image.height)
            image_Q.append(number)
            questions.append(Question(encode(expression.text), centre_K2, side_K2))
            for place, k in enumerate(order if masked and expression.masks is not None else ()):
                assert expression.masks is not None
                masks[count + place] = covered(expression.masks[int(k)], (height * mask_scale, width * mask_scale))
            count += len(order)
    patches = [to_patches(image.data, shape, patch_size) for image, shape in zip(images, shapes, strict=True)]
    return Batch(
        patches_NV=torch.cat(patches),
        shapes=list(shapes),
        ids=[image.image_id for image in images],
        image_Q=image_Q,
        questions=questions,
        masks=masks,
    )


def covered(mask_HW: np.ndarray, size: tuple[int, int]) -> Tensor:
    """The share of each of h x w pixels that a mask covers: fp32 [h, w]."""
    mask = torch.from_numpy(mask_HW.astype(np.float32))[None, None]
    return F.interpolate(mask, size, mode="area")[0, 0]
