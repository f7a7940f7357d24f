"""An encoded image is what is said of it, or the fault has a word and a sentence."""

import pytest

from siglino_core.config import Verify
from siglino_core.errors import DataError
from siglino_core.grounding.data.encoded import fault_of_image, require_size
from tests.pictures import broken, picture


def test_another_size_is_named() -> None:
    data = picture(0, "png", (48, 32))
    assert fault_of_image("x/1", data, 48, 32) is None
    reason, says = fault_of_image("x/1", data, 47, 32) or ("", "")
    assert reason == "another_size"
    assert says == "image x/1 has 48 x 32 pixels, and what is said of it is for 47 x 32"
    require_size("x/1", data, 48, 32)
    with pytest.raises(DataError, match="is for 48 x 33"):
        require_size("x/1", data, 48, 33)


def test_an_image_that_no_student_takes_is_named() -> None:
    assert fault_of_image("x/1", picture(0, "png", (800, 4)), 800, 4) is None
    reason, says = fault_of_image("x/1", picture(0, "png", (804, 4)), 804, 4) or ("", "")
    assert reason == "aspect"
    assert says == "image x/1 has 804 x 4 pixels: one side is over 200 times the other"


def test_what_lacks_its_end_is_found_where_all_of_it_is_decoded() -> None:
    data, reason = broken()["truncated_jpeg"]
    assert fault_of_image("x/1", data, 64, 64) is None
    found = fault_of_image("x/1", data, 64, 64, Verify.DECODE)
    assert found is not None
    assert found[0] == reason
    assert found[1].startswith("image x/1 cannot be used")
