"""The linear probe of segmentation: one head on frozen patches, its learning rate chosen on a part of the train split.

Legend: D width, C classes; h and w patches, H and W pixels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.segmentation.dense import Dense, samples
from siglino_core.evaluation.segmentation.head import Heads
from siglino_core.evaluation.segmentation.iou import IGNORE, Counts
from siglino_core.evaluation.segmentation.protocol import QUICK, STRICT, Protocol
from siglino_core.evaluation.segmentation.training import Run
from siglino_core.hashing import fingerprint, key_of

__all__ = ["QUICK", "STRICT", "Probe", "Protocol", "fit"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A fitted head, and how it was chosen.

    Attributes:
        learning_rate: the best of the sweep; of equals the lowest.
        sweep: mean IoU on the hold-out by learning rate; NaN: training diverged.
        hold_out: the images that chose it, by id.
        steps: of the final run.
    """

    protocol: Protocol
    head: Heads
    learning_rate: float
    sweep: Mapping[float, float]
    hold_out: Sequence[str]
    steps: int

    @property
    def at_an_end(self) -> bool:
        """Whether the best rate is the sweep's lowest or highest, so that a better one may lie beyond."""
        return self.learning_rate in (min(self.sweep), max(self.sweep))

    def describe(self) -> dict[str, Any]:
        """As plain values, for a result's parameters: the protocol, and what was chosen by it."""
        return {
            **self.protocol.describe(),
            "sweep": {str(rate): value for rate, value in self.sweep.items()},
            "learning_rate": self.learning_rate,
            "at_an_end": self.at_an_end,
            "steps": self.steps,
            "hold_out_images": len(self.hold_out),
            "hold_out_hash": fingerprint(sorted(self.hold_out)),
        }

    def predict(self, patches_hwD: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Class numbers uint16 [H, W] of an image."""
        return self.head.predict(patches_hwD, size)[0]

    def measure(self, split: Dense, ignore: int = IGNORE) -> Counts:
        """A row of counts for each image; raises `DataError` for features or labels that cannot be used."""
        rows = (
            Counts.of(self.predict(s.patches_hwD, s.mask_HW.shape), s.mask_HW, self.head.classes, ignore)
            for s in samples(split)
        )
        return Counts.joined(rows)


def fit(
    train: Dense,
    *,
    num_classes: int,
    protocol: Protocol = QUICK,
    seed: int = 0,
    device: str | torch.device = "cpu",
    ignore: int = IGNORE,
) -> Probe:
    """The probe of a train split. The test split has no part in it; the same seed gives the same probe.

    Args:
        train: read once to look at it, then once a round.

    Raises:
        ConfigError: a protocol that cannot be followed.
        DataError: fewer than two images with labels, features or labels that cannot be used, or training diverged at
            every rate.
    """
    rates = sorted(set(protocol.learning_rates))
    if not rates or rates[0] <= 0 or not 0 < protocol.hold_out < 1 or protocol.batch_size < 1:
        raise ConfigError(f"segmentation by protocol {protocol}: it needs learning rates, a hold-out and a batch")
    ids, width = _look(train, num_classes, ignore)
    held = _hold_out(ids, protocol.hold_out, seed)
    chosen, trial = set(held), Run(train, num_classes, width, protocol, seed, torch.device(device), ignore)
    heads = trial.fitted(rates, [i for i in ids if i not in chosen])
    sweep = dict(zip(rates, trial.scores(heads, chosen), strict=True))
    finite = {rate: value for rate, value in sweep.items() if not math.isnan(value)}
    if not finite:
        raise DataError(
            f"the linear probe diverged at every learning rate of {rates}: scale the features or lower them"
        )
    best = max(finite, key=lambda rate: (finite[rate], -rate))
    head = trial.fitted([best], ids)
    steps = trial.steps(len(ids))
    return Probe(protocol=protocol, head=head, learning_rate=best, sweep=sweep, hold_out=held, steps=steps)


def _look(train: Dense, num_classes: int, ignore: int) -> tuple[list[str], int]:
    """The ids of the images that have a labelled pixel, and the features' width. Others have nothing to teach."""
    ids: list[str] = []
    labelled: list[str] = []
    width = 0
    for sample in samples(train):
        labels = np.unique(sample.mask_HW)
        if wrong := [c for c in labels.tolist() if c != ignore and not 0 <= c < num_classes]:
            raise DataError(f"{sample.sample_id}: its label has class {wrong[0]}, and there are {num_classes}")
        ids.append(sample.sample_id)
        width = sample.patches_hwD.shape[2]
        if labels.tolist() != [ignore]:
            labelled.append(sample.sample_id)
    if len(set(ids)) != len(ids):
        raise DataError(f"{len(ids) - len(set(ids))} images of the train split have another one's id: rename them")
    if len(labelled) < 2:
        raise DataError(
            f"{len(labelled)} of {len(ids)} images of the train split have a labelled pixel: the linear probe needs "
            "two, one to choose its rate by"
        )
    return labelled, width


def _hold_out(ids: Sequence[str], share: float, seed: int) -> list[str]:
    """A share of the images by a keyed hash of their ids, at least one and not all: the same ones in any order."""
    count = min(len(ids) - 1, max(1, round(share * len(ids))))
    return sorted(ids, key=lambda i: (key_of(seed, "hold-out of segmentation", i), i))[:count]
