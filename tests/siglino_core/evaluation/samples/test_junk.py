"""Planted junk: as much as said, drawn as said, the same under one seed."""

import numpy as np
import pytest

from siglino_core.evaluation.samples.junk import amount, isotropic, noise_images, permuted


@pytest.mark.parametrize(("images", "count"), [(1, 2), (200, 2), (1000, 10), (75_000, 750)])
def test_one_in_a_hundred(images: int, count: int) -> None:
    assert amount(images) == count


def test_isotropic_vectors_have_length_one_and_no_direction() -> None:
    x = isotropic(4000, 16, 0)
    assert np.linalg.norm(x, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.abs(x.mean(0)).max() < 0.02
    assert np.abs(x.T @ x / len(x) - np.eye(16) / 16).max() < 0.01


def test_permuted_vectors_have_an_images_values_in_another_order() -> None:
    points = np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
    rows = np.arange(10, 20)
    x = permuted(points, rows, 30, 0)
    originals = {tuple(np.sort(p)) for p in points[rows]}
    assert {tuple(np.sort(row)) for row in x} <= originals
    assert not {tuple(row) for row in x} & {tuple(p) for p in points}


def test_the_seed_decides() -> None:
    points, rows = np.eye(8, dtype=np.float32), np.arange(8)
    for draw in (lambda s: isotropic(9, 8, s), lambda s: noise_images(2, s), lambda s: permuted(points, rows, 9, s)):
        assert np.array_equal(draw(1), draw(1))
        assert not np.array_equal(draw(1), draw(2))
    assert noise_images(2, 0).shape == (2, 64, 64, 3)
