"""The student's config: its named forms, and its ranges."""

from dataclasses import replace
from typing import Any

import pytest

from siglino_core.models import PRESETS, HeadConfig
from tests.siglino_core.models.tiny import DENSE, TINY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 0}, "width=0: at least 1"),
        ({"head_dim": 12}, "head_dim=12: a multiple of 8"),
        ({"registers": -1}, "registers=-1: at least 0"),
        ({"top_k": 5}, "top_k=5: 1 to 4 experts"),
        ({"top_k": 0}, "top_k=0: 1 to 4 experts"),
        ({"expert_hidden": 0}, "expert_hidden=0: at least 1"),
        ({"dense_layers": 1}, "hidden=0: at least 1, since there are dense layers"),
        ({"dense_layers": 3, "hidden": 8}, "dense_layers=3: 0 to 2"),
        ({"rope_min": 30.0}, "rope_min=30.0: above 0, at most 20.0"),
        ({"teachers": (HeadConfig(name="a", dim=8), HeadConfig(name="a", dim=8))}, r"teachers=\['a', 'a'\]: each once"),
        ({"teachers": (HeadConfig(name="siglino", dim=8),)}, "none 'siglino'"),
        ({"teachers": (HeadConfig(name="a.b", dim=8),)}, "words"),
        (
            {"teachers": (HeadConfig(name="a", dim=24, pooled=True),)},
            "a of width 24: a pooled one's is a multiple of 16",
        ),
        ({"teachers": (HeadConfig(name="a", dim=8, form="cnn"),)}, "a: form='cnn': one of mlp, linear, transformer"),
        ({"teachers": (HeadConfig(name="a", dim=8, layers=(1,)),)}, r"a: layers=\[1\]: each once, from 0 to 0"),
        ({"teachers": (HeadConfig(name="a", dim=8, layers=(0, 0)),)}, r"a: layers=\[0, 0\]: each once"),
    ],
)
def test_ranges(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(TINY, **change)


def test_layers_of_both_kinds() -> None:
    mixed = replace(TINY, dense_layers=1, hidden=8)
    assert [mixed.is_mixture(i) for i in range(2)] == [False, True]
    assert [DENSE.is_mixture(i) for i in range(2)] == [False, False]
    assert PRESETS["siglino-nano"].prefix == 5
