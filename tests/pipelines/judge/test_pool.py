"""Pools of arrays: what is read, and every fault in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.judge import pool as module
from pipelines.judge.pool import of_arrays
from siglino_core.errors import DataError

RNG = np.random.default_rng(0)
X, LABEL = RNG.normal(size=(12, 5)), np.arange(12) % 3


def saved(folder: Path, **arrays: Any) -> dict[str, str]:
    for name, values in {"embeddings": X, "labels": LABEL, **arrays}.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=True)
    return {name: str(folder / f"{name}.npy") for name in {"embeddings": 0, "labels": 0, **arrays}}


def test_what_is_read(tmp_path: Path) -> None:
    label = LABEL.copy()
    label[[1, 4]] = -1
    pool = of_arrays(
        **saved(tmp_path, labels=label + 7 * (label >= 0), pixels=np.arange(144, dtype=np.uint8).reshape(12, 2, 2, 3))
    )
    assert pool.unit_ND == pytest.approx(X / np.linalg.norm(X, axis=1, keepdims=True), abs=1e-3)
    assert np.array_equal(pool.unit_ND, pool.unit_ND.astype(np.float16))  # as the embed stage stores it
    assert pool.names == ["7", "8", "9"]
    assert pool.label_N.tolist() == label.tolist()
    assert pool.pixels_NF is not None
    assert pool.pixels_NF.shape == (12, 12)
    assert len(set(pool.ids)) == len(set(pool.bits_N.tolist())) == len(pool) == 12


def test_texts_are_labels_and_empty_ones_are_none(tmp_path: Path) -> None:
    pool = of_arrays(**saved(tmp_path, labels=np.array(["cat", "", "dog"] * 4)))
    assert (pool.names, pool.label_N.tolist()[:3]) == (["cat", "dog"], [0, -1, 1])


def test_lengths_that_overflow_are_no_fault(tmp_path: Path) -> None:
    pool = of_arrays(**saved(tmp_path, embeddings=X * 1e200))
    assert np.linalg.norm(pool.unit_ND, axis=1) == pytest.approx(1, abs=1e-3)


def changed(row: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"embeddings": changed(3, np.nan)}, "row 3 is not finite. Leave such rows out."),
        ({"embeddings": changed(5, 0)}, "row 5 is all zeros, and has no direction. Leave such rows out."),
        ({"embeddings": np.zeros((12, 5))}, "row 0 is all zeros, and has no direction, and 11 more."),
        ({"embeddings": X[0]}, "is float64 of shape (5,): numbers of shape [N, D] are needed."),
        ({"embeddings": X.astype(str)}, "of shape (12, 5): numbers of shape [N, D] are needed."),
        ({"embeddings": X[:0]}, "of shape (0, 5): numbers of shape [N, D] are needed."),
        ({"labels": LABEL[:9]}, "embeddings.npy has 12 rows and "),
        ({"labels": LABEL[:9]}, "labels.npy 9: each row needs its label."),
        ({"labels": LABEL[:, None]}, "has shape (12, 1): one label an image, shape [N], is needed."),
        ({"labels": LABEL.astype(object)}, "holds pickled objects, which are not loaded: they may run code."),
        ({"labels": LABEL / 2}, "is float64: whole numbers or texts are needed."),
        ({"labels": LABEL * 0 + 4}, "1 label (4); what a sample teaches needs at least two."),
        ({"labels": LABEL * 0 - 1}, "0 label; what a sample teaches needs at least two."),
        ({"pixels": X[:9]}, "of shape (9, 5) for 12 embeddings: numbers of shape [N, ...] are needed."),
        ({"embeddings": X.astype(object)}, "Save numbers (for example embeddings.astype(np.float32))."),
        ({"labels": LABEL.astype(object)}, "Save numbers or texts (for example labels.astype(str))."),
        ({"pixels": X[:, :0]}, "has shape (12, 0): a side is 0, so that no image has a pixel."),
        ({"pixels": X[:, :1] * 0 + 7}, "all 12 images are equal, so that no student can tell one from another."),
        ({"pixels": changed(2, np.inf)}, "pixels.npy: row 2 is not finite."),
    ],
)
def test_faults(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        of_arrays(**saved(tmp_path, **arrays))
    assert said in str(caught.value)
    assert len(caught.value.args) == 1


def test_files_that_are_none(tmp_path: Path) -> None:
    paths = saved(tmp_path)
    with pytest.raises(DataError, match=r"labels=/nowhere\.npy cannot be read \(No such file"):
        of_arrays(paths["embeddings"], "/nowhere.npy")
    (tmp_path / "text.npy").write_text("1,2,3")
    with pytest.raises(DataError, match=r"text\.npy is no \.npy file; numpy\.save writes one\."):
        of_arrays(paths["embeddings"], str(tmp_path / "text.npy"))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "labels.npy").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.npy is damaged"):
        of_arrays(paths["embeddings"], str(tmp_path / "cut.npy"))


def test_more_than_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 11)
    with pytest.raises(DataError, match="has 12 images: the judge holds them in memory, and takes 11 at most"):
        of_arrays(**saved(tmp_path))
