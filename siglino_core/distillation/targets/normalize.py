"""The space in which a teacher's tokens and the student's predictions of them are compared.

Heads predict in the teacher's own space, whatever is chosen here: both sides of an error go through the same map, which
is fixed by the teacher's statistics (`siglino_core.distillation.targets.statistics`) and so needs no inverse later.

C a teacher's width; tokens are [..., C].
"""

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from siglino_core.config import Normalize
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.errors import ConfigError

SMALLEST = 1e-6  # of a channel's standard deviation, as a share of phi: a channel that never moves says nothing


class Normalizer:
    """A map of one teacher's tokens of one type; the same for the student's predictions of them.

    ``phi_s``: rotated, centred and scaled to variance 1 in every channel (Ranzinger et al. 2024, arXiv 2410.01680).
    ``channel``: each channel by its own mean and standard deviation (Shang et al. 2024, "Theia", arXiv 2407.20179;
    Sariyildiz et al. 2024, "UNIC", arXiv 2408.05088). ``layer_norm``: each token by its own mean and standard deviation
    over channels, without weights (Baevski et al. 2022, "data2vec", arXiv 2202.03555, section 3.3); where a head's
    token lies and how long it is, is then free. ``none``: as they are (Ranzinger et al. 2023, "AM-RADIO", arXiv
    2312.06709).

    Args:
        kind: which.
        fitted: the teacher's statistics of this token type.
        name: whose, for messages ("dinov3 patches").

    Raises:
        ConfigError: ``channel`` with statistics of an earlier version, which lack the channels' variances.
    """

    def __init__(self, kind: Normalize, fitted: PhiS, *, name: str = "features") -> None:
        if kind is Normalize.CHANNEL and fitted.variance is None:
            raise ConfigError(
                f"train.loss: normalize=channel needs the variance of each channel of {name}, which the statistics of "
                "targets made by an earlier version lack. Use --redo targets, or phi_s."
            )
        self.kind, self._fitted = kind, fitted
        self._ready: tuple[Tensor, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens [..., C], fp32 or fp64, in the space of the comparison; gradients flow."""
        if self.kind is Normalize.NONE:
            return x
        if self.kind is Normalize.LAYER_NORM:
            return layer_norm(x, x.shape[-1:])
        with torch.autocast(x.device.type, enabled=False):
            mean_C, scale = self._on(x)
            return (x - mean_C) * scale if self.kind is Normalize.CHANNEL else (x - mean_C) @ scale

    def _on(self, x: Tensor) -> tuple[Tensor, ...]:
        """Mean, and scale or matrix, beside ``x``; converted once, not at every call."""
        if not self._ready or (self._ready[0].device, self._ready[0].dtype) != (x.device, x.dtype):
            self._ready = tuple(t.to(x.dtype).to(x.device) for t in (self._fitted.mean, self._scale()))
        return self._ready

    def _scale(self) -> Tensor:
        if self.kind is Normalize.PHI_S:
            return self._fitted.rotation.T / self._fitted.phi
        assert self._fitted.variance is not None
        return 1 / self._fitted.variance.sqrt().clamp(min=SMALLEST * self._fitted.phi)
