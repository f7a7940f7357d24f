"""Curves over sizes: which results make one, in which order."""

from typing import Any

import pytest

from siglino_core.evaluation.results.curves import curves, side
from siglino_core.evaluation.results.result import Result
from tests.siglino_core.evaluation.made import result


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ({"rule": "squash", "size": 224}, 224),
        ({"rule": "grid", "min_pixels": 65536, "max_pixels": 262144}, 512),
        ({"rule": "own", "size": 378, "crop_share": 1.0}, 378),
        ({"max_pixels": 500 * 300}, 387),
        ({}, None),
        ({"size": 0, "max_pixels": 0}, None),
    ],
)
def test_sides(preprocessing: dict, expected: int | None) -> None:
    assert side(preprocessing) == expected


def at(size: int, value: float = 0.5, rule: str = "squash", weights: str = "w", **more: Any) -> Result:
    own = {"rule": rule, "size": size}
    return result(value, **{"network": f"student-{size}", "preprocessing": own, "hashes": {"network": weights}, **more})


def test_sizes_of_the_same_weights_make_a_curve() -> None:
    some = [at(512), at(224), at(768), at(224, view="dinov3"), at(384, weights="v"), at(300, rule="own")]
    found = curves([*some, at(256, sanity="permuted_labels"), at(512, dataset="dtd")])
    assert len(found) == 1
    assert [size for size, _ in found[0].points] == [224, 512, 768]
    assert (found[0].name, found[0].view, found[0].metric) == ("student-224", "siglip2", "top1")


def test_fidelity_has_no_curve_since_its_teacher_sees_that_size_too() -> None:
    assert curves([at(224, task="fidelity"), at(512, task="fidelity")]) == []


def test_without_a_hash_or_a_size_there_is_none() -> None:
    assert curves([at(224, hashes={}), at(512, hashes={})]) == []
    assert curves([at(224), at(512, preprocessing={})]) == []
    assert curves([]) == []


def test_images_of_one_area_and_images_within_bounds_make_two_curves() -> None:
    def grid(low: int, high: int) -> Result:
        bounds = {"rule": "grid", "min_pixels": low**2, "max_pixels": high**2}
        return result(0.5, network=f"student-{low}-{high}", preprocessing=bounds, hashes={"network": "w"})

    found = curves([grid(128, 256), grid(224, 224), grid(512, 512), grid(256, 256), grid(128, 512)])
    assert [[side for side, _ in c.points] for c in found] == [[256, 512], [224, 256, 512]]
    assert curves([grid(128, 256), grid(512, 512)]) == []
