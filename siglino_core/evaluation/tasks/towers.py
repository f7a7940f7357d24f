"""The text sides that views are compared with: each is loaded once, and what it says of a text is kept.

Legend: B texts, C width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.texts import HasTexts, load_texts
from siglino_core.teachers.text import TextTower


class Towers:
    """Text sides by spec."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._towers: dict[str, TextTower] = {}
        self._held: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}

    def of(self, network: HasTexts, view: str, weights: str = "", cleaning: str = "canonical") -> "Texts":
        """The text side of a network's view.

        Raises:
            ConfigError: as `siglino_core.evaluation.network.texts.load_texts`.
        """
        spec = network.texts[view]
        if (key := f"{spec} {weights} {cleaning}") not in self._towers:
            self._towers[key] = load_texts(network, view, self._device, weights, cleaning)
        tower = self._towers[key]
        if tower.dim != network.views[view]:
            raise ConfigError(
                f"{spec}: its vectors are {tower.dim} wide, and those of view {view} {network.views[view]}"
            )
        return Texts(spec=spec, cleaning=tower.cleaning, features=partial(self._features, key))

    def _features(self, key: str, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, fp32 [B, C]."""
        held = key, tuple(texts)
        if held not in self._held:
            self._held[held] = self._towers[key].features(list(texts)).cpu().numpy()
        return self._held[held]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A view's text side.

    Attributes:
        cleaning: what is done to texts before they are read.
        features: unit vectors of texts, fp32 [B, C].
    """

    spec: str
    cleaning: str
    features: Callable[[Sequence[str]], np.ndarray]

    @property
    def told(self) -> dict[str, str]:
        """For a result's parameters: which it is, but not where it lies."""
        return {"text": self.spec.partition(":")[0], "cleaning": self.cleaning}
