"""The student's block with experts for text beside it.

Attention, its norms and sinks serve both modalities. Which experts a token may go to is decided by its modality; inside
the text's group a learned router decides, as inside the student's own.

Legend: T tokens of all images, S tokens of all texts, D width, H attention heads, hd channels of a head, F rotary
frequencies of a head's time half.

Source: Lin et al. 2024, "MoMa" (arXiv 2407.21770), for groups of experts by modality.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from siglino_core.grounding.attention import TextBackend, text_attention
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.documents import Documents
from siglino_core.models.attention import Backend, packed_attention
from siglino_core.models.encoder import Attention, Block, FeedForward
from siglino_core.models.layout import Layout
from siglino_core.models.moe import MixtureOfExperts
from siglino_core.models.segments import Segments

Turn = tuple[Tensor, Tensor]  # cosines and sines
PLACES = 18  # features of a token's place in its image


@dataclass(frozen=True, eq=False)
class ImagePass:
    """What every block needs to know of the images: their runs, how their tokens turn, and where they are."""

    segments: Segments
    turn: Turn
    backend: Backend
    place_TF: Tensor


@dataclass(frozen=True, eq=False)
class TextPass:
    """The same of the texts."""

    documents: Documents
    turn: Turn
    backend: TextBackend


class GroundingBlock(Block):
    """A block of the student, whose keys in a state dict it has, and ``text`` experts, whose output begins at zero.

    What texts read of a patch says where it is too (``text_place``): the student's rotary places turn keys alone, so
    that a value tells what is there and not where.
    """

    def __init__(self, config: GroundingConfig, layer: int) -> None:
        super().__init__(config.student, layer)
        width = config.student.width
        self.text = MixtureOfExperts(width, config.text_width, config.text_experts, config.text_top_k)
        self.shared = FeedForward(width, config.text_width) if config.shared_expert else None
        inner = config.student.heads * config.student.head_dim
        self.text_place = nn.Linear(PLACES, inner, bias=False) if config.places else None

    def forward(  # type: ignore[override]
        self, image_TD: Tensor, text_SD: Tensor, images: ImagePass, texts: TextPass
    ) -> tuple[Tensor, Tensor]:
        """The tokens of all images and of all texts, one block further."""
        image_TD, k_THD, v_THD = self.image_forward(image_TD, images)
        q_SHD, own_k_SHD, own_v_SHD = self.text_projections(text_SD, texts.turn)
        out_SHD = text_attention(
            q_SHD, own_k_SHD, own_v_SHD, k_THD, v_THD, texts.documents, self.attention.sinks, texts.backend
        )
        return image_TD, self.text_forward(text_SD, out_SHD, texts.documents.used)

    def image_forward(self, x_TD: Tensor, images: ImagePass) -> tuple[Tensor, Tensor, Tensor]:
        """The images' tokens after this block, and their keys and values in it: what texts read."""
        q_THD, k_THD, v_THD = self.attention.turned(self.attention_norm(x_TD), images.turn)
        out_THD = packed_attention(q_THD, k_THD, v_THD, images.segments, self.attention.sinks, images.backend)
        x_TD = x_TD + self.attention.wo(out_THD.flatten(1))
        h_TD = self.ffn_norm(x_TD)
        fed_TD = self.fed(h_TD, images.segments.used)
        x_TD = x_TD + (fed_TD if self.shared is None else fed_TD + self.shared(h_TD))
        if self.text_place is not None:  # for texts alone: the image has attended by now
            v_THD = v_THD + self.text_place(images.place_TF.to(v_THD.dtype)).unflatten(-1, v_THD.shape[1:])
        return x_TD, k_THD, v_THD

    def text_projections(self, x_SD: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of a text's tokens, [S, H, hd] each, turned by their time."""
        q_SHD, k_SHD, v_SHD = projected(self.attention, self.attention_norm(x_SD))
        return rotate_time(q_SHD, turn), rotate_time(k_SHD, turn), v_SHD

    def text_forward(self, x_SD: Tensor, attended_SHD: Tensor, used: int | None = None) -> Tensor:
        """A text's tokens after this block, from what they attended to."""
        x_SD = x_SD + self.attention.wo(attended_SHD.flatten(1))
        h_SD = self.ffn_norm(x_SD)
        fed_SD = self.text(h_SD, used)
        return x_SD + (fed_SD if self.shared is None else fed_SD + self.shared(h_SD))


def places(layout: Layout) -> Tensor:
    """Where patches lie in their image, [T, PLACES]: their centres, in +-1 from edge to edge, and sines and cosines.

    The same place in the image is the same at any resolution. Other tokens have 0.
    """
    image_T = layout.segments.image_T
    image_N, position_N2 = image_T[layout.patch_N], layout.positions_T2[layout.patch_N]
    limit_B2 = position_N2.new_zeros(layout.segments.images + 2, 2)
    limit_B2 = limit_B2.scatter_reduce(0, image_N[:, None].expand(-1, 2), position_N2.abs(), "amax")
    # The student's places end at the outermost patches' centres, at the root of the aspect: that tells their number.
    patches_B1 = image_N.bincount(minlength=len(limit_B2))[:, None]
    side_B2 = (patches_B1.sqrt() * limit_B2).clamp(min=1)
    at_N2 = position_N2 / limit_B2.clamp(min=1e-6)[image_N] * (1 - 1 / side_B2)[image_N]
    angle_NF = (at_N2[:, :, None] * (torch.pi / 2 * 2.0 ** torch.arange(4, device=at_N2.device))).flatten(1)
    place_NF = torch.cat([at_N2, angle_NF.sin(), angle_NF.cos()], dim=1)
    return place_NF.new_zeros(len(image_T), PLACES).index_copy(0, layout.patch_N, place_NF)


def projected(attention: Attention, x_SD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, normed, and values of tokens without a place in an image: a rotation by nothing."""
    still = x_SD.new_zeros(len(x_SD), 1, 1, dtype=torch.float32)
    return attention.turned(x_SD, (still + 1, still))


def time_rotation(time_S: Tensor, head_dim: int, theta: float) -> Turn:
    """Cosine and sine of each token's angles, fp32 [S, 1, F], F = head_dim / 4."""
    count = head_dim // 4
    frequency_F = theta ** -(torch.arange(count, device=time_S.device, dtype=torch.float32) / count)
    angle_S1F = time_S.float()[:, None, None] * frequency_F
    return angle_S1F.cos(), angle_S1F.sin()


def rotate_time(x_SHD: Tensor, turn: Turn) -> Tensor:
    """Turn the first half of each head's channels, in adjacent pairs; the second half belongs to places in images."""
    cos, sin = turn
    turning, still = x_SHD.chunk(2, dim=-1)
    a, b = turning.to(torch.promote_types(x_SHD.dtype, torch.float32)).unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    return torch.cat([turned.to(x_SHD.dtype), still], dim=-1)
