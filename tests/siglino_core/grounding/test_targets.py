"""Texts of a pack, and what each token should predict."""

import torch

from siglino_core.grounding.targets import UNASKED, answer, prompt, questions
from siglino_core.grounding.vocabulary import ANSWERS, Control
from siglino_core.models.segments import Segments
from tests.siglino_core.grounding.models import question

P, A, C, S, G, E = (ANSWERS.index(c) for c in (
    Control.PRESENT, Control.ABSENT, Control.COORDINATE, Control.SIZE, Control.SEGMENT, Control.END
))  # fmt: skip


def test_a_text_token_by_token() -> None:
    asked = [question([5, 6], [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]), question([9])]
    texts, targets = questions(Segments.of([3]), [0, 0], asked, total=16)
    begin, start = Control.END_OF_IMAGE, Control.START_OF_ANSWER
    present = [Control.PRESENT, *[Control.COORDINATE, Control.SIZE, Control.SEGMENT] * 2]
    assert texts.token_S.tolist() == [begin, 5, 6, start, *present, begin, 9, start, Control.ABSENT, Control.END]
    u = UNASKED
    assert targets.answer_S.tolist() == [u, u, u, P, C, S, G, C, S, G, E, u, u, A, E, u]
    assert targets.coordinate_K.tolist() == [4, 7]  # the states of PRESENT and of the first SEGMENT
    assert texts.token_S[targets.coordinate_K + 1].tolist() == [Control.COORDINATE] * 2
    assert texts.token_S[targets.size_K + 1].tolist() == [Control.SIZE] * 2
    assert texts.token_S[targets.segment_K + 1].tolist() == [Control.SEGMENT] * 2
    torch.testing.assert_close(texts.pair_S2[targets.coordinate_K + 1], targets.centre_K2)
    torch.testing.assert_close(texts.pair_S2[targets.size_K + 1], targets.side_K2)
    assert targets.document_K.tolist() == [0, 0]
    assert targets.absent_Q.tolist() == [False, True]


def test_nothing_asked() -> None:
    texts, targets = questions(Segments.of([3]), [], [])
    assert (texts.documents.used, len(targets.coordinate_K)) == (0, 0)


def test_forms() -> None:
    assert prompt([1]) == [Control.END_OF_IMAGE, 1, Control.START_OF_ANSWER]
    assert answer(0) == [Control.ABSENT, Control.END]
    assert len(answer(3)) == 2 + 3 * 3
