"""A linear segmentation head on a frozen student: `python segmentation.py STUDENT`. Shapes on noise, exact masks."""

import sys

import torch
from torch.nn.functional import cross_entropy, interpolate

from siglino_core.models.hf import SigLinoBackbone  # or AutoBackbone, with trust_remote_code=True

CLASSES = 3  # background, squares, discs


def scenes(count: int, seed: int, side: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [count, 3, side, side] in +-1 and masks [count, side, side]."""
    g = torch.Generator().manual_seed(seed)
    images, masks = torch.rand(count, 3, side, side, generator=g) - 0.5, torch.zeros(count, side, side).long()
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for i in range(2 * count):
        cy, cx, r = (int(v) for v in torch.randint(side // 6, side - side // 6, (3,), generator=g))
        near, kind = r % (side // 6) + side // 12, 1 + i % 2
        inside = (y - cy).abs().maximum((x - cx).abs()) < near if kind == 1 else (y - cy) ** 2 + (x - cx) ** 2 < near**2
        masks[i // 2][inside] = kind
        images[i // 2][:, inside] = (torch.rand(3, 1, generator=g) - 0.5) * 0.4 + (0.8 if kind == 1 else -0.8)
    return images, masks


def train(folder: str, steps: int = 100) -> float:
    """The head's mean intersection over union on scenes that it has not seen."""
    backbone = SigLinoBackbone.from_pretrained(folder).eval().requires_grad_(False)
    head = torch.nn.Conv2d(backbone.channels[-1], CLASSES, 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    images, masks = scenes(32, seed=0)
    features = torch.nn.functional.normalize(backbone(images).feature_maps[-1], dim=1) * 10
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(interpolate(head(features), masks.shape[1:], mode="bilinear"), masks).backward()
        optimizer.step()
    images, masks = scenes(16, seed=1)
    features = torch.nn.functional.normalize(backbone(images).feature_maps[-1], dim=1) * 10
    found = interpolate(head(features), masks.shape[1:], mode="bilinear").argmax(1)
    unions = [((found == c) & (masks == c)).sum() / ((found == c) | (masks == c)).sum() for c in range(CLASSES)]
    return float(torch.stack(unions).mean())


if __name__ == "__main__":
    print(f"mean IoU {train(sys.argv[1]):.2f}")
