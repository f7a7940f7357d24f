"""Labels of the nearest patches: by hand, in any chunks, from a memory that does not depend on the order."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.segmentation import patch_retrieval
from siglino_core.evaluation.segmentation.patch_retrieval import Memory, PatchRetrieval
from tests.siglino_core.evaluation.segmentation.splits import Listed, blocks

CLASSES = 4


def memory(split: Listed, size: int = 10_000, seed: int = 0) -> Memory:
    return Memory.of(split, num_classes=CLASSES, size=size, seed=seed)


def sorted_rows(x: torch.Tensor) -> np.ndarray:
    return np.unique(x.numpy(), axis=0)


def test_two_neighbours_by_hand() -> None:
    train = Listed([("a", np.array([[[1, 0], [0, 1], [-1, 0]]], np.float16), np.array([[0, 1, 2]], np.uint8))])
    found = PatchRetrieval(memory=Memory.of(train, num_classes=3), k=2, temperature=0.5)
    shares = found.shares(torch.tensor([[3.0, 4.0]]))  # cosines 0.6, 0.8, -0.6
    weights = np.exp([0.6 / 0.5, 0.8 / 0.5])
    assert np.allclose(shares.numpy(), [[*(weights / weights.sum()), 0]], atol=1e-6)


def test_it_finds_the_classes_of_other_images() -> None:
    found = PatchRetrieval(memory=memory(blocks(0, 10, ragged=True)))
    counts = found.measure(blocks(1, 4, ragged=True))
    assert len(counts) == 4
    assert counts.mean_iou() > 0.75


def test_features_without_meaning_give_chance() -> None:
    noise = blocks(1, 4)
    rng = np.random.default_rng(0)
    noise.images = [(i, rng.standard_normal(x.shape).astype(np.float16), y) for i, x, y in noise.images]
    assert PatchRetrieval(memory=memory(blocks(0, 10))).measure(noise).mean_iou() < 0.3


def test_it_is_the_plain_formula_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    held = memory(blocks(0, 6))
    x_QD = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    near_QM = F.normalize(x_QD, dim=1) @ held.features_MD.T
    top_QK, at_QK = near_QM.topk(30, dim=1)
    plain = ((top_QK / 0.02).softmax(1)[:, :, None] * held.shares_MC[at_QK]).sum(1)
    assert torch.allclose(PatchRetrieval(memory=held).shares(x_QD), plain, atol=1e-5)
    monkeypatch.setattr(patch_retrieval, "SIMILARITIES", 50 * 37)
    assert torch.allclose(PatchRetrieval(memory=held).shares(x_QD), plain, atol=1e-5)


def test_more_neighbours_than_patches_are_all_patches() -> None:
    held = memory(blocks(0, 1, grid=(2, 2)))
    every = PatchRetrieval(memory=held, k=1000, temperature=1e6)
    assert every.describe() == {"k": 4, "temperature": 1e6, "memory": 4, "train_patches": 4}
    assert torch.allclose(every.shares(torch.randn(3, 16)), held.shares_MC.mean(0).expand(3, -1), atol=1e-5)


def test_the_memory_is_a_uniform_sample_that_the_order_does_not_change() -> None:
    split = blocks(0, 30)
    whole, some = memory(split), memory(split, 200)
    assert whole.seen == some.seen == len(whole) == 30 * 36
    assert len(some) == 200
    back = Listed(split.images[::-1])
    assert np.array_equal(sorted_rows(some.features_MD), sorted_rows(memory(back, 200).features_MD))
    assert not np.array_equal(sorted_rows(some.features_MD), sorted_rows(memory(split, 200, seed=1).features_MD))
    rows = {row.tobytes(): (image, at) for image in range(30) for at, row in enumerate(whole_rows(split, image))}
    found = np.array([rows[r.tobytes()] for r in some.features_MD.numpy()])
    assert np.bincount(found[:, 0]).max() < 20  # 6.7 an image; a memory of the first or last ones has 36 of each
    assert np.bincount(found[:, 1]).max() < 20  # 5.6 at a place of the grid


def whole_rows(split: Listed, image: int) -> np.ndarray:
    return F.normalize(torch.from_numpy(split.images[image][1]).float().view(-1, 16), dim=1).numpy()


def test_patches_without_a_label_are_not_remembered() -> None:
    split = blocks(0, 2)
    i, x, y = split.images[0]
    held = memory(Listed([(i, x, np.where(np.arange(24)[:, None] < 12, 255, y).astype(np.uint8))]))
    assert held.seen == len(held) == 18
    assert torch.allclose(held.shares_MC.sum(1), torch.ones(18))
    with pytest.raises(DataError, match="no patch of the train split has a labelled pixel"):
        memory(Listed([(i, x, np.full_like(y, 255))]))


def test_features_of_another_width_are_named() -> None:
    with pytest.raises(DataError, match="000: features of 8, in memory of 16"):
        PatchRetrieval(memory=memory(blocks(0, 2))).measure(blocks(0, 1, width=8))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="k=0"):
        PatchRetrieval(memory=memory(blocks(0, 2)), k=0)
    with pytest.raises(ConfigError, match="temperature=0"):
        PatchRetrieval(memory=memory(blocks(0, 2)), temperature=0)
    with pytest.raises(ConfigError, match="memory of 0"):
        memory(blocks(0, 2), 0)
