"""Which images train which teacher: by the part of the mixture that an image comes from.

Source: Sariyildiz et al. 2025, "DUNE" (arXiv 2503.14405), which compares teachers that see all data with teachers that
see their own.

Legend: B images of a pass, N patches of all of them, V packs of a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siglino_core.config import Config, did_you_mean
from siglino_core.distillation.packing import Plan
from siglino_core.distillation.training.mixture import parts_of
from siglino_core.errors import ConfigError
from siglino_core.models import Features
from siglino_core.teachers.teacher import Targets


@dataclass(frozen=True)
class Chosen:
    """Some images of a pass: those that train one teacher.

    Attributes:
        rows_B: which of the pass's images, in order; int64, on its device.
        patches_N: their patches among all of the pass, likewise.
        counts: patches of each of them.
    """

    rows_B: Tensor
    patches_N: Tensor
    counts: list[int]

    @classmethod
    def of(cls, taught_B: np.ndarray, counts: Sequence[int], device: str | torch.device = "cpu") -> "Chosen":
        """Those for which ``taught_B`` is true; ``counts`` are the patches of all."""
        rows_B, patches_N = np.flatnonzero(taught_B), np.flatnonzero(np.repeat(taught_B, counts))
        return cls(
            rows_B=torch.from_numpy(rows_B).to(device),
            patches_N=torch.from_numpy(patches_N).to(device),
            counts=[count for count, taught in zip(counts, taught_B, strict=True) if taught],
        )

    def targets(self, of: Targets) -> Targets:
        """A teacher's targets of these images, from those of all."""
        return Targets(
            of.summaries[self.rows_B],
            None if of.patches is None else of.patches[self.patches_N],
            None if of.registers is None else of.registers[self.rows_B],
        )

    def features(self, of: Features, name: str) -> Features:
        """What the student says of these images under one name, from what it says of all."""
        found = Features({}, {name: of.summaries[name][self.rows_B]}, {})
        if name in of.patches:
            found.patches[name] = of.patches[name][self.patches_N]
        if name in of.registers:
            found.registers[name] = of.registers[name][self.rows_B]
        return found


@dataclass(frozen=True)
class Routes:
    """The teachers that each part of the mixture trains.

    Attributes:
        by_part: of each part, in the mixture's order, the teachers' names.
    """

    by_part: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, config: Config, teachers: Sequence[str]) -> "Routes":
        """By the config's parts.

        Args:
            teachers: names of those that there are.

        Raises:
            ConfigError: a part names a teacher that there is not or trains none that weighs anything, or a teacher is
                trained by no part.
        """
        parts = parts_of(config)
        for part in parts:
            for name in part.teachers:
                if name not in teachers:
                    hint = did_you_mean(name, list(teachers))
                    raise ConfigError(
                        f"train.parts: {part.name} trains teacher {name}, and targets.teachers are "
                        f"{', '.join(teachers)}{hint}"
                    )
        by_part = tuple(frozenset(part.teachers or teachers) for part in parts)
        for name in teachers:
            if not any(name in trained for trained in by_part):
                raise ConfigError(
                    f"train.parts: no part trains teacher {name}: add it to the `teachers` of one, or take it out of "
                    "targets.teachers"
                )
        loss = config.train.loss
        idle = {name for name, weight in zip(teachers, loss.weights, strict=False) if not weight}
        for part, trained in zip(parts, by_part, strict=True):
            if trained <= idle and not loss.gram:
                raise ConfigError(
                    f"train.parts: {part.name} trains {' and '.join(sorted(trained))} alone, of weight 0 in "
                    "train.loss.weights, so that its images teach nothing: give it another teacher, or leave it out"
                )
        return cls(by_part)

    def restricts(self, name: str) -> bool:
        """Whether some images do not train this teacher."""
        return any(name not in trained for trained in self.by_part)

    def taught(self, name: str, parts_B: np.ndarray) -> np.ndarray:
        """Whether images of these parts train the teacher: bool [B]."""
        return np.array([name in trained for trained in self.by_part])[parts_B]

    def images(self, name: str, plan: Plan, step: int) -> list[int]:
        """How many images of each pack of a step train the teacher: of all ranks, by virtual shard, [V]."""
        if not self.restricts(name):
            return plan.sums(step)[2].tolist()
        return [int(self.taught(name, pack.parts_N).sum()) for pack in plan.packs_for(step)]
