"""What knows nothing scores at chance, and chance is what a simulation says."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.classification import classified
from siglino_core.evaluation.retrieval import I2T, T2I, recall_at_k
from siglino_core.evaluation.sanity import chance, chance_recall, constant, permuted, shuffled_texts


def test_chance() -> None:
    found = chance([0, 0, 0, 2], 5)
    assert (found.uniform, found.majority) == (0.2, 0.75)


def test_permuted_labels() -> None:
    labels = np.repeat(np.arange(5), 200)
    found = permuted(labels, 1)
    np.testing.assert_array_equal(found, permuted(labels, 1))
    assert (found != permuted(labels, 2)).any()
    np.testing.assert_array_equal(np.sort(found), labels)
    assert classified(np.eye(5)[labels], found).top1 == pytest.approx(0.2, abs=0.05)


def test_constant_features() -> None:
    found = constant(np.random.default_rng(0).normal(size=(4, 3)))
    assert (found.shape, found.dtype, len(np.unique(found))) == ((4, 3), np.float32, 1)


@pytest.mark.parametrize("images", [2, 3, 40])
def test_no_text_keeps_its_image(images: int) -> None:
    text_to_image = np.repeat(np.arange(images), 3)
    for seed in range(10):
        found = shuffled_texts(text_to_image, images, seed)
        assert (found != text_to_image).all()
        assert (np.bincount(found, minlength=images) == 3).all()
        np.testing.assert_array_equal(found, shuffled_texts(text_to_image, images, seed))


def test_shuffled_texts_find_nothing() -> None:
    text_to_image = np.repeat(np.arange(40), 2)
    similarity = np.eye(40)[:, text_to_image] + 0.01 * np.random.default_rng(0).normal(size=(40, 80))
    assert recall_at_k(similarity, text_to_image)[T2I][1] == 1.0
    found = recall_at_k(similarity, shuffled_texts(text_to_image, 40))
    assert found[T2I][1] == found[I2T][1] == 0.0


@pytest.mark.parametrize("k", [1, 5, 10])
def test_recall_by_chance(k: int) -> None:
    rng = np.random.default_rng(1)
    text_to_image = np.array([0, 0, 0, 1, 2, 2, 4, 5, 6, 7, 8, 9])
    found = [recall_at_k(rng.normal(size=(10, 12)), text_to_image, [k]) for _ in range(600)]
    expected = chance_recall(text_to_image, 10, k)
    for direction in T2I, I2T:
        assert np.mean([f[direction][k] for f in found]) == pytest.approx(expected[direction], abs=0.02)


def test_recall_by_chance_by_hand() -> None:
    assert chance_recall([0, 0, 1], 2, 1) == {T2I: 0.5, I2T: pytest.approx((2 / 3 + 1 / 3) / 2)}
    assert chance_recall([0, 0, 1], 2, 2) == {T2I: 1.0, I2T: pytest.approx((1 + 2 / 3) / 2)}
    assert chance_recall([0, 0, 1], 2, 9) == {T2I: 1.0, I2T: 1.0}


def test_refused() -> None:
    with pytest.raises(DataError, match="1 images"):
        shuffled_texts([0], 1)
    with pytest.raises(DataError, match="labels say 3"):
        chance([3], 3)
    with pytest.raises(DataError, match="no samples"):
        chance([], 3)
    with pytest.raises(DataError, match="no texts"):
        chance_recall([], 3, 1)
