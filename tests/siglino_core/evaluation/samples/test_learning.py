"""Five splits of a labelled pool: a better sample is told better, a worse one worse, a random one neither."""

import numpy as np
import pytest

from siglino_core.evaluation.samples import learning
from siglino_core.evaluation.samples.learning import Images, compare
from tests.siglino_core.evaluation.samples.mixture import balanced, mixture

X, LABEL = mixture(head=1500)
IDS = np.random.default_rng(1).integers(0, 1 << 63, len(X)).astype(np.uint64)


def kept(rows: np.ndarray) -> Images:
    mask = np.zeros(len(X), bool)
    mask[rows] = True
    return Images(label_N=LABEL, ids_N=IDS, kept_N=mask)


SAMPLES = {
    "better": balanced(LABEL, np.ones(len(X), bool), 300, 0),
    "worse": np.flatnonzero(LABEL == 0)[:300],
    "random": np.random.default_rng(7).permutation(len(X))[:300],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_told_apart(name: str) -> None:
    images = kept(SAMPLES[name])
    found = compare(images, X, 0)
    assert found is not None
    d = found["difference"]["probe"]
    assert {"better": d["low"] > 0, "worse": d["high"] < 0, "random": d["low"] <= 0.05 and d["high"] >= -0.05}[name]
    assert d["mean"] == pytest.approx(found["curated"]["probe"]["mean"] - found["random"]["probe"]["mean"])
    assert (found["splits"], found["labels"], found["test"]) == (5, 25, 1500 // 4 + 24 * 5)
    assert d["n"] == 5


def test_nothing_of_the_test_trains_and_both_train_on_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    probe = learning.probe
    monkeypatch.setattr(learning, "probe", lambda a, al, b, bl, c: (seen.append((a, b)), probe(a, al, b, bl, c))[1])
    found = compare(kept(SAMPLES["better"]), np.c_[X, np.arange(len(X))].astype(np.float64), 0)
    assert found is not None
    assert len(seen) == 10
    for (ours, test), (random, same) in zip(seen[::2], seen[1::2], strict=True):
        assert np.array_equal(test, same)
        rows, others, tested = (set(a[:, -1].astype(int)) for a in (ours, random, test))
        assert not (rows | others) & tested
        assert len(rows) == len(others)
        assert rows == set(SAMPLES["better"]) - tested
        assert others != rows
    assert not np.array_equal(seen[0][1], seen[2][1])  # each split tests others


def test_a_sample_of_one_image_is_told_from_nothing() -> None:
    """Its splits may all agree: they share the one image, and say nothing of another."""
    label = np.arange(40) % 2
    x = np.eye(2)[label] + 0.01 * np.random.default_rng(0).normal(size=(40, 2))
    for row in range(8):
        mask = np.arange(40) == row
        found = compare(Images(label_N=label, ids_N=IDS[:40], kept_N=mask), x, 0)
        assert found is not None
        assert found["difference"]["probe"]["low"] < 0 < found["difference"]["probe"]["high"]


def test_a_large_pool_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "TESTED", 500)
    monkeypatch.setattr(learning, "TRAINED", 100)
    images = kept(SAMPLES["better"])
    needed = images.needed(0)
    assert np.isin(images.tested(0), needed).all()
    assert 500 < len(needed) <= 600
    found = compare(images.take(needed), X[needed], 0)
    assert found is not None
    assert found["train"] == 100
    assert 100 < found["test"] <= 125  # a quarter of each label of the 500


def test_too_few_images_a_label() -> None:
    images = Images(label_N=np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2]), ids_N=IDS[:10], kept_N=np.ones(10, bool))
    assert compare(images, X[:10], 0) is None
