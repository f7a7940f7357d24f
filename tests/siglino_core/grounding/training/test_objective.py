"""The loss of a pass: its terms by plain formulas, and their weights."""

import pytest
import torch
import torch.nn.functional as F

from siglino_core.config import GroundLossConfig
from siglino_core.grounding.codecs import bins_of, coordinate_place, size_place
from siglino_core.grounding.losses import dice_loss, focal_loss
from siglino_core.grounding.targets import UNASKED, questions
from siglino_core.grounding.training.objective import Counts, Objective
from tests.siglino_core.grounding.models import SHAPES, grounding, question, stirred
from tests.siglino_core.models.tiny import TINY, patches

ASKED = [
    question([7, 8], [[0.5, 0.5, 0.25, 0.5]]),
    question([9]),
    question([7], [[0.1, 0.2, 0.1, 0.1], [0.6, 0.6, 0.2, 0.3]]),
]
ABOUT, IMAGE_K = [0, 0, 2], [0, 2, 2]


@pytest.mark.parametrize("gram", [0.0, 0.25])
def test_terms_are_means_by_plain_formulas(gram: float) -> None:
    model = stirred(grounding(TINY)[0])
    layout = model.layout(SHAPES)
    texts, targets = questions(layout.segments, ABOUT, ASKED)
    with torch.no_grad():
        states = model(torch.cat(patches(TINY, SHAPES)), layout, texts)
    masks = {0: torch.rand(16, 24), 2: torch.rand(12, 12)}
    counts = Counts.of(targets, masks, 3)
    assert (counts.answers, counts.instances, counts.masks) == (5 + 2 + 8, 3, 2)
    anchor_ND = torch.randn(34, 8) if gram else None
    weights = GroundLossConfig(answer=2, coordinate=0.5, size=3, focal=4, dice=0.7, gram=gram)
    loss = Objective(weights=weights)(model, states, layout, targets, masks, IMAGE_K, counts, anchor_ND)
    said = targets.answer_S != UNASKED
    assert float(loss.terms["answer"]) == pytest.approx(
        float(F.cross_entropy(model.answer(states.text_SD[said]), targets.answer_S[said])), rel=1e-5
    )
    for name, head, at, place in (
        ("coordinate", model.coordinate, targets.coordinate_K, coordinate_place(targets.centre_K2, 64)),
        ("size", model.size, targets.size_K, size_place(targets.side_K2, 64)),
    ):
        logits = head(states.text_SD[at])
        wanted = sum(F.cross_entropy(logits[:, axis], bins_of(place[:, axis], 64)) for axis in range(2))
        assert float(loss.terms[name]) == pytest.approx(float(wanted), rel=1e-5)
    patches_ND = layout.parted(states.image_TD)[1]
    of_mask = {0: (patches_ND[:24], (4, 6)), 2: (patches_ND[25:], (3, 3))}
    logits = {k: model.mask(states.text_SD[targets.segment_K[k]][None], model.mask.pixels(*of_mask[k])) for k in masks}
    for name, plain in (("focal", focal_loss), ("dice", dice_loss)):
        wanted = sum(float(plain(logits[k], masks[k][None])) for k in masks) / 2
        assert float(loss.terms[name]) == pytest.approx(wanted, rel=1e-5)
    shares = {"answer": 2, "coordinate": 0.5, "size": 3, "focal": 4, "dice": 0.7} | ({"gram": gram} if gram else {})
    assert loss.terms.keys() == {"loss", *shares}
    assert float(loss.total) == pytest.approx(sum(w * float(loss.terms[k]) for k, w in shares.items()), rel=1e-5)
