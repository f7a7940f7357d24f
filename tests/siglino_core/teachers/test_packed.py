"""Packed teachers give what transformers' own classes give, image by image and padded."""

import pytest
import torch
from torch import Tensor
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.encoders.dinov3 import IMAGENET_MEAN, IMAGENET_STD
from siglino_core.models.patches import pad, patchify
from siglino_core.models.segments import Segments
from siglino_core.teachers.dinov3 import PackedDinoV3
from siglino_core.teachers.siglip2 import PackedSigLip2
from siglino_core.teachers.teacher import Targets, Teacher
from tests.rounded import RoundedSums
from tests.siglino_core.models.tiny import filled

SHAPES = [(3, 4), (2, 2), (3, 4), (5, 1)]
PRECISIONS = (torch.bfloat16, torch.float32)
CLOSE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 16 * h, 16 * w, generator=generator) * 2 - 1 for h, w in SHAPES]


def of_image(targets: Targets, i: int) -> list[Tensor]:
    assert targets.patches is not None
    parts = [targets.summaries[i], targets.patches.split([h * w for h, w in SHAPES])[i]]
    return parts if targets.registers is None else [*parts, targets.registers[i]]


def packed(teacher: Teacher, images: list[Tensor]) -> Targets:
    return teacher(torch.cat([patchify(image[None], 16)[0] for image in images]), SHAPES)


@torch.no_grad()
def test_dinov3(images: list[Tensor]) -> None:
    config = DINOv3ViTConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=3, num_register_tokens=4
    )
    model = filled(DINOv3ViTModel(config)).eval()
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    wanted = [model((((image + 1) / 2 - mean) / std)[None]).last_hidden_state[0] for image in images]
    teacher = PackedDinoV3(model, "id")
    found = packed(teacher, images)
    card = teacher.card
    assert (card.name, card.dim, card.pooled, card.registers) == (
        "dinov3",
        48,
        False,
        4,
    )
    for i, states in enumerate(wanted):
        theirs = (states[0], states[5:], states[1:5])
        for ours, their in zip(of_image(found, i), theirs, strict=True):
            torch.testing.assert_close(ours, their, **CLOSE)


@torch.no_grad()
def test_siglip2(images: list[Tensor]) -> None:
    config = Siglip2VisionConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_patches=16
    )
    model = filled(Siglip2VisionModel(config)).eval()
    padded, mask = pad([patchify(image[None], 16)[0] for image in images])
    wanted = model(padded, mask.long(), torch.tensor(SHAPES))
    teacher = PackedSigLip2(model, "id")
    found = packed(teacher, images)
    card = teacher.card
    assert (card.name, card.dim, card.pooled, card.registers) == (
        "siglip2",
        64,
        True,
        0,
    )
    torch.testing.assert_close(found.patches, wanted.last_hidden_state[mask], **CLOSE)
    torch.testing.assert_close(found.summaries, wanted.pooler_output, **CLOSE)
    assert found.registers is None


@torch.no_grad()
def test_siglip2_in_bf16_pools_in_fp32() -> None:
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = Siglip2VisionConfig(**shape, num_patches=16)  # type: ignore[arg-type]
    half, whole = (PackedSigLip2(filled(Siglip2VisionModel(config)).to(dtype), "id") for dtype in PRECISIONS)
    shapes = [(48, 48), (2, 3)]
    x_NV = torch.rand(48 * 48 + 6, 768, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with RoundedSums() as sums:
        found = half(x_NV, shapes)
    assert found.patches is not None
    wanted = whole.head(found.patches.float(), Segments.of([h * w for h, w in shapes]))
    assert sums.summed == {torch.float32}
    assert (found.summaries - wanted).norm() / wanted.norm() < 0.007
