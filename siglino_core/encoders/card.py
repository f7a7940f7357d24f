"""What a run must know of an encoder before any network is built: a finished run is then told so without one."""

from dataclasses import dataclass

from siglino_core.encoders.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True)
class Card:
    """An encoder's pixels, its width, and an identity: two encoders of one identity give the same features."""

    identity: str
    preprocess: Preprocess
    dim: int
