"""The cheap student, against scikit-learn's kernel ridge regression; its explained variance is a mean over labels."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.kernel_ridge import KernelRidge

from siglino_core.evaluation.samples import student as students
from siglino_core.evaluation.samples.student import Exam, bandwidth, kernel, student

RNG = np.random.default_rng(0)
MAP = RNG.normal(size=(12, 5))


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = RNG.uniform(0, 255, (n, 12)).astype(np.float32)
    return pixels, np.tanh((pixels - 128) @ MAP / 300).astype(np.float32)


def test_as_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    (pixels, features), (test, _) = images(60), images(25)
    width = bandwidth(pixels)
    model = KernelRidge(alpha=students.STRENGTH, kernel="rbf", gamma=1 / (2 * width**2))
    mean = features.mean(0, dtype=np.float64)
    expected = model.fit(pixels.astype(float), features - mean).predict(test.astype(float)) + mean
    assert student(pixels, features, test, width) == pytest.approx(expected)
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", 100)  # block by block
    assert student(pixels, features, test, width) == pytest.approx(expected)


def test_the_bandwidth_is_the_median_distance() -> None:
    pixels, _ = images(40)
    assert bandwidth(pixels) == pytest.approx(np.median(pdist(pixels.astype(float))))
    assert bandwidth(np.ones((5, 3))) == bandwidth(np.ones((1, 3))) == 1
    assert kernel(pixels[:1], pixels[:1], 2.0) == pytest.approx(1)


def test_explained_variance_weighs_labels_alike() -> None:
    pixels, features = images(40)
    label = np.repeat([0, 2], [36, 4])
    center, width = features.mean(0, dtype=np.float64), bandwidth(pixels)
    exam = Exam(pixels_NF=pixels, features_ND=features, label_N=label, center_D=center, width=width)
    train = images(50)
    error = np.square(features - student(*train, pixels, width)).sum(1)
    whole = np.square(features - center).sum(1)

    def by_label(values: np.ndarray) -> float:
        return (values[:36].mean() + values[36:].mean()) / 2

    assert exam.explained(*train) == pytest.approx(1 - by_label(error) / by_label(whole))


def test_more_images_teach_more_and_constant_ones_nothing() -> None:
    (pixels, features), label = images(200), np.arange(200) % 3
    center = features.mean(0, dtype=np.float64)
    exam = Exam(pixels_NF=pixels, features_ND=features, label_N=label, center_D=center, width=bandwidth(pixels))
    assert 0.1 < exam.explained(*images(30)) < exam.explained(*images(800)) < 1
    same = np.tile(center.astype(np.float32), (9, 1))
    assert exam.explained(images(9)[0], same) == pytest.approx(0, abs=1e-5)
