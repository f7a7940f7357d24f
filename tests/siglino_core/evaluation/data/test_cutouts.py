"""Which images are cut-outs, and to which half each belongs."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from siglino_core.errors import ConfigError
from siglino_core.evaluation.data.cutouts import Cutout, Half, common_labels, fault, from_pool, half_of, usable
from siglino_core.images.decode import BadImage
from tests.cutouts import cutouts, shape
from tests.pictures import broken, encode, picture, pixels


def with_alpha(alpha_HW: np.ndarray, kind: str = "png") -> bytes:
    im = pixels(1, (alpha_HW.shape[1], alpha_HW.shape[0]))
    im.putalpha(Image.fromarray(alpha_HW.astype(np.uint8)))
    return encode(im, kind)


def square(side: int, level: int = 255) -> np.ndarray:
    alpha_HW = np.zeros((20, 20))
    alpha_HW[:side, :side] = level
    return alpha_HW


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_alpha(square(10)), ""),
        (with_alpha(square(20)), "opaque"),
        (picture(1, "jpeg"), "opaque"),
        (picture(1, "png"), "opaque"),
        (with_alpha(square(0)), "empty"),
        (with_alpha(square(2)), "empty"),
        (with_alpha(square(3)), ""),
        (with_alpha(square(10, 128)), "soft"),
        (with_alpha(square(20, 128)), "soft"),
        (with_alpha(np.where(square(10) > 0, 255, 8)), ""),
        *broken().values(),
    ],
)
def test_what_is_a_cutout(data: bytes, reason: str) -> None:
    assert fault(data) == reason


def test_webp_and_palettes_have_transparency_too() -> None:
    assert fault(shape("disc", 0, "webp")) == ""
    palette = Image.fromarray(np.where(square(10) > 0, 1, 0).astype(np.uint8)).convert("P")
    assert fault(encode(palette, "png", transparency=0)) == ""
    assert fault(encode(palette, "png")) == "opaque"


def test_pixels_are_cropped_to_the_object() -> None:
    alpha_HW = square(0)
    alpha_HW[4:9, 3:15] = 255
    alpha_HW[12, 12] = 5  # as good as clear
    im = Cutout(cutout_id="a", data=with_alpha(alpha_HW), label="x").pixels()
    assert im.size == (12, 5)
    assert (np.asarray(im)[..., 3] == 255).all()
    with pytest.raises(BadImage, match="clear"):
        Cutout(cutout_id="a", data=with_alpha(square(0)), label="x").pixels()


def test_equal_images_and_equal_ids_are_used_once() -> None:
    one, other = cutouts(2)
    copy = Cutout(cutout_id="a copy", data=other.data, label="bar")
    again = Cutout(cutout_id=one.cutout_id, data=shape("disc", 77), label="disc")
    kept, left_out = usable([other, one, copy, again, Cutout(cutout_id="z", data=picture(1), label="x")])
    assert [c.cutout_id for c in kept] == ["a copy", one.cutout_id]
    assert left_out == {"repeated": 2, "opaque": 1}


def test_halves_are_by_id_and_of_the_share_asked_for() -> None:
    ids = [f"image {i}" for i in range(2000)]
    tests = {i for i in ids if half_of(i, 0.3) is Half.TEST}
    assert abs(len(tests) - 600) < 80
    assert tests < {i for i in ids if half_of(i, 0.6) is Half.TEST}
    assert [half_of(i, 0.5).value for i in ids[:4]] == [
        "test",
        "train",
        "test",
        "test",
    ]  # as ever: results would change


def test_classes_need_cutouts_in_both_halves() -> None:
    made = cutouts(60)
    counts = Counter((c.label, half_of(c.cutout_id, 0.5)) for c in made)
    least = min(counts.values())
    assert common_labels(made, 0.5, least) == ["bar", "box", "disc"]
    short = min(counts, key=lambda pair: counts[pair])[0]
    assert short not in common_labels(made, 0.5, least + 1)


def test_a_pools_labelled_images_are_read(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = cutouts(4)
    table = pa.table(
        {
            "key": [c.cutout_id for c in made],
            "image": [c.data for c in made],
            "label": [*(c.label for c in made[:3]), None],
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    found, left_out = from_pool(str(tmp_path / "pool.parquet"))
    assert found == made[:3]
    assert left_out == {"no_label": 1}
    pq.write_table(table.drop(["label"]), tmp_path / "pool.parquet")
    with pytest.raises(ConfigError, match="no image has a label"):
        from_pool(str(tmp_path / "pool.parquet"))
