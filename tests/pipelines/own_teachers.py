"""Teachers of the tests' own: mean colours, and what can go wrong with them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from siglino_core.encoders.card import Card
from siglino_core.teachers.teacher import Targets


class Own:
    """A teacher of the test's: mean colours, and what goes wrong."""

    def __init__(self, dim: int = 8, *, name: str = "own", patch_size: int = 16, **card: Any) -> None:
        self.card = Card(name=name, dim=dim, identity=name, patch_size=patch_size, **card)

    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        x_NC = patches_NV[:, : self.card.dim]
        summaries = torch.stack([x.mean(0) for x in x_NC.split([h * w for h, w in shapes])])
        return self.changed(Targets(summaries, x_NC))

    def changed(self, told: Targets) -> Targets:
        return told


class Constant(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(summaries=torch.full_like(told.summaries, 0.3))


class NotFinite(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(patches=None if told.patches is None else told.patches * torch.nan)


class Flat(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(patches=None)


class Huge(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(summaries=told.summaries * 1e6)


class Wrong(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(summaries=told.summaries[:, :5])


class Lopsided(Own):
    def changed(self, told: Targets) -> Targets:
        return told._replace(summaries=told.summaries * torch.tensor([100.0] + [1.0] * 7))


def own(device: str, dtype: torch.dtype) -> Own:
    return Own()


def constant(device: str, dtype: torch.dtype) -> Own:
    return Constant()


def not_finite(device: str, dtype: torch.dtype) -> Own:
    return NotFinite()


def huge(device: str, dtype: torch.dtype) -> Own:
    return Huge()


def wrong(device: str, dtype: torch.dtype) -> Own:
    return Wrong()


def lopsided(device: str, dtype: torch.dtype) -> Own:
    return Lopsided()


def flat(device: str, dtype: torch.dtype) -> Own:
    return Flat(name="flat", patches=False)


def headless(device: str, dtype: torch.dtype) -> Own:
    return Own(pooled=True)


def coarse(device: str, dtype: torch.dtype) -> Own:
    return Own(name="coarse", patch_size=32)


def spec_of(function: Any) -> str:
    return f"{__name__}:{function.__name__}"
