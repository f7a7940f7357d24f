"""What an encoder does: pixels in, one vector an image out."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from siglino_core.device import choose
from siglino_core.encoders.card import Card


class Encoder:
    """A frozen network: uint8 pixels [B, H, W, 3] in, unit-length fp32 features [B, dim] out.

    Args:
        mean, std: of the pixels' channels, 0 to 1.
        precision, dtype: of the network: ``auto``, ``fp32`` or ``bf16``, or what torch calls it.
        features: normalised pixels [B, 3, H, W] to features [B, dim]; the network itself if left out.
        maps: the same pixels to features and their map [B, dim, h, w], if it has one.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        card: Card,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: str = "cpu",
        precision: str = "auto",
        dtype: torch.dtype | None = None,
        features: Callable[[torch.Tensor], torch.Tensor] | None = None,
        maps: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> None:
        self.card = card
        self.device = choose(device, precision)
        if dtype is not None:
            self.device = replace(self.device, dtype=dtype)
        self._features, self.maps = features or model, maps
        # Pixels come channels last, and convolutions are faster so: 1.2 to 1.4 times on a CPU.
        model.eval().requires_grad_(False).to(self.device.device, self.device.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(mean, device=self.device.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device.device).view(1, 3, 1, 1) * 255

    @torch.inference_mode()
    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        """Unit-length features, fp32 [B, dim]; a row that isn't finite stays so, for the caller to reject."""
        x = torch.tensor(pixels_BHW3).to(self.device.device).permute(0, 3, 1, 2).float()
        return torch.nn.functional.normalize(self.features(self.normal(x)).float(), dim=-1).cpu().numpy()

    def normal(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        """Pixels of 0 to 255 as the network takes them, in its precision."""
        return ((pixels_B3HW - self._mean) / self._std).to(self.device.dtype)

    def features(self, x_B3HW: torch.Tensor) -> torch.Tensor:
        """What the network says of normalised pixels: [B, dim], of any length."""
        return self._features(x_B3HW)


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over the state dict's names and bytes, first 32 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
