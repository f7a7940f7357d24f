"""Texts behind images: which token of which text sees what.

A document is an image and one text behind it. Image tokens see their own image, both ways; a text's token sees its
image and the text before it, itself included. Images never see text, so several documents share one image: its states
are made once, however many expressions ask about it.

Legend: T tokens of all images, S tokens of all texts, Q documents, B images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from siglino_core.models.segments import Segments


@dataclass(frozen=True, eq=False)
class Documents:
    """Texts one after the other, in the order of their images; padding at the end.

    Attributes:
        images: the images' runs of tokens.
        image_Q: the image that each document is about, never falling.
        lengths: tokens of each document's text.
        total: S, padding included.
    """

    images: Segments
    image_Q: tuple[int, ...]
    lengths: tuple[int, ...]
    total: int

    @classmethod
    def of(
        cls, images: Segments, image_Q: Sequence[int], lengths: Sequence[int], total: int | None = None
    ) -> "Documents":
        """Texts of these lengths about these images, in ``total`` tokens (their sum, if left out).

        Raises:
            ValueError: an empty text, an image that is not there, images out of order, or too many tokens.
        """
        if len(image_Q) != len(lengths):
            raise ValueError(f"{len(image_Q)} images named for {len(lengths)} texts")
        if any(n < 1 for n in lengths):
            raise ValueError("lengths: a text of no tokens")
        if any(not 0 <= i < images.images for i in image_Q):
            raise ValueError(f"image_Q={list(image_Q)}: numbers from 0 to {images.images - 1}")
        if list(image_Q) != sorted(image_Q):
            raise ValueError("image_Q: texts stand in the order of their images")
        used = sum(lengths)
        if total is not None and used > total:
            raise ValueError(f"{len(lengths)} texts of {used} tokens in {total}")
        return cls(images, tuple(image_Q), tuple(lengths), used if total is None else total)

    @property
    def used(self) -> int:
        """Tokens that are no padding."""
        return sum(self.lengths)

    @cached_property
    def document_S(self) -> Tensor:
        """int64: the document of each token; padding belongs to document number Q."""
        counts = torch.tensor([*self.lengths, self.total - self.used])
        return torch.repeat_interleave(counts).to(self.images.device)

    @cached_property
    def image_S(self) -> Tensor:
        """int64: the image that each token's document is about; that of padding is number B + 1, which is none."""
        image_of = torch.tensor([*self.image_Q, self.images.images + 1], device=self.images.device)
        return image_of[self.document_S]

    @cached_property
    def time_S(self) -> Tensor:
        """int64: positions in the text from 1; an image's tokens are all at 0."""
        lengths = torch.tensor([*self.lengths, self.total - self.used])
        start = (lengths.cumsum(0) - lengths).to(self.images.device)
        return torch.arange(self.total, device=self.images.device) - start[self.document_S] + 1

    @cached_property
    def most(self) -> list[int]:
        """Of each run of images: the most text tokens that one of its images has."""
        texts_B = self.texts_B
        return [max(texts_B[first : first + count]) for first, count in self._first_images]

    @cached_property
    def texts_B(self) -> list[int]:
        """Tokens of all texts about each image."""
        texts_B = [0] * self.images.images
        for image, length in zip(self.image_Q, self.lengths, strict=True):
            texts_B[image] += length
        return texts_B

    @property
    def _first_images(self) -> list[tuple[int, int]]:
        first, found = 0, []
        for _, count, _ in self.images.runs:
            found.append((first, count))
            first += count
        return found

    @cached_property
    def padded(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each run: places of its text tokens in the padded [images, most], the tokens, and who sees whom.

        The mask is bool [images, most, image's tokens + most]; padding sees its image alone, so that no row is empty.
        """
        found, begin = [], 0
        for (first, count), (_, _, length), most in zip(self._first_images, self.images.runs, self.most, strict=True):
            texts_R = torch.tensor(self.texts_B[first : first + count])
            real_RL = torch.arange(most) < texts_R[:, None]
            at_n = real_RL.flatten().nonzero().flatten()
            token_n = torch.arange(begin, begin + int(texts_R.sum()))
            document_RL = torch.full((count * most,), -1).index_copy(0, at_n, self.document_S.cpu()[token_n])
            document_RL = document_RL.unflatten(0, (count, most))
            own_RLL = (document_RL[:, :, None] == document_RL[:, None]) & real_RL[:, None] & real_RL[:, :, None]
            seen_RLK = torch.cat([own_RLL.new_ones(count, most, length), own_RLL.tril()], dim=2)
            found.append(tuple(x.to(self.images.device) for x in (at_n, token_n, seen_RLK)))
            begin += len(token_n)
        return found

    @cached_property
    def mask_SK(self) -> Tensor:
        """bool [S, T + S]: what a text's token sees, of images and of texts. All pairs: for small packs."""
        token_S = torch.arange(self.total, device=self.images.device)
        to_images_ST = self.image_S[:, None] == self.images.image_T
        same_SS = self.document_S[:, None] == self.document_S
        return torch.cat([to_images_ST, same_SS & (token_S[:, None] >= token_S)], dim=1)

    @cached_property
    def mask_KK(self) -> Tensor:
        """bool [T + S, T + S]: the whole hybrid mask, as if images and texts were one sequence."""
        image_T = self.images.image_T
        own_TT = (image_T[:, None] == image_T) & (image_T < self.images.images)
        images_TK = torch.cat([own_TT, own_TT.new_zeros(len(image_T), self.total)], dim=1)
        return torch.cat([images_TK, self.mask_SK])

    @cached_property
    def block_mask(self) -> Any:
        """FlexAttention's form of :attr:`mask_SK`."""
        from torch.nn.attention.flex_attention import create_block_mask

        image_T, image_S, document_S, first = self.images.image_T, self.image_S, self.document_S, self.images.total

        def sees(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            text = (k - first).clamp(min=0)
            to_image = (k < first) & (image_S[q] == image_T[k.clamp(max=first - 1)])
            return to_image | ((k >= first) & (document_S[q] == document_S[text]) & (q >= text))

        keys = first + self.total
        return create_block_mask(sees, None, None, self.total, keys, self.images.device, BLOCK_SIZE=128)
