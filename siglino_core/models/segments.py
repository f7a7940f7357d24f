"""Which tokens of a pack see one another: images one after the other, padding at the end.

Legend: B images, T tokens of the pack.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Segments:
    """A pack's images as runs of tokens; every derived tensor is made once, and serves all layers.

    Numbers are reckoned at once: a trace cannot enter the lock of a cached property, and a compiled block that reckoned
    them would be compiled for every pack.

    Attributes:
        runs: (first token, images, tokens of each) of neighbours of equal length, which one batched product can serve.
        total: tokens of the pack, those of the padding at its end included.
        device: where the derived tensors live.
        images: how many.
        used: tokens that belong to images.
        longest: tokens of the longest image.
    """

    runs: tuple[tuple[int, int, int], ...]
    total: int
    device: torch.device
    images: int
    used: int
    longest: int

    @classmethod
    def of(
        cls, lengths: Sequence[int], total: int | None = None, device: torch.device | str | None = None
    ) -> "Segments":
        """Images of these lengths in a pack of ``total`` tokens (their sum, if left out).

        Raises:
            ValueError: an empty image, or more tokens than the pack holds.
        """
        runs, start = [], 0
        for length, group in itertools.groupby(int(n) for n in lengths):
            if length < 1:
                raise ValueError("lengths: an image of no tokens")
            count = len(list(group))
            runs.append((start, count, length))
            start += count * length
        if total is not None and start > total:
            raise ValueError(f"{len(lengths)} images of {start} tokens in a pack of {total}")
        images, longest = sum(count for _, count, _ in runs), max((length for _, _, length in runs), default=0)
        whole = start if total is None else total
        return cls(tuple(runs), whole, torch.device(device or "cpu"), images, start, longest)

    @classmethod
    def uniform(cls, images: int, length: int, device: torch.device | str | None = None) -> "Segments":
        """Equal images; the numbers may be symbols of a trace."""
        total = images * length
        return cls(((0, images, length),), total, torch.device(device or "cpu"), images, total, length)

    @property
    def traced(self) -> bool:
        """Whether a trace is being made of equal images, which must know no pack in particular."""
        return len(self.runs) == 1 and self.used == self.total and torch.compiler.is_compiling()

    @property
    def grid(self) -> tuple[int, int]:
        """Of equal images: their number, and the tokens of each."""
        return self.runs[0][1], self.runs[0][2]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each image."""
        return [length for _, count, length in self.runs for _ in range(count)]

    @cached_property
    def lengths_B(self) -> Tensor:
        return torch.tensor(self.lengths, dtype=torch.int64, device=self.device)

    @cached_property
    def ends_B(self) -> Tensor:
        return self.lengths_B.cumsum(0)

    @cached_property
    def offsets(self) -> Tensor:
        """int32 [B + 1]: where each image begins, and where the last one ends."""
        return torch.nn.functional.pad(self.ends_B, (1, 0)).int()

    @cached_property
    def image_T(self) -> Tensor:
        """int64 [T]: the image that each token belongs to; padding belongs to image number B."""
        token_T = torch.arange(self.total, device=self.device)
        if len(self.runs) == 1 and self.used == self.total:
            return token_T // self.runs[0][2]
        return torch.searchsorted(self.ends_B, token_T, right=True)

    @cached_property
    def block_mask(self) -> Any:
        """FlexAttention's mask. Padding sees itself, so that no row of scores is empty; its output is dropped."""
        from torch.nn.attention.flex_attention import create_block_mask

        image_T = self.image_T

        def same_image(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return image_T[q] == image_T[k]

        # Blocks of 64 would waste less of images of about 256 tokens, but the kernels for SM90 refuse them.
        return create_block_mask(same_image, None, None, self.total, self.total, self.device, BLOCK_SIZE=128)
