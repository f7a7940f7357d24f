"""What an encoder is: how it wants its pixels, how it turns them into one vector an image, and which weights it has."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from siglino_core.device import choose


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an RGB image to uint8 pixels [size, size, 3]; small and picklable, so that decoders need no weights.

    ``fit``: ``crop`` scales the short side to ``size / crop_share`` and cuts the centre out; ``squash`` scales both
    sides to ``size`` and loses nothing but the aspect.
    """

    size: int
    fit: str = "crop"
    crop_share: float = 1.0

    def __call__(self, image: Image.Image) -> np.ndarray:
        if self.fit == "squash":
            return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))
        w, h = image.size
        side = min(w, h) * self.crop_share
        left, top = (w - side) / 2, (h - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))


class Encoder:
    """A frozen network: uint8 pixels [B, H, W, 3] in, unit-length fp32 features [B, dim] out.

    ``identity`` is a hash of the weights: two encoders of one identity give the same features.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        preprocess: Preprocess,
        *,
        dim: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: str,
        precision: str,
    ) -> None:
        chosen = choose(device, precision)
        self.identity = weights_hash(model)
        self.preprocess = preprocess
        self.dim = dim
        self.device = chosen
        self._model = model.eval().requires_grad_(False).to(chosen.device, chosen.dtype)
        self._mean = torch.tensor(mean, device=chosen.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=chosen.device).view(1, 3, 1, 1) * 255

    def features(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        """Normalised pixels to features [B, dim]; what a subclass says of its network."""
        return self._model(pixels_B3HW)

    @torch.inference_mode()
    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        """Unit-length features, fp32 [B, dim]; a row that isn't finite stays so, for the caller to reject."""
        x = torch.tensor(pixels_BHW3).to(self.device.device).permute(0, 3, 1, 2).float()
        x = ((x - self._mean) / self._std).to(self.device.dtype)
        return torch.nn.functional.normalize(self.features(x).float(), dim=-1).cpu().numpy()


def weights_hash(model: torch.nn.Module) -> str:
    """SHA-256 over the state dict's names and bytes, first 32 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
