"""Two heads in retrieval, in blocks: the same ranks as from whole matrices, whatever a block's size."""

import numpy as np
import pytest

from siglino_core.evaluation import arrays, retrieval
from siglino_core.evaluation.arrays import cosines
from siglino_core.evaluation.calibrated import calibrate_retrieval, mix_retrieval
from siglino_core.evaluation.ensemble import average, ensemble
from siglino_core.evaluation.retrieval import Ranks, ranks
from siglino_core.evaluation.tasks.retrieval_heads import (
    FITTED,
    Head,
    average_ranks,
    calibrated_ranks,
    fitted,
    siglino_ranks,
)
from tests.siglino_core.evaluation.tasks.made import axis, features

RNG = np.random.default_rng(5)
IMAGE_M = RNG.integers(9, size=20)
PAIRS = [Head.of(RNG.standard_normal((9, d)), RNG.standard_normal((20, d))) for d in (4, 6)]
COSINES = [cosines(h.images_ND, h.texts_MD) for h in PAIRS]


@pytest.fixture(params=[arrays.CELLS, 41], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CELLS", request.param)


def same(found: Ranks, expected: Ranks) -> bool:
    names = ("text_to_image_M", "image_to_text_Q", "images_Q")
    return all(getattr(found, n).tolist() == getattr(expected, n).tolist() for n in names)


def test_the_released_form_and_the_mean() -> None:
    whole = ranks(ensemble(*COSINES).astype(np.float32), IMAGE_M)
    assert same(siglino_ranks(*PAIRS, IMAGE_M), whole)
    assert same(average_ranks(*PAIRS, IMAGE_M), ranks(average(*COSINES).astype(np.float32), IMAGE_M))


def test_each_direction_is_mixed_over_its_own_candidates() -> None:
    mixes = calibrate_retrieval(*COSINES, IMAGE_M)
    for_texts, for_images = mix_retrieval(*COSINES, *mixes)
    found = calibrated_ranks(*PAIRS, IMAGE_M, *mixes)
    assert found.text_to_image_M.tolist() == ranks(for_texts, IMAGE_M).text_to_image_M.tolist()
    assert found.image_to_text_Q.tolist() == ranks(for_images, IMAGE_M).image_to_text_Q.tolist()
    assert found.images_Q.tolist() == sorted(set(IMAGE_M.tolist()))
    assert mixes[0] != mixes[1]


def test_ties_count_against() -> None:
    alike = Head.of(np.ones((4, 3)), np.ones((5, 3)))
    image_M = np.array([0, 1, 2, 3, 3])
    mixes = calibrate_retrieval(np.eye(2), np.eye(2), [0, 1])
    for found in (siglino_ranks(alike, alike, image_M), calibrated_ranks(alike, alike, image_M, *mixes)):
        assert found.text_to_image_M.tolist() == [4] * 5
        assert found.image_to_text_Q.tolist() == [5, 5, 5, 4]


def test_a_block_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CELLS", 41)
    seen = []
    by_images = Head.by_images
    monkeypatch.setattr(Head, "by_images", lambda self, rows: seen.append(by_images(self, rows)) or seen[-1])
    siglino_ranks(*PAIRS, IMAGE_M)
    assert max(block.size for block in seen) <= 41
    assert retrieval.blocks is arrays.blocks


def test_temperatures_are_fitted_to_one_caption_an_image_of_some_images() -> None:
    texts = {"siglip2": axis(8), "dinov3": axis(10)}
    train = features([*"abab"], captions=[("1 a", "2 b"), (), ("3 a",), ("4 b",)], split="train")
    mixes = fitted(train, texts, "siglip2", "dinov3", 0)
    assert mixes is not None
    assert [m.n for m in mixes] == [3, 3]
    assert fitted(None, texts, "siglip2", "dinov3", 0) is None
    assert fitted(features("a", captions=[("1 a",)]), texts, "siglip2", "dinov3", 0) is None


def test_no_more_images_than_are_needed_are_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"siglip2": axis(8), "dinov3": axis(10)}
    monkeypatch.setattr("siglino_core.evaluation.tasks.retrieval_heads.FITTED", 4)
    train = features([*"abcd"] * 5, captions=[(f"{i} {c}",) for i, c in enumerate([*"abcd"] * 5)], noise=0.2)
    found = [fitted(train, texts, "siglip2", "dinov3", seed) for seed in (0, 0, 1)]
    assert all(mixes is not None and mixes[0].n == 4 for mixes in found)
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert FITTED == 1000
