"""Ranks are those of plain loops, ties count against, and images may have any number of captions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import cosines, unit
from siglino_core.evaluation.retrieval import (
    I2T,
    T2I,
    median_rank,
    ranks,
    ranks_by_blocks,
    recall_at_k,
    recalls,
    retrieval_ranks,
    share_within,
    text_ranks_by_blocks,
)


def by_loop(similarity: np.ndarray, text_to_image: np.ndarray) -> tuple[list[int], list[int]]:
    n, m = similarity.shape
    texts = []
    for t in range(m):
        own = text_to_image[t]
        texts.append(1 + sum(similarity[i, t] >= similarity[own, t] for i in range(n) if i != own))
    images = []
    for i in range(n):
        own = [t for t in range(m) if text_to_image[t] == i]
        if own:
            best = max(similarity[i, t] for t in own)
            images.append(1 + sum(similarity[i, t] >= best for t in range(m) if t not in own))
    return texts, images


@given(st.integers(1, 8), st.integers(1, 14), st.integers(0, 999), st.sampled_from([0, 1, 6]))
def test_against_loops(n: int, m: int, seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, text_to_image = np.round(rng.normal(size=(n, m)), digits), rng.integers(0, n, size=m)
    found = ranks(similarity, text_to_image)
    texts, images = by_loop(similarity.astype(np.float32), text_to_image)
    assert found.text_to_image_M.tolist() == texts
    assert found.image_to_text_Q.tolist() == images
    assert found.images_Q.tolist() == sorted(set(text_to_image))


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity, text_to_image = np.round(rng.normal(size=(6, 15)), 1), rng.integers(0, 6, size=15)
    rows, columns = rng.permutation(6), rng.permutation(15)
    moved = np.argsort(rows)[text_to_image[columns]]
    assert recall_at_k(similarity[rows][:, columns], moved) == recall_at_k(similarity, text_to_image)


def test_by_hand() -> None:
    similarity = np.array(
        [
            [0.9, 0.2, 0.8, 0.1],  # image 0 has texts 0 and 1
            [0.3, 0.7, 0.8, 0.9],  # image 1 has text 2
            [0.1, 0.7, 0.5, 0.6],  # image 2 has text 3
        ]
    )
    found = ranks(similarity, [0, 0, 1, 2])
    # text 1: both other images are nearer; text 2 ties with image 0; text 3: image 1 is nearer
    assert found.text_to_image_M.tolist() == [1, 3, 2, 2]
    # image 1: text 3 is nearer; image 2: text 1 is
    assert found.image_to_text_Q.tolist() == [1, 2, 2]
    assert recalls(found, (1, 2)) == {T2I: {1: 0.25, 2: 0.75}, I2T: {1: pytest.approx(1 / 3), 2: 1.0}}
    assert median_rank(found.text_to_image_M) == 2.0
    assert median_rank(np.array([1, 4])) == 2.5


def test_own_texts_do_not_push_one_another_down() -> None:
    same = ranks(np.array([[0.9, 0.9, 0.9, 0.1]]), [0, 0, 0, 0])
    assert same.image_to_text_Q.tolist() == [1]
    tie = ranks(np.array([[0.9, 0.9, 0.9], [0.0, 0.0, 0.0]]), [0, 0, 1])
    assert tie.image_to_text_Q.tolist() == [2, 3]  # the wrong text that ties counts against


@pytest.mark.parametrize("width", [1, 7, 1031])
def test_constant_features_find_nothing(width: int) -> None:
    texts = np.arange(90) // 3
    found = retrieval_ranks(np.full((30, width), 0.1), np.full((90, width), 0.7), texts)
    assert set(found.text_to_image_M) == {30}
    assert set(found.image_to_text_Q) == {88}
    assert recalls(found)[T2I][1] == recalls(found)[I2T][10] == 0.0
    assert recall_at_k(np.zeros((30, 90)), texts)[T2I] == {1: 0.0, 5: 0.0, 10: 0.0}


def test_features_in_blocks_are_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    images, texts, text_to_image = rng.normal(size=(23, 5)), rng.normal(size=(61, 5)), rng.integers(0, 20, size=61)
    images[3], texts[7] = images[4], texts[8] * 2  # ties
    whole = ranks(cosines(unit(images, dtype=np.float64), unit(texts, dtype=np.float64)), text_to_image)
    for cells in 1 << 24, 200, 1:
        monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", cells)
        found = retrieval_ranks(images, texts, text_to_image)
        np.testing.assert_array_equal(found.text_to_image_M, whole.text_to_image_M)
        np.testing.assert_array_equal(found.image_to_text_Q, whole.image_to_text_Q)


def test_an_image_without_texts_is_a_candidate_only() -> None:
    similarity = np.array([[0.5, 0.1], [0.6, 0.2], [0.0, 0.9]])
    found = ranks(similarity, [0, 2])
    assert found.text_to_image_M.tolist() == [2, 1]  # image 1 is nearer to text 0 than its own
    assert found.images_Q.tolist() == [0, 2]
    assert found.image_to_text_Q.tolist() == [1, 1]


def test_similarities_are_not_changed() -> None:
    similarity = np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    before = similarity.copy()
    ranks(similarity, [0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(similarity, before)


def test_against_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.retrieval")
    rng = np.random.default_rng(3)
    similarity, text_to_image = rng.normal(size=(12, 40)), rng.integers(0, 12, size=40)
    similarity[text_to_image, np.arange(40)] += 1.5
    found = recall_at_k(similarity, text_to_image)
    right = torch.from_numpy(np.arange(12)[:, None] == text_to_image)
    scores = torch.from_numpy(similarity)
    hit = functional.retrieval_hit_rate
    for k in 1, 5, 10:
        texts = [hit(scores[:, t], right[:, t], top_k=k) for t in range(40)]
        images = [hit(scores[i], right[i], top_k=k) for i in range(12) if right[i].any()]
        assert found[T2I][k] == pytest.approx(float(torch.stack(texts).mean()))
        assert found[I2T][k] == pytest.approx(float(torch.stack(images).mean()))


def test_half_precision_is_cast_before_it_is_multiplied() -> None:
    rng = np.random.default_rng(4)
    images, texts = torch.from_numpy(rng.normal(size=(50, 16)) + 4), torch.from_numpy(rng.normal(size=(50, 16)) + 4)
    found = retrieval_ranks(images.bfloat16(), texts.bfloat16(), np.arange(50))
    single = retrieval_ranks(images.bfloat16().float(), texts.bfloat16().float(), np.arange(50))
    np.testing.assert_array_equal(found.text_to_image_M, single.text_to_image_M)
    normal = [torch.nn.functional.normalize(x, dim=1).bfloat16() for x in (images, texts)]
    coarse = ranks(normal[0] @ normal[1].T, np.arange(50))
    assert (coarse.text_to_image_M != found.text_to_image_M).any()


def test_shares() -> None:
    assert share_within(np.array([1, 2, 5]), 2) == pytest.approx(2 / 3)
    assert share_within(np.array([1, 2, 5]), 2, missed=1) == 0.5
    with pytest.raises(DataError, match="k = 0"):
        share_within(np.array([1]), 0)
    with pytest.raises(DataError, match="no queries"):
        share_within(np.array([]), 1)


@pytest.mark.parametrize(
    ("similarity", "text_to_image", "says"),
    [
        (np.zeros((2, 2)), [0, 2], "say 2 in row 1"),
        (np.zeros((2, 2)), [0], "for 2 rows"),
        (np.zeros((2, 0)), [], "no texts"),
        (np.array([[0, np.nan]]), [0, 0], "row 0 of similarities is not finite"),
    ],
)
def test_refused(similarity: np.ndarray, text_to_image: list[int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        ranks(similarity, text_to_image)


def test_features_refused() -> None:
    with pytest.raises(DataError, match="2 and 3 wide"):
        retrieval_ranks(np.ones((2, 2)), np.ones((2, 3)), [0, 1])
    with pytest.raises(DataError, match="row 1 of features of texts is all zeros"):
        retrieval_ranks(np.ones((2, 2)), np.eye(2) * [1, 0], [0, 1])


@pytest.mark.parametrize("cells", [1, 23, 1 << 20])
def test_ranks_by_blocks_are_those_of_the_whole(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", cells)
    rng = np.random.default_rng(0)
    similar_NM = rng.integers(5, size=(7, 11)).astype(np.float32)  # many ties
    image_M = rng.integers(7, size=11)
    whole = ranks(similar_NM, image_M)
    found = ranks_by_blocks(lambda rows: similar_NM[rows].copy(), image_M, 7)
    assert found.text_to_image_M.tolist() == whole.text_to_image_M.tolist()
    assert found.image_to_text_Q.tolist() == whole.image_to_text_Q.tolist()
    assert found.images_Q.tolist() == whole.images_Q.tolist()
    by_text = text_ranks_by_blocks(lambda rows: similar_NM.T[rows], image_M, 7)
    assert by_text.tolist() == whole.text_to_image_M.tolist()
    for refused in (ranks_by_blocks, text_ranks_by_blocks):
        with pytest.raises(DataError, match="no texts"):
            refused(lambda rows: similar_NM[rows], np.empty(0, np.int64), 7)
        with pytest.raises(DataError, match="text_to_image"):
            refused(lambda rows: similar_NM[rows], image_M, 3)
