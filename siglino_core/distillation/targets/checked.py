"""A teacher's targets for a pack of images, checked: of the card's shape, and finite.

Legend: B images, N patches of all images, V values of a patch, R registers, C the teacher's width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from siglino_core.encoders.card import Card
from siglino_core.errors import DataError
from siglino_core.images.patches import to_floats
from siglino_core.teachers.teacher import Targets, Teacher


def checked_targets(
    teacher: Teacher,
    patches_NV: Tensor,
    shapes: Sequence[tuple[int, int]],
    ids: Sequence[str],
    device: str = "cpu",
) -> Targets:
    """Targets in fp32, on ``device``.

    Args:
        patches_NV: uint8, the images' patches one after the other.
        shapes: each image's (height, width) in patches.
        ids: their image_ids, for messages.

    Raises:
        DataError: what the teacher gives has another shape than its card says, or is not finite.
    """
    card = teacher.card
    with torch.no_grad():
        output = teacher(to_floats(patches_NV.to(device)), shapes)
    images, patches = len(shapes), sum(h * w for h, w in shapes)
    summaries = _shaped(card, "summaries", output.summaries, (images, card.dim))
    _finite(card, "summary", summaries, ids)
    dense = registers = None
    if card.patches:
        dense = _shaped(card, "patches", output.patches, (patches, card.dim))
        good_N = dense.isfinite().all(1)
        finite = [bool(good.all()) for good in good_N.split([h * w for h, w in shapes])] if not good_N.all() else []
        if not all(finite):
            raise _not_finite(card, "patches", ids[finite.index(False)])
    if card.registers:
        registers = _shaped(card, "registers", output.registers, (images, card.registers, card.dim))
        _finite(card, "registers", registers, ids)
    return Targets(summaries, dense, registers)


def to_half(card: Card, kind: str, x: Tensor, ids: Sequence[str]) -> Tensor:
    """Summaries [B, C] or registers [B, R, C] as float16 on the CPU.

    Raises:
        DataError: a value is beyond float16's range; it names teacher and image.
    """
    half = x.half().cpu()
    if not (good_B := half.flatten(1).isfinite().all(1)).all():
        i = int((~good_B).nonzero()[0])
        raise DataError(
            f"teacher {card.name}: the {kind} of image {ids[i]} reaches {float(x[i].abs().max()):.3g}, beyond "
            "float16's 65504. Use targets.keep=online, or scale the teacher's outputs."
        )
    return half


def _shaped(card: Card, kind: str, x: Tensor | None, wanted: tuple[int, ...]) -> Tensor:
    if x is None or tuple(x.shape) != wanted:
        shape = None if x is None else list(x.shape)
        raise DataError(f"teacher {card.name}: {kind} of shape {shape} where its card says {list(wanted)}")
    return x.float()


def _finite(card: Card, kind: str, x: Tensor, ids: Sequence[str]) -> None:
    if not (good_B := x.flatten(1).isfinite().all(1)).all():
        raise _not_finite(card, kind, ids[int((~good_B).nonzero()[0])])


def _not_finite(card: Card, kind: str, image_id: str) -> DataError:
    return DataError(
        f"teacher {card.name}: its {kind} for image {image_id} hold NaN or infinity. Check the teacher's weights; if "
        "they are good, run it in fp32 (targets.precision=fp32)."
    )
