"""What a run must know of a frozen network before it is built: a finished run is then told so without one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Self

from siglino_core.encoders.flops import Flops
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Card:
    """A frozen network, whether it embeds a pool, teaches a student, or is evaluated.

    Attributes:
        name: one word; as a teacher it names the student's head.
        dim: width of its features.
        identity: a hash of the weights and of what else shapes the output; of one identity, one set of features.
        pooled: its summary is its own attention pooling over its tokens, which a student then copies.
        patches: it gives features for patches.
        registers: how many, beside its summary.
        patch_size: side of the patches that it takes, in pixels.
        native: as a teacher it sees images at the student's size; else they are resized to ``preprocess.size``.
        preprocess: the pixels that it embeds; None: it takes packs of patches alone.
        flops: of one image, by its pixels; for prices alone.
        parameters: how many weights; for prices alone.

    Raises:
        ConfigError: a value that cannot be, such as a name that is no word or a width below 1.
    """

    name: str
    dim: int
    identity: str
    pooled: bool = False
    patches: bool = True
    registers: int = 0
    patch_size: int = 16
    native: bool = field(default=True, compare=False)
    preprocess: Preprocess | None = None
    flops: Flops = field(default_factory=Flops, compare=False)
    parameters: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name == "siglino":
            raise ConfigError(f"a card named {self.name!r}: a word (letters, digits, _), and not 'siglino'")
        least = {"dim": 1, "patch_size": 1, "registers": 0, "parameters": 0}
        for key, bound in least.items():
            value = getattr(self, key)
            if not isinstance(value, Integral) or value < bound:
                raise ConfigError(f"the card of {self.name}: {key}={value!r}, a whole number from {bound}")
        for key, kind in {"identity": str, "preprocess": Preprocess | None, "flops": Flops}.items():
            if not isinstance(getattr(self, key), kind):
                raise ConfigError(f"the card of {self.name}: {key}={getattr(self, key)!r} is of another type")

    @property
    def pixels(self) -> Preprocess:
        """How it wants its pixels.

        Raises:
            ConfigError: it takes packs of patches alone.
        """
        if self.preprocess is None:
            raise ConfigError(f"{self.name}: its card says no `preprocess`, so that it cannot embed images")
        return self.preprocess

    def image_flops(self, pixels: float) -> float:
        """FLOPs of one image of so many pixels, as the network gets to see it."""
        return self.flops(pixels if self.native or self.preprocess is None else self.preprocess.size**2)

    def deciding(self) -> dict[str, Any]:
        """What decides the bytes of a teacher's targets, as plain values; :meth:`read` takes it back."""
        return {name: getattr(self, name) for name in DECIDING}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """A card from what a manifest holds of it, whatever else lies there."""
        return cls(**{k: v for k, v in stored.items() if k in DECIDING})


DECIDING = ("name", "dim", "identity", "pooled", "patches", "registers", "patch_size")
