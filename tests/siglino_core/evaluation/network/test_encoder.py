"""Encoders of pixels that are evaluated: their own preprocessing, unit summaries, maps where they have one."""

import numpy as np
import pytest
import torch

from siglino_core.config import Fit, ModelConfig
from siglino_core.encoders import Card, Preprocess, Spec
from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.encoder import EncoderNetwork
from siglino_core.evaluation.network.load import describe_network
from siglino_core.evaluation.network.texts import load_texts
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.networks import load_encoder
from tests.siglino_core.evaluation.network.folders import BOUNDS, images, loaded, open_clip_folder, timm_folder


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("encoders")
    return {
        "vit": timm_folder(root / "vit", "test_vit"),
        "resnet": timm_folder(root / "resnet", "test_resnet"),
        "clip": open_clip_folder(root / "clip"),
        "own": f"{__name__}:Mine",
    }


def pixels_of(network: Viewed) -> list[np.ndarray]:
    return [network.pixels(image) for image in images()]


@pytest.mark.parametrize("kind", ["vit", "resnet", "clip", "own"])
def test_features_are_the_encoders_own_and_independent_of_the_batch(specs: dict[str, str], kind: str) -> None:
    network = loaded(specs[kind])
    (view, width), pixels = next(iter(network.views.items())), pixels_of(network)
    assert network.pixels.describe()["rule"] == "own"
    found = network(pixels).summaries[view]
    wanted = load_encoder(Spec.parse(specs[kind], "x", embeds=True), "cpu", "fp32").encode(np.stack(pixels))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert (found.shape, found.dtype) == ((len(pixels), width), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for i, one in enumerate(pixels):
        np.testing.assert_allclose(network([one]).summaries[view][0], found[i], atol=1e-5)
    assert network([]).summaries[view].shape == (0, width)


def test_a_transformers_map_is_dense_and_a_convolutional_networks_is_not(specs: dict[str, str]) -> None:
    vit, resnet = loaded(specs["vit"]), loaded(specs["resnet"])
    assert (list(vit.dense), list(resnet.dense)) == (list(vit.views), [])
    (view, width), pixels = next(iter(vit.views.items())), pixels_of(vit)
    side = pixels[0].shape[0] // 16
    seen = vit(pixels, dense=True)
    assert [p.shape for p in seen.patches[view]] == [(side, side, width)] * len(pixels)
    assert seen.patches[view][0].dtype == np.float16
    np.testing.assert_allclose(seen.summaries[view], vit(pixels).summaries[view], atol=1e-5)
    assert resnet(pixels_of(resnet), dense=True).patches == {}


def test_colours_are_told_as_they_are_applied(specs: dict[str, str]) -> None:
    for kind in ("vit", "resnet", "clip"):
        network = loaded(specs[kind])
        encoder, said = network._encoder, network.pixels.describe()  # type: ignore[attr-defined]
        assert (encoder._mean.flatten() / 255).tolist() == pytest.approx(said["mean"])
        assert (encoder._std.flatten() / 255).tolist() == pytest.approx(said["std"])
    assert "mean" not in loaded(specs["own"]).pixels.describe()


def test_clip_has_a_text_side_and_patches_on_its_own_grid(specs: dict[str, str]) -> None:
    network = loaded(specs["clip"])
    (view, width) = next(iter(network.views.items()))
    assert network.texts == {view: specs["clip"]}
    assert load_texts(network, view).dim == width
    seen = network(pixels_of(network), dense=True)
    assert [p.shape for p in seen.patches[view]] == [(4, 4, width)] * 5


def test_in_small_batches(specs: dict[str, str]) -> None:
    config = ModelConfig(network=specs["vit"])
    plan = describe_network(config, **BOUNDS)
    small = EncoderNetwork(load_encoder(plan.spec, "cpu", "fp32"), plan, batch=2)
    wanted = loaded(specs["vit"])
    view, pixels = next(iter(wanted.views)), pixels_of(wanted)
    a, b = small(pixels, dense=True), wanted(pixels, dense=True)
    np.testing.assert_allclose(a.summaries[view], b.summaries[view], atol=1e-5)
    np.testing.assert_allclose(np.stack(a.patches[view]), np.stack(b.patches[view]), atol=1e-2)


def test_a_size_that_the_network_does_not_take(specs: dict[str, str]) -> None:
    assert loaded(specs["resnet"], image_size=64).pixels.describe()["size"] == 64
    assert loaded(specs["resnet"], fit=Fit.SQUASH, image_size=64).pixels.describe()["rule"] == "squash"
    with pytest.raises(ConfigError, match="it takes images of 32 pixels, not image_size=64"):
        loaded(specs["own"], image_size=64)


def test_on_the_grid_a_convolutional_network_sees_what_a_students_teacher_does(specs: dict[str, str]) -> None:
    network = loaded(specs["resnet"], fit=Fit.GRID)
    said = network.pixels.describe()
    assert (said["rule"], said["then_squeezed_to"]) == ("grid", loaded(specs["resnet"]).pixels.describe()["size"])
    assert network.identity != loaded(specs["resnet"]).identity
    assert next(iter(network(pixels_of(network)).summaries.values())).shape[0] == 5
    with pytest.raises(ConfigError, match="takes no packs of patches"):
        loaded(specs["own"], fit=Fit.GRID)


class Mine:
    """An encoder of the user's: the mean colour."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.card = Card(name="mine", dim=3, identity="mine", preprocess=Preprocess(size=32))

    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        means = pixels_BHW3.mean((1, 2)) + 1e-3
        return means / np.linalg.norm(means, axis=1, keepdims=True)
