"""What training asks of each token of a text: the next token, and the point, size or mask that it stands for.

Legend: S tokens of all texts, K instances of all texts, Q documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siglino_core.grounding.documents import Documents
from siglino_core.grounding.model import Texts
from siglino_core.grounding.vocabulary import ANSWERS, Control
from siglino_core.models.segments import Segments

UNASKED = -100  # as torch's cross-entropy leaves out


@dataclass(frozen=True, eq=False)
class Question:
    """An expression about an image, and its answer.

    Attributes:
        tokens: of the expression, as `siglino_core.grounding.vocabulary.encode` makes them.
        centre_K2, side_K2: fp32, its instances' centres and sides in units of the image's; K = 0: absent.
    """

    tokens: Sequence[int]
    centre_K2: Tensor
    side_K2: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """Of a pack's texts.

    Attributes:
        answer_S: int64, the row of the answer layer that the token should predict; UNASKED before the answer.
        coordinate_K, size_K, segment_K: int64, the tokens whose states predict each instance's centre, side and mask:
            one earlier than the token that stands for it.
        centre_K2, side_K2: fp32, what they should predict.
        document_K: int64, the document of each instance.
        absent_Q: bool, whether a document's expression refers to nothing.
    """

    answer_S: Tensor
    coordinate_K: Tensor
    size_K: Tensor
    segment_K: Tensor
    centre_K2: Tensor
    side_K2: Tensor
    document_K: Tensor
    absent_Q: Tensor


def prompt(tokens: Sequence[int]) -> list[int]:
    """An expression as the model is asked it."""
    return [Control.END_OF_IMAGE, *tokens, Control.START_OF_ANSWER]


def answer(instances: int) -> list[Control]:
    """The tokens of an answer, its end included."""
    if not instances:
        return [Control.ABSENT, Control.END]
    return [Control.PRESENT, *[Control.COORDINATE, Control.SIZE, Control.SEGMENT] * instances, Control.END]


def questions(
    images: Segments, image_Q: Sequence[int], asked: Sequence[Question], total: int | None = None
) -> tuple[Texts, Targets]:
    """Texts of a pack, answers included, and what their tokens should predict.

    The answer's end is predicted and never read, so it is no token of the text.

    Args:
        image_Q: the image that each question is about, never falling.
        total: tokens, padding included.
    """
    device = images.device
    ids, answers, first_K, document_K, lengths = [], [], [], [], []
    row = {control: i for i, control in enumerate(ANSWERS)}
    for number, question in enumerate(asked):
        begin, tail = prompt(question.tokens), answer(len(question.centre_K2))
        first = len(ids) + len(begin)  # the place of PRESENT, whose state predicts the first centre
        first_K += [first + 3 * k for k in range(len(question.centre_K2))]
        document_K += [number] * len(question.centre_K2)
        ids += [*begin, *tail[:-1]]
        answers += [UNASKED] * (len(begin) - 1) + [row[control] for control in tail]
        lengths.append(len(begin) + len(tail) - 1)
    documents = Documents.of(images, image_Q, lengths, total)
    padding = documents.total - documents.used
    coordinate_K = torch.tensor(first_K, dtype=torch.int64)
    centre_K2 = torch.cat([q.centre_K2 for q in asked]) if asked else torch.zeros(0, 2)
    side_K2 = torch.cat([q.side_K2 for q in asked]) if asked else torch.zeros(0, 2)
    pair_S2 = torch.zeros(documents.total, 2)
    pair_S2[coordinate_K + 1] = centre_K2.float()
    pair_S2[coordinate_K + 2] = side_K2.float()
    token_S = torch.tensor(ids + [Control.END] * padding, dtype=torch.int64)
    targets = Targets(
        answer_S=torch.tensor(answers + [UNASKED] * padding, dtype=torch.int64).to(device),
        coordinate_K=coordinate_K.to(device),
        size_K=(coordinate_K + 1).to(device),
        segment_K=(coordinate_K + 2).to(device),
        centre_K2=centre_K2.float().to(device),
        side_K2=side_K2.float().to(device),
        document_K=torch.tensor(document_K, dtype=torch.int64).to(device),
        absent_Q=torch.tensor([len(q.centre_K2) == 0 for q in asked], dtype=torch.bool).to(device),
    )
    return Texts(documents, token_S.to(device), pair_S2.to(device)), targets
