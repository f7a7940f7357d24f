"""Every so-manieth member belongs to one part, and each is scored once."""

import numpy as np
import pytest

from siglino_core.curation.sampling import parts
from siglino_core.curation.sampling.parts import in_parts


@pytest.mark.parametrize(("m", "sizes"), [(0, [0]), (4, [4]), (5, [3, 2]), (9, [3, 3, 3])])
def test_parts_are_as_few_and_as_equal_as_can_be(monkeypatch: pytest.MonkeyPatch, m: int, sizes: list[int]) -> None:
    monkeypatch.setattr(parts, "MOST", 4)
    seen: list[int] = []

    def score(row_M: np.ndarray, weight_M: np.ndarray, none: None) -> np.ndarray:
        assert none is None
        seen.append(len(row_M))
        return row_M * weight_M

    rows = np.arange(m)
    assert in_parts(score, rows, rows + 1.0, None).tolist() == (rows * (rows + 1)).tolist()
    assert seen == sizes
