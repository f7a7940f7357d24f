"""Text sides: each is loaded once, what it said is kept, and one of another width is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from siglino_core.errors import ConfigError
from siglino_core.evaluation.tasks import towers as module
from siglino_core.evaluation.tasks.towers import Towers


@dataclass
class Tower:
    """A text side that counts what it is asked."""

    dim: int
    cleaning: str = "lower"
    asked: list[list[str]] = field(default_factory=list)

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked.append(list(texts))
        return torch.full((len(texts), self.dim), 0.5)


@dataclass
class Network:
    """One whose views v and w have the same text side."""

    views: dict[str, int] = field(default_factory=lambda: {"v": 4, "w": 4, "wide": 5})
    texts: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("v", "w", "wide"), "siglip2:/a/folder"))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Tower]:
    made: list[Tower] = []

    def load(network: object, view: str, device: str, weights: str, cleaning: str) -> Tower:
        made.append(Tower(dim=4))
        return made[-1]

    monkeypatch.setattr(module, "load_texts", load)
    return made


def test_a_text_side_is_loaded_once_and_asked_once(loaded: list[Tower]) -> None:
    towers = Towers()
    first, second = towers.of(Network(), "v"), towers.of(Network(), "w")
    assert len(loaded) == 1
    for texts in (first, second, first):
        found = texts.features(["a", "b"])
        assert (found.shape, found.dtype) == ((2, 4), np.float32)
    assert loaded[0].asked == [["a", "b"]]
    first.features(("b", "a"))
    assert loaded[0].asked[1:] == [["b", "a"]]
    towers.of(Network(), "v", "other/weights")
    assert len(loaded) == 2


def test_a_result_is_told_which_it_is_but_not_where(loaded: list[Tower]) -> None:
    assert Towers().of(Network(), "v").told == {"text": "siglip2", "cleaning": "lower"}


def test_another_width_is_refused(loaded: list[Tower]) -> None:
    towers = Towers()
    towers.of(Network(), "v")
    with pytest.raises(ConfigError, match="siglip2:/a/folder: its vectors are 4 wide, and those of view wide 5"):
        towers.of(Network(), "wide")
