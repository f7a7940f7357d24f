"""What an image costs, by a card alone, against torch's own count of the networks' operations."""

import pytest
import torch

from siglino_core.encoders.flops import Flops, fitted, vit_flops
from siglino_core.encoders.published import PUBLISHED
from siglino_core.networks import outline
from tests.networks import image_flops, network

HUB = [f"{'siglip2' if 'siglip2' in name else 'dinov3'}:{name}" for name in PUBLISHED]
NAMED = ["timm:vit_tiny_patch16_224", "timm:vit_small_patch16_dinov3", "timm:vit_base_patch16_siglip_gap_224"]
CONVOLUTIONS = ["timm:resnet10t", "lite", "lite_text", "efficientnet_lite0"]
FIXED = ["open_clip:ViT-B-32", "open_clip:ViT-B-16", "open_clip:RN50", "open_clip:ViT-B-16-SigLIP2-256"]


@pytest.mark.parametrize("spec", HUB)
@pytest.mark.parametrize(("height", "width"), [(384, 384), (160, 224)])
def test_published_checkpoints_at_any_size(spec: str, height: int, width: int) -> None:
    assert outline(spec).image_flops(height * width) == pytest.approx(image_flops(spec, height, width), rel=2e-3)


@pytest.mark.parametrize("spec", NAMED)
def test_transformers_by_name(spec: str) -> None:
    card = outline(spec)
    side = card.pixels.size
    assert card.image_flops(side * side) == pytest.approx(image_flops(spec, side, side), rel=2e-3)


@pytest.mark.parametrize("spec", [*HUB, *NAMED])
def test_their_weights(spec: str) -> None:
    weights = sum(p.numel() for p in network(spec)[0].parameters())
    assert outline(spec).parameters == pytest.approx(weights, rel=0.02)


@pytest.mark.parametrize("spec", CONVOLUTIONS)
def test_convolutions_cost_by_the_pixel(spec: str) -> None:
    card = outline(spec)
    for side in (224, 448):
        assert card.flops(side**2) == pytest.approx(image_flops(spec, side, side), rel=0.1)
    head = 512 * 1281 + 384 * 513 if spec == "lite_text" else 0
    assert card.parameters == pytest.approx(head + sum(p.numel() for p in network(spec)[0].parameters()), rel=0.01)


@pytest.mark.parametrize("spec", FIXED)
def test_towers_of_one_size(spec: str) -> None:
    card = outline(spec)
    side = card.pixels.size
    wanted = image_flops(spec, side, side)
    assert card.image_flops(side**2) == pytest.approx(wanted, rel=2e-3)
    assert card.image_flops(64**2) == card.image_flops(side**2), "a small image is resized, and costs as much"
    assert card.parameters == sum(p.numel() for p in network(spec)[0].parameters())


def test_a_polynomial_through_three_counts_is_exact() -> None:
    model, call = network("timm:vit_tiny_patch16_224")
    model.dynamic_img_size = True  # type: ignore[assignment]
    model.patch_embed.strict_img_size = False  # type: ignore[union-attr]
    model.patch_embed.output_fmt, model.patch_embed.flatten = "NHWC", False  # type: ignore[union-attr]
    with torch.no_grad():
        found = fitted(call, (64, 128, 192))
        assert found(320 * 320) == pytest.approx(fitted(call, (320,))(320 * 320), rel=1e-3)


def test_tokens_beside_the_patches_pay_too() -> None:
    config = PUBLISHED["facebook/dinov3-vits16-pretrain-lvd1689m"]
    bare, prefixed = vit_flops(config), vit_flops(config, prefix=5)
    patch = Flops(linear=6 * 16**2 * 384)
    assert prefixed(16 * 16 * 10) - patch(16 * 16 * 10) == pytest.approx(bare(16 * 16 * 15) - patch(16 * 16 * 15))
