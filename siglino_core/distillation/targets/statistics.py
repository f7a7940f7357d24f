"""Teachers' standardisations, and the moments that they come from, in safetensors.

One PHI-S a teacher and token type, summary and patch. Registers are exempt: they are multimodal, and standardising them
makes training unstable (Ranzinger et al. 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from siglino_core.distillation.targets.phi_s import Moments, PhiS
from siglino_core.encoders.card import Card
from siglino_core.errors import StoreError
from siglino_core.teachers.teacher import Targets

LOPSIDED = 0.9  # share of the variance in one channel that looks wrong
STIFF = 1e-4  # a standard deviation this small beside the mean looks wrong


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """One teacher's standardisations."""

    summary: PhiS
    patch: PhiS | None  # None: it speaks of images alone

    @staticmethod
    def save(teachers: Mapping[str, "Statistics"]) -> bytes:
        """All teachers' as one safetensors file, keys ``{teacher}.{summary|patch}.{tensor}``."""
        groups: dict[str, dict[str, Tensor]] = {}
        for name, statistics in teachers.items():
            groups[f"{name}.summary"] = statistics.summary.tensors()
            if statistics.patch is not None:
                groups[f"{name}.patch"] = statistics.patch.tensors()
        return pack(groups)

    @classmethod
    def load(cls, data: bytes, what: str = "statistics.safetensors") -> dict[str, Self]:
        """What :meth:`save` wrote, by teacher.

        Raises:
            StoreError: the bytes are no such file; it names ``what``.
        """
        groups = unpack(data, what)
        names = sorted({key.partition(".")[0] for key in groups})
        try:
            phis = {key: PhiS.from_tensors(tensors) for key, tensors in groups.items()}
            return {n: cls(summary=phis[f"{n}.summary"], patch=phis.get(f"{n}.patch")) for n in names}
        except Exception as e:  # of other names, shapes and types than were written
            raise StoreError(f"{what} is damaged: it lacks {e}. Delete it, then run the targets stage again.") from e


class TeacherMoments:
    """Moments of one teacher's summaries and patches, which merge and travel as tensors."""

    def __init__(self, card: Card, device: str | torch.device = "cpu") -> None:
        kinds = ("summary", "patch") if card.patches else ("summary",)
        self.teacher = card.name
        self.by_kind = {k: Moments.empty(card.dim, name=_words(card.name, k), device=device) for k in kinds}

    def update(self, targets: Targets) -> None:
        """Take in a pack's targets; raises DataError, which names the teacher, if they aren't finite."""
        self.by_kind["summary"].update(targets.summaries)
        if "patch" in self.by_kind:
            assert targets.patches is not None
            self.by_kind["patch"].update(targets.patches)

    def merge(self, tensors: Mapping[str, Tensor]) -> None:
        """Take in what :meth:`tensors` of another gave."""
        for kind, moments in self.by_kind.items():
            count, mean_D, scatter_DD = (tensors[f"{kind}.{n}"] for n in ("count", "mean", "scatter"))
            moments.merge(Moments(name=moments.name, count=int(count), mean_D=mean_D, scatter_DD=scatter_DD))

    def tensors(self) -> dict[str, Tensor]:
        """Everything, on the CPU, keys ``{summary|patch}.{count|mean|scatter}``."""
        tensors: dict[str, Tensor] = {}
        for kind, m in self.by_kind.items():
            tensors[f"{kind}.count"] = torch.tensor(m.count)
            tensors |= {f"{kind}.mean": m.mean_D.cpu(), f"{kind}.scatter": m.scatter_DD.cpu()}
        return tensors

    def fit(self, seed: int = 0) -> Statistics:
        """The standardisations.

        Raises:
            DataError: outputs that do not vary, or of fewer than two images; it names the teacher.
        """
        phis = {kind: PhiS.fit(moments, seed=seed) for kind, moments in self.by_kind.items()}
        return Statistics(summary=phis["summary"], patch=phis.get("patch"))

    def warnings(self) -> list[str]:
        """Sentences on what looks wrong, though it can be computed with."""
        texts: list[str] = []
        for m in self.by_kind.values():
            variance_D = m.covariance().diagonal()
            total = float(variance_D.sum())
            share, channel = (variance_D / total).max(0) if total else (torch.tensor(0.0), 0)
            if share > LOPSIDED and len(variance_D) > 1:
                texts.append(
                    f"{m.name}: channel {int(channel)} holds {float(share):.0%} of the variance of all "
                    f"{len(variance_D):,}. Check the teacher's weights and precision."
                )
            if total**0.5 < STIFF * float(m.mean_D.norm()):
                texts.append(
                    f"{m.name}: they hardly vary (a deviation of {total**0.5:.2g} about a mean of "
                    f"{float(m.mean_D.norm()):.2g}). Check the teacher's weights, and that the images differ."
                )
        return texts


def pack(groups: Mapping[str, Mapping[str, Tensor]]) -> bytes:
    """Named groups of tensors as one safetensors file, keys ``{group}.{tensor}``. The same tensors, the same bytes."""
    return save_tensors(
        {f"{g}.{k}": t.contiguous() for g, tensors in sorted(groups.items()) for k, t in sorted(tensors.items())}
    )


def unpack(data: bytes, what: str, *, depth: int = 2) -> dict[str, dict[str, Tensor]]:
    """What :func:`pack` wrote.

    Args:
        what: the file's name, for messages.
        depth: words, split at dots, in a group's name.

    Raises:
        StoreError: the bytes are no such file.
    """
    try:
        tensors = load_tensors(data)
    except Exception as e:  # SafetensorError, and what torch says of types and sizes that cannot be
        raise StoreError(f"{what} is damaged ({e}). Delete it, then run the targets stage again.") from e
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        words = key.split(".", depth)
        groups.setdefault(".".join(words[:depth]), {})[words[-1]] = tensor
    return groups


def _words(teacher: str, kind: str) -> str:
    return f"teacher {teacher}, {'summaries' if kind == 'summary' else 'patches'}"
