"""Other models' answers: three formats by hand, and lines that are none."""

import io
import json
from typing import Any

import pytest

from siglino_core.config import AnswerFormat
from siglino_core.errors import DataError
from siglino_core.grounding.judged.others import Others


def opened(*lines: Any, form: AnswerFormat = AnswerFormat.BOXES) -> Others:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return Others(io.BytesIO(text.encode()), "rival.jsonl", form)


def line(output: Any, image_id: str = "a", expression: str = "the cat") -> dict[str, Any]:
    return {"image_id": image_id, "expression": expression, "output": output}


def test_boxes_by_image_and_expression() -> None:
    others = opened(line([[1, 2, 3, 4], [5, 6, 7, 8]]), "", line(None, "b"), line([], "c", "dog"))
    found = others.answer("a", "  The   CAT", 10, 10)
    assert found is not None
    assert found.boxes_P4.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert found.masks is None
    nothing = others.answer("b", "the cat", 10, 10)
    assert nothing is not None
    assert nothing.boxes_P4.shape == (0, 4)
    assert others.answer("b", "dog", 10, 10) is None
    assert (len(others), others.images()) == (3, {"a", "b", "c"})


def test_a_box_that_is_none_is_counted_and_the_others_stay() -> None:
    found = opened(line([[1, 2, 3], "x", [1, 2, 3, None], [1, 2, 3, 10**400], [9, 9, 1, 1], [float("nan"), 0, 1, 1]]))
    answer = found.answer("a", "the cat", 10, 10)
    assert answer is not None
    assert (answer.malformed, len(answer.boxes_P4)) == (4, 2)


def test_florences_text() -> None:
    text = "The cat<loc_0><loc_100><loc_499><loc_999>a mat<loc_0><loc_0><loc_1><loc_1>"
    others = opened(line(text), line(text, "b", "a mat"), line("nothing</s>", "c"), form=AnswerFormat.FLORENCE)
    first, named, none = (
        others.answer(*key, 1000, 100) for key in (("a", "the cat"), ("b", "a mat"), ("c", "the cat"))
    )
    assert first is not None
    assert first.boxes_P4[0].tolist() == pytest.approx([0.5, 10.05, 499.5, 99.95])
    assert named is not None
    assert named.boxes_P4[0].tolist() == pytest.approx([0.5, 0.05, 1.5, 0.15])
    assert none is not None
    assert not len(none.boxes_P4)
    other = opened(line(text, expression="animal on a mat"), form=AnswerFormat.FLORENCE)
    subject = other.answer("a", "animal on a mat", 1000, 100)
    assert subject is not None
    assert subject.boxes_P4.tolist() == first.boxes_P4.tolist()  # what the sentence is about


def test_falcons_list_with_masks_and_without() -> None:
    entry: dict[str, Any] = {"xy": {"x": 0.5, "y": 0.5}, "hw": {"h": 0.5, "w": 1.0}}
    coded = {**entry, "mask_rle": {"size": [2, 2], "counts": "04"}}  # four ones
    others = opened(line([coded]), line([entry], "b"), line([], "c"), form=AnswerFormat.FALCON)
    masked, bare, none = (others.answer(image, "the cat", 2, 2) for image in "abc")
    assert masked is not None
    assert masked.boxes_P4.tolist() == [[0, 0.5, 2, 1.5]]
    assert masked.masks is not None
    assert masked.masks[0].all()
    assert bare is not None
    assert bare.masks == ()
    assert none is not None
    assert none.masks == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], "line 1 is no JSON"),
        (["", "[1]"], "line 2 lacks image_id, expression, output"),
        ([line([], image_id="")], "line 1: image_id is '', and has to be a text"),
        ([{**line([]), "expression": 7}], "line 1: expression is 7, and has to be a text"),
        ([line([]), line([[0, 0, 1, 1]])], "line 2: image a and 'the cat' were answered otherwise in line 1"),
        ([], "rival.jsonl has no answers"),
        (["[" * 100_000], "line 1 is no JSON"),
    ],
)
def test_a_bad_line_is_named(lines: list[Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(*lines)
    assert said in str(caught.value)


def test_the_same_answer_twice_is_one() -> None:
    assert len(opened(line([[0, 0, 1, 1]]), line([[0, 0, 1, 1]], expression="The cat"))) == 1


@pytest.mark.parametrize(
    ("form", "output"), [("boxes", "text"), ("boxes", [[0, 0, 1, 1]] * 10_001), ("florence", 7), ("falcon", "text")]
)
def test_an_output_of_another_format_is_named_by_its_line(form: str, output: Any) -> None:
    others = opened(line([] if form != "florence" else "", "b"), line(output), form=AnswerFormat(form))
    with pytest.raises(DataError, match=r"rival\.jsonl, line 2: "):
        others.answer("a", "the cat", 10, 10)
