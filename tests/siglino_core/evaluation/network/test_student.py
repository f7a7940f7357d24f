"""A student that is evaluated: the exported model's own features, whatever the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from siglino_core.config import ModelConfig
from siglino_core.evaluation.network.load import describe_network
from siglino_core.evaluation.network.student import StudentNetwork
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights.load import load_student
from tests.siglino_core.evaluation.network.folders import BOUNDS, images, loaded, siglino

VIEWS = {"siglino": 32, "siglip2": 32, "dinov3": 24}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return siglino(tmp_path_factory.mktemp("student") / "model")


@pytest.fixture(scope="module")
def network(spec: str) -> Viewed:
    return loaded(spec)


def test_it_has_every_space(network: Viewed) -> None:
    assert network.views == {**VIEWS, "siglino_mean": 32}
    assert list(network.dense) == list(VIEWS)
    assert network.texts == {}


def test_its_features_are_the_exported_models(spec: str, network: Viewed) -> None:
    processor = SigLinoImageProcessor(min_pixels=BOUNDS["min_pixels"], max_pixels=BOUNDS["max_pixels"])
    model = load_student(spec.removeprefix("siglino:"))
    pictures = images()
    seen = network([network.pixels(image) for image in pictures], dense=True)
    for i, image in enumerate(pictures):
        with torch.no_grad():
            wanted = model(**processor(image))
        h, w = wanted.spatial_shapes[0].tolist()
        for view in VIEWS:
            summary = wanted.summary_features[view][0].numpy()
            np.testing.assert_allclose(seen.summaries[view][i], summary, atol=2e-5)
            patches = wanted.patch_features[view][0].unflatten(0, (h, w)).half().numpy()
            assert seen.patches[view][i].shape == patches.shape
            np.testing.assert_allclose(seen.patches[view][i], patches, atol=4e-3)
        mean = wanted.patch_features["siglino"][0].mean(0).numpy()
        np.testing.assert_allclose(seen.summaries["siglino_mean"][i], mean, atol=2e-5)


def test_an_images_features_do_not_depend_on_the_others(network: Viewed) -> None:
    pixels = [network.pixels(image) for image in images()]
    together = network(pixels, dense=True)
    turned = network(pixels[::-1])
    for i, one in enumerate(pixels):
        alone = network([one], dense=True)
        for view in VIEWS:
            np.testing.assert_allclose(alone.summaries[view][0], together.summaries[view][i], atol=1e-5)
            np.testing.assert_allclose(turned.summaries[view][-1 - i], together.summaries[view][i], atol=1e-5)
            np.testing.assert_allclose(alone.patches[view][0], together.patches[view][i], atol=4e-3)
    assert np.ptp(together.summaries["siglip2"], axis=0).max() > 0.1  # images do differ


def test_bounded_passes_change_nothing(spec: str, network: Viewed) -> None:
    config = ModelConfig(network=spec)
    small = StudentNetwork(load_student(spec.removeprefix("siglino:")), describe_network(config, **BOUNDS), tokens=20)
    pixels = [network.pixels(image) for image in images()]
    found, wanted = small(pixels), network(pixels)
    for view in VIEWS:
        np.testing.assert_allclose(found.summaries[view], wanted.summaries[view], atol=1e-5)


def test_no_images(network: Viewed) -> None:
    seen = network([], dense=True)
    widths = {**VIEWS, "siglino_mean": 32}
    assert {view: rows.shape for view, rows in seen.summaries.items()} == {v: (0, d) for v, d in widths.items()}


def test_patches_are_given_when_they_are_asked_for(network: Viewed) -> None:
    assert network([network.pixels(images()[0])]).patches == {}


def test_in_half_precision_summaries_are_fp32_and_near(spec: str, network: Viewed) -> None:
    half = loaded(spec, precision="bf16")
    pixels = [network.pixels(image) for image in images()]
    found, wanted = half(pixels), network(pixels)
    for view in VIEWS:
        assert found.summaries[view].dtype == np.float32
        a, b = found.summaries[view], wanted.summaries[view]
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() > 0.99


def test_untrained_it_is_another_of_the_same_shape(spec: str, network: Viewed, tmp_path: Path) -> None:
    other = loaded(spec.replace("siglino:", "siglino_untrained:"))
    assert other.views == network.views
    assert other.identity != network.identity
    pixels = [network.pixels(image) for image in images()]
    found, again = other(pixels), loaded(spec.replace("siglino:", "siglino_untrained:"))(pixels)
    assert all(np.array_equal(found.summaries[v], again.summaries[v]) for v in VIEWS)  # its seed is its own
    assert np.ptp(found.summaries["siglino"], axis=0).max() < 1e-6  # every block is the identity
    assert np.ptp(found.summaries["siglip2"], axis=0).max() > 0


def test_it_tells_which_experts_were_chosen(network: Viewed) -> None:
    pixels = [network.pixels(image) for image in images()]
    seen = network(pixels)
    parts = [network([one]).experts for one in pixels]
    assert seen.experts is not None
    np.testing.assert_array_equal(seen.experts, np.sum(parts, axis=0))
    assert seen.experts.sum(2)[:, 0].tolist() == [2 * len(pixels)] * 2
