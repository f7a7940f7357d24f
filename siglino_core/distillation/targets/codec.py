"""Dense targets as bytes: bf16 as they are, int8 and fp8 after PHI-S, with one scale a token.

PHI-S gives all channels the same variance (`phi_s.py`), which is why one scale serves all channels of a
token: without it a teacher's outlier channels would leave the others a few of the 256 steps.

An image's bytes: its patches' scales (fp16, little-endian), then their values, row by row; for bf16 the values alone.

Legend: N patches of all images, C the teacher's width.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from siglino_core.config.distill import Stored
from siglino_core.distillation.targets.phi_s import PhiS

VALUES = {Stored.BF16: torch.bfloat16, Stored.INT8: torch.int8, Stored.FP8: torch.float8_e4m3fn}
LARGEST = {Stored.INT8: 127.0, Stored.FP8: 448.0}  # what a token's largest magnitude becomes
DENSE = tuple(VALUES)


class Quantised(NamedTuple):
    """Patches as they are stored, of any number of images."""

    values_NC: Tensor  # bf16, int8 or float8_e4m3fn
    scales_N: Tensor | None  # fp16; None for bf16

    def to(self, device: str | torch.device) -> "Quantised":
        return Quantised(self.values_NC.to(device), None if self.scales_N is None else self.scales_N.to(device))


def patch_bytes(kind: Stored, dim: int) -> int:
    """Bytes of one patch of ``dim`` channels."""
    return dim * VALUES[kind].itemsize + (2 if kind in LARGEST else 0)


class Codec:
    """One teacher's dense patches, to bytes and back. The same patches give the same bytes.

    Args:
        kind: bf16, int8 or fp8.
        dim: the teacher's width.
        phis: its patches' standardisation; bf16 needs none.
        device: where it computes.
    """

    def __init__(self, kind: Stored, dim: int, phis: PhiS | None = None, device: str | torch.device = "cpu") -> None:
        assert kind in VALUES, kind
        assert kind is Stored.BF16 or phis is not None, "int8 and fp8 are of standardised patches"
        self.kind, self.dim, self.device = kind, dim, torch.device(device)
        self._elsewhere: Codec | None = None
        self._phis: PhiS | None = None
        if kind in LARGEST and phis is not None:  # converted once, not at every call
            single = {"mean": phis.mean.float().to(device), "rotation": phis.rotation.float().to(device)}
            self._phis = dataclasses.replace(phis, **single)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_elsewhere": None}

    def on(self, device: str | torch.device) -> "Codec":
        """This codec, computing on another device; made once."""
        if torch.device(device) == self.device:
            return self
        if self._elsewhere is None or self._elsewhere.device != torch.device(device):
            self._elsewhere = Codec(self.kind, self.dim, self._phis, device)
        return self._elsewhere

    def encode(self, x_NC: Tensor, counts: Sequence[int] | None = None) -> list[bytes]:
        """The bytes of each image.

        Args:
            x_NC: floats, the images' patches one after the other, in the teacher's own space.
            counts: patches of each image; None: they are of one.

        Raises:
            ValueError: a value is not finite, or lies beyond the codec's range.
        """
        values_NC, scales_N = self.quantise(x_NC)
        sizes = [len(x_NC)] if counts is None else list(counts)
        values = [_bytes(part) for part in values_NC.split(sizes)]
        if scales_N is None:
            return values
        return [_bytes(s) + v for s, v in zip(scales_N.split(sizes), values, strict=True)]

    def decode(self, images: Sequence[bytes]) -> Tensor:
        """fp32 [N, C]: the patches of the images, one after the other, in the teacher's own space.

        Raises:
            ValueError: bytes that are no whole number of patches.
        """
        return self.dequantise(self.unpack(images))

    def quantise(self, x_NC: Tensor) -> Quantised:
        """Patches as they are stored, on the codec's device; raises as :meth:`encode`."""
        x_NC = x_NC.to(self.device)
        if self._phis is None:
            values_NC = x_NC.to(torch.bfloat16)
            if not values_NC.isfinite().all():
                raise ValueError("a value is not finite, or beyond bf16's range")
            return Quantised(values_NC, None)
        y_NC = self._phis.apply(x_NC.float())
        largest = LARGEST[self.kind]
        scales_N = (y_NC.abs().amax(1) / largest).half()
        if not scales_N.isfinite().all():
            raise ValueError("a value is not finite, or over 65504 * 127 standard deviations from the mean")
        steps_N1 = torch.where(scales_N > 0, scales_N, 1).float()[:, None]  # a token at the mean is all zeros
        y_NC = (y_NC / steps_N1).clamp_(-largest, largest)
        return Quantised((y_NC.round_() if self.kind is Stored.INT8 else y_NC).to(VALUES[self.kind]), scales_N)

    def dequantise(self, stored: Quantised) -> Tensor:
        """The inverse of :meth:`quantise`, but for what rounding took: fp32 [N, C] on the codec's device."""
        values_NC, scales_N = stored.to(self.device)
        if self._phis is None or scales_N is None:
            return values_NC.float()
        return self._phis.invert(values_NC.float() * scales_N.float()[:, None])

    def unpack(self, images: Sequence[bytes]) -> Quantised:
        """Images' bytes as tensors, on the CPU; raises as :meth:`decode`. A quarter or half of what they decode to."""
        size = patch_bytes(self.kind, self.dim)
        if bad := [len(data) for data in images if len(data) % size]:
            raise ValueError(f"{bad[0]:,} bytes are no whole number of patches of {size:,} bytes")
        counts = [len(data) // size for data in images]
        if self.kind not in LARGEST:
            return Quantised(_tensor(b"".join(images), torch.bfloat16, self.dim), None)
        scales_N = _tensor(b"".join(d[: 2 * n] for d, n in zip(images, counts, strict=True)), torch.float16)
        values = b"".join(memoryview(d)[2 * n :] for d, n in zip(images, counts, strict=True))
        return Quantised(_tensor(values, VALUES[self.kind], self.dim), scales_N)


def _bytes(x: Tensor) -> bytes:
    return x.contiguous().view(torch.uint8).cpu().numpy().tobytes()


def _tensor(data: bytes, dtype: torch.dtype, columns: int | None = None) -> Tensor:
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat if columns is None else flat.view(-1, columns)
