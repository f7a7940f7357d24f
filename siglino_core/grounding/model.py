"""The early-fusion model: the student, and texts behind its images.

A text is `end-of-image, expression, start-of-answer`. Its answer is `absent, end`, or `present`, then `coordinate,
size, segment` for every instance, then `end`. The state of a token predicts the next token, and with it the point, the
size or the mask that it stands for. A predicted point or size enters again in the place of its token's embedding.

Legend: T tokens of all images, S tokens of all texts, B images, N patches of all images, Q documents, K instances,
D width, V values of a patch.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from siglino_core.grounding.attention import TextBackend
from siglino_core.grounding.block import GroundingBlock, ImagePass, TextPass, places, time_rotation
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.documents import Documents
from siglino_core.grounding.heads import Fourier, MaskHead, PairHead
from siglino_core.grounding.vocabulary import ANSWERS, VOCABULARY, Control
from siglino_core.models.attention import Backend, prepare
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import SigLino
from siglino_core.models.layout import Layout
from siglino_core.models.precision import Fp32Linear
from siglino_core.models.rope import rotation

if TYPE_CHECKING:
    from siglino_core.grounding.predict import Instance

OF_TEXT = re.compile(r"layers\.\d+\.(text|text_place|shared)\.")  # of the trunk's keys, those that no student has


class States(NamedTuple):
    """Tokens after the last norm."""

    image_TD: Tensor
    text_SD: Tensor


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts of a pack: their tokens, and the points and sizes that are known.

    Attributes:
        documents: which image each is about.
        token_S: int64, ids of `siglino_core.grounding.vocabulary`.
        pair_S2: fp32, (x, y) where the token is a coordinate, (width, height) where it is a size; read nowhere else.
    """

    documents: Documents
    token_S: Tensor
    pair_S2: Tensor


class GroundingModel(nn.Module):
    """A student without heads for teachers, experts for text in every block, and heads that answer.

    Attributes:
        config: its shape.
        backend, text_backend: of the attention of images and of texts.
    """

    def __init__(self, config: GroundingConfig, backend: Backend = "auto", text_backend: TextBackend = "auto") -> None:
        super().__init__()
        self.config = config
        self.text_backend: TextBackend = text_backend
        self.student = Trunk(config, backend)
        width = config.student.width
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.answer = Fp32Linear(width, len(ANSWERS))
        self.coordinate = PairHead(width, config.coordinate_hidden, config.bins)
        self.size = PairHead(width, config.coordinate_hidden, config.bins)
        self.coordinate_in = Fourier(config.fourier, width)
        self.size_in = Fourier(config.fourier, width)
        self.mask = MaskHead(width, config.mask_width, config.mask_scale)
        self.reset_parameters()

    @property
    def backend(self) -> Backend:
        """Of the images' attention."""
        return self.student.backend

    def reset_parameters(self) -> None:
        """Initialise what stands beside the student; blocks are initialised as the student's."""
        nn.init.normal_(self.embedding.weight)  # rms 1: what a block adds of a trained student's image has as much
        for name, weight in self.student.named_parameters():
            if name.endswith("text_place.weight"):
                nn.init.normal_(weight)
        nn.init.normal_(self.answer.weight, std=0.02)
        nn.init.zeros_(self.answer.bias)
        for m in (self.coordinate, self.size, self.coordinate_in, self.size_in, self.mask):
            m.reset_parameters()

    def layout(self, shapes: list[tuple[int, int]], total: int | None = None) -> Layout:
        """Where images of these (height, width), in patches, lie in a pack of ``total`` tokens."""
        return self.student.layout(shapes, total)

    def forward(self, patches_NV: Tensor, layout: Layout, texts: Texts) -> States:
        """Images and texts through all blocks.

        Raises:
            ValueError: patches that don't fit the layout, or texts of another pack's images.
        """
        self.student.require_fits(patches_NV, layout)
        if texts.documents.images is not layout.segments:
            raise ValueError("texts: their documents are of another layout's images")
        image_TD = self.student.embed(patches_NV, layout)
        text_SD = self.embed(texts.token_S, texts.pair_S2).to(image_TD.dtype)
        images = self.image_pass(layout, image_TD)
        of_texts = TextPass(texts.documents, self.time(texts.documents.time_S), self.text_backend)
        for block in self.student.layers:
            image_TD, text_SD = block(image_TD, text_SD, images, of_texts)
        return States(self.student.norm(image_TD), self.student.norm(text_SD))

    def image_pass(self, layout: Layout, like: Tensor) -> ImagePass:
        """What the blocks must know of the images."""
        prepare(layout.segments, like, self.backend)
        turn = rotation(layout.positions_T2, self.student.freqs_cis_golden)
        return ImagePass(layout.segments, turn, self.backend, places(layout))

    def time(self, time_S: Tensor) -> tuple[Tensor, Tensor]:
        """How tokens at these positions of a text turn."""
        return time_rotation(time_S, self.config.student.head_dim, self.config.text_theta)

    def embed(self, token_S: Tensor, pair_S2: Tensor) -> Tensor:
        """Tokens to vectors, [S, D]: points and sizes by what they are, all others by their row."""
        x_SD = self.embedding(token_S)
        for control, enter in ((Control.COORDINATE, self.coordinate_in), (Control.SIZE, self.size_in)):
            is_it_S1 = (token_S == control)[:, None]
            x_SD = torch.where(is_it_S1, enter(pair_S2).to(x_SD.dtype), x_SD)
        return x_SD

    def predict(
        self, image: Any, queries: Sequence[str], task: Literal["box", "mask"] = "box", **settings: Any
    ) -> "list[list[Instance]]":
        """What each expression refers to in an image: see :func:`siglino_core.grounding.predict.predict`."""
        from siglino_core.grounding.predict import predict

        return predict(self, image, queries, task, **settings)


class Trunk(SigLino):
    """The student's body: its state dict has the student's keys, and those of the text's experts."""

    def __init__(self, config: GroundingConfig, backend: Backend = "auto") -> None:
        self.grounding = config
        super().__init__(headless(config.student), backend)

    def block(self, layer: int) -> GroundingBlock:
        """A block with experts for text."""
        return GroundingBlock(self.grounding, layer)


def headless(student: SigLinoConfig) -> SigLinoConfig:
    """A student's shape without its heads for teachers."""
    return replace(student, teachers=())


def image_parameters(model: GroundingModel) -> list[nn.Parameter]:
    """What the student gave: to be trained gently, or to be frozen."""
    return [p for name, p in model.student.named_parameters() if not OF_TEXT.search(name)]
