"""Teachers that are evaluated: at the image's own aspect or squashed, whatever the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.config import Fit
from siglino_core.encoders import Card, Spec
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.networks import load_encoder
from siglino_core.teachers.teacher import Targets
from tests.siglino_core.evaluation.network.folders import dinov3, images, loaded, siglip, timm_folder


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("teachers")
    return {
        "dinov3": dinov3(root / "dinov3"),
        "siglip2": siglip(root / "siglip2"),
        "vit": timm_folder(root / "vit", "test_vit"),
        "lite": "lite",
        "own": f"{__name__}:Own",
    }


def network_of(specs: dict[str, str], kind: str) -> Viewed:
    return loaded(specs[kind], fit=Fit.GRID if kind == "vit" else Fit.AUTO)


@pytest.mark.parametrize("kind", ["dinov3", "siglip2", "vit", "lite", "own"])
def test_its_one_view_and_its_independence_of_the_batch(specs: dict[str, str], kind: str) -> None:
    network = network_of(specs, kind)
    (view, width), pixels = next(iter(network.views.items())), [network.pixels(image) for image in images()]
    assert network.pixels.describe()["rule"] == "grid"
    assert len({p.shape for p in pixels}) > 2
    together = network(pixels, dense=True)
    assert together.summaries[view].shape == (len(pixels), width)
    assert together.summaries[view].dtype == np.float32
    for i, one in enumerate(pixels):
        alone = network([one], dense=True)
        np.testing.assert_allclose(alone.summaries[view][0], together.summaries[view][i], atol=1e-4)
        assert together.patches[view][i].shape == (one.shape[0] // 16, one.shape[1] // 16, width)
        np.testing.assert_allclose(alone.patches[view][0], together.patches[view][i], atol=2e-2)


@pytest.mark.parametrize("kind", ["dinov3", "siglip2", "vit"])
def test_squashed_it_is_the_encoder_of_pools(specs: dict[str, str], kind: str) -> None:
    network = loaded(specs[kind], fit=Fit.SQUASH, image_size=64)
    assert network.pixels.describe()["size"] == 64
    pixels = [network.pixels(image) for image in images()]
    spec = Spec.parse(specs[kind], "embed.encoder", image_size=64, embeds=True)
    wanted = load_encoder(spec, "cpu", "fp32").encode(np.stack(pixels))
    found = next(iter(network(pixels).summaries.values()))
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), wanted, atol=1e-5)


def test_its_own_text_side(specs: dict[str, str]) -> None:
    assert network_of(specs, "siglip2").texts == {"siglip2": specs["siglip2"]}
    assert network_of(specs, "dinov3").texts == {}


def test_dinov3s_own_pixels_are_the_middle_of_a_larger_image(specs: dict[str, str]) -> None:
    network = loaded(specs["dinov3"], fit=Fit.OWN)
    said = network.pixels.describe()
    assert (said["fit"], said["size"], said["crop_share"]) == ("crop", 224, 0.875)
    image = Image.new("RGB", (512, 256))  # scaled to 512 x 256, cut to the middle 224
    image.paste((255, 0, 0), (144, 16, 368, 240))
    assert (np.asarray(network.pixels(image))[2:-2, 2:-2] == (255, 0, 0)).all()
    assert next(iter(network([network.pixels(image)]).summaries.values())).shape == (1, 64)


def test_half_precision(specs: dict[str, str]) -> None:
    half, full = loaded(specs["dinov3"], precision="bf16"), loaded(specs["dinov3"])
    pixels = [full.pixels(image) for image in images()]
    a, b = half(pixels).summaries["dinov3"], full(pixels).summaries["dinov3"]
    assert a.dtype == np.float32
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > 0.99


@pytest.mark.parametrize(
    ("kind", "says"), [("Narrow", "summaries of .1, 5., its card says .1, 6."), ("Few", "patches")]
)
def test_a_teacher_that_gives_other_shapes_than_it_said(kind: str, says: str) -> None:
    network = loaded(f"{__name__}:{kind}")
    with pytest.raises(DataError, match=says):
        network([network.pixels(images()[0])], dense=True)


def test_sizes_that_are_no_patches(specs: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="image_size=50 is no multiple of its patch, 16 pixels"):
        loaded(specs["dinov3"], fit=Fit.SQUASH, image_size=50)
    with pytest.raises(ConfigError, match="image_size=64 is of fit=own or fit=squash"):
        loaded(specs["dinov3"], image_size=64)


class Own:
    """A teacher of the user's: the patches' own values."""

    width = 6
    rows = 0

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.card = Card(name="mine", dim=6, identity="own")

    def __call__(self, patches_NV: torch.Tensor, shapes: list[tuple[int, int]]) -> Targets:
        values = patches_NV[self.rows :, : self.width]
        parts = patches_NV[:, : self.width].split([h * w for h, w in shapes])
        return Targets(torch.stack([p.mean(0) for p in parts]), values)


class Narrow(Own):
    width = 5


class Few(Own):
    rows = 1
