"""Frozen encoders of images, and how a config names a frozen network: `siglino_core.networks` is their door."""

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import Flops
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec

__all__ = ["Card", "Flops", "Preprocess", "Spec"]
