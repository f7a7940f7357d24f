"""A codec's errors: the formulae, on features where the answer is known."""

import pytest
import torch

from siglino_core.distillation.targets.measures import ErrorMeter, knn_agreement
from tests.siglino_core.distillation.targets.features import errors, images


def test_relative_error_is_over_the_variance_and_not_the_mean() -> None:
    features = [torch.randn(50, 8, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(8)]
    wanted = 0.01 / torch.cat(features).var(0, correction=0).mean()
    for offset in (0, 1000):
        moved = [f + offset for f in features]
        assert errors(moved, [f + 0.1 for f in moved]).relative_mse == pytest.approx(float(wanted), rel=1e-6)


def test_nothing_lost() -> None:
    features = images(30, 4, 12)
    assert errors(features, features) == (0.0, 1.0, 30)


def test_features_that_do_not_vary() -> None:
    same = [torch.ones(3, 4)] * 2
    assert errors(same, same).relative_mse == 0
    assert errors(same, [torch.zeros(3, 4)] * 2).relative_mse == 1


def test_image_by_image_is_all_at_once() -> None:
    features, decoded = images(12, 5, 6), images(12, 5, 6, seed=1)
    meter = ErrorMeter()
    for pair in zip(features, decoded, strict=True):
        meter.update(*pair)
    assert meter.result() == errors(features, decoded)
    wanted = (torch.cat(features) - torch.cat(decoded)).double().square().mean()
    wanted /= torch.cat(features).double().var(0, correction=0).mean()
    assert meter.result().relative_mse == pytest.approx(float(wanted), rel=1e-6)


def test_neighbours_that_stay() -> None:
    angle = torch.tensor([0.0, 0.1, 0.3, 1.0, 1.1, 1.3, 2.0, 2.1])
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    assert knn_agreement(circle, 7 * circle, k=1) == 1  # cosine: their length does not count
    moved = circle.clone()
    moved[1] = circle[7]  # image 0 and image 7 (and 6) have other neighbours now, and so has 1 itself
    near = [1, 0, 1, 4, 3, 4, 7, 6]
    now = (torch.nn.functional.normalize(moved, dim=1) @ moved.T).fill_diagonal_(-9).argmax(1).tolist()
    assert knn_agreement(circle, moved, k=1) == sum(a == b for a, b in zip(near, now, strict=True)) / 8 < 1


@pytest.mark.parametrize(("count", "wanted"), [(1, 1.0), (3, 1.0)])
def test_too_few_images_for_neighbours(count: int, wanted: float) -> None:
    assert knn_agreement(torch.randn(count, 4), torch.randn(count, 4)) == wanted


def test_of_unrelated_features_few_stay() -> None:
    draw = torch.Generator().manual_seed(0)
    found = knn_agreement(torch.randn(200, 16, generator=draw), torch.randn(200, 16, generator=draw))
    assert 0.05 < found < 0.15  # 20 of 199
