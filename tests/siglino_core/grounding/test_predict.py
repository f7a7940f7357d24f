"""From images and expressions to boxes and masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.errors import DataError
from siglino_core.grounding.answers import answers
from siglino_core.grounding.cache import image_states
from siglino_core.grounding.predict import full_mask, predict, replies
from siglino_core.grounding.vocabulary import ANSWERS, Control
from siglino_core.models.processor import SigLinoImageProcessor
from tests.siglino_core.grounding.models import grounding, stirred
from tests.siglino_core.models.tiny import TINY, patches

RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 255, (75, 101, 3), dtype=np.uint8))
PROCESSOR = SigLinoImageProcessor(patch_size=16, min_pixels=48**2, max_pixels=96**2)


def always(present: float, more: float = -9.0):
    """A model that answers so: logits of present and of one more instance."""
    model = stirred(grounding(TINY)[0])
    with torch.no_grad():
        model.answer.weight.zero_()
        model.answer.bias.zero_()
        model.answer.bias[ANSWERS.index(Control.PRESENT)] = present
        model.answer.bias[ANSWERS.index(Control.COORDINATE)] = more
    return model


def test_what_is_present_has_an_instance_and_what_is_absent_none() -> None:
    found = predict(always(9.0), PICTURE, ["a", "the red one"], "mask", processor=PROCESSOR)
    assert [len(f) for f in found] == [1, 1]
    one = found[0][0]
    assert one.mask is not None
    assert (one.mask.shape, one.mask.dtype) == ((75, 101), np.bool_)
    assert 0 <= one.box_xyxy[0] <= one.box_xyxy[2] <= 101
    assert 0 <= one.box_xyxy[1] <= one.box_xyxy[3] <= 75
    assert one.present == pytest.approx(1, abs=1e-3)
    assert 0 < one.score < 1
    assert always(-9.0).predict(PICTURE, ["a"], processor=PROCESSOR) == [[]]


def test_forced_and_at_most() -> None:
    (forced,) = predict(always(-9.0, more=9.0), PICTURE, ["a"], processor=PROCESSOR, forced=True)
    assert len(forced) == 1
    assert forced[0].mask is None
    (many,) = predict(always(9.0, more=9.0), PICTURE, ["a"], processor=PROCESSOR, most=4)
    assert len(many) == 4


def test_replies_have_the_chance_of_what_is_absent_too_and_come_one_by_one() -> None:
    said = list(replies(always(-9.0), PICTURE, ["a", "b"], processor=PROCESSOR))
    assert [(r.instances, r.complete) for r in said] == [([], True)] * 2
    assert [r.present for r in said] == pytest.approx([1 / (1 + np.exp(9))] * 2, rel=1e-3)
    cut = next(iter(replies(always(9.0, more=9.0), PICTURE, ["a"], processor=PROCESSOR, most=2)))
    assert (len(cut.instances), cut.complete) == (2, False)


def test_one_that_has_more_says_so() -> None:
    model = always(9.0, more=9.0)
    (patches_NV,) = patches(TINY, [(2, 3)])
    image = image_states(model, patches_NV, (2, 3))
    assert [a.complete for a in answers(model, image, [[5], [6, 7]], most=2)] == [False, False]
    ends = always(9.0)
    assert [a.complete for a in answers(ends, image_states(ends, patches_NV, (2, 3)), [[5]], most=1)] == [True]
    assert answers(model, image, []) == []


def test_an_answer_does_not_depend_on_the_others() -> None:
    model = stirred(grounding(TINY)[0], seed=3)
    queries = ["the left circle", "star", "a rather long expression with many words", "star"]
    together = predict(model, PICTURE, queries, processor=PROCESSOR, forced=True)
    for query, found in zip(queries, together, strict=True):
        (alone,) = predict(model, PICTURE, [query], processor=PROCESSOR, forced=True)
        assert alone[0].box_xyxy == pytest.approx(found[0].box_xyxy, abs=1e-3)
        assert alone[0].score == pytest.approx(found[0].score, abs=1e-5)
    assert together[1][0].box_xyxy == together[3][0].box_xyxy


def test_a_mask_is_scaled_before_it_is_compared() -> None:
    logits_hw = torch.tensor([[4.0, -1.0]])
    assert full_mask(logits_hw, 1, 8)[0].tolist() == [True] * 5 + [False] * 3  # a nearest neighbour would say 4


@pytest.mark.parametrize(
    ("queries", "settings", "error", "said"),
    [
        ("a circle", {}, ValueError, "a list of expressions"),
        (["a"], {"task": "boxes"}, ValueError, "'box' or 'mask'"),
        (["a"], {"most": 0}, ValueError, "at least 1"),
        (["a", " "], {}, DataError, "without text"),
    ],
)
def test_bad_input(queries: list[str], settings: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        predict(always(9.0), PICTURE, queries, processor=PROCESSOR, **settings)  # type: ignore[arg-type]
