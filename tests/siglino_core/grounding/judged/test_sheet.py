"""The sheet holds every picture, over its text, whatever their number and form."""

import io

import pytest
from PIL import Image

from siglino_core.grounding.judged.sheet import GAP, LINE, SIDE, sheet


def tile(colour: str, size: tuple[int, int] = (300, 200)) -> tuple[bytes, str, str, bool]:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue(), f"the {colour} thing", "IoU 0.80: right", True


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (6, 4, 2)])
def test_every_picture_has_its_place(count: int, columns: int, rows: int) -> None:
    colours = ["red", "lime", "blue", "yellow", "cyan", "magenta"][:count]
    picture = Image.open(io.BytesIO(sheet([tile(c) for c in colours])))
    assert picture.size == (columns * (SIDE + GAP) + GAP, rows * (SIDE + 2 * LINE + GAP) + GAP)
    for i, colour in enumerate(colours):
        x = GAP + (i % columns) * (SIDE + GAP) + SIDE // 2
        y = GAP + (i // columns) * (SIDE + 2 * LINE + GAP) + SIDE // 2
        found, wanted = picture.getpixel((x, y)), Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        assert isinstance(found, tuple)
        assert isinstance(wanted, tuple)
        assert all(abs(a - b) < 12 for a, b in zip(found, wanted, strict=True))


def test_odd_texts_and_thin_pictures() -> None:
    data, _, said, _ = tile("red", (4, 900))
    assert sheet([(data, "\u202e<b>\x07" + "x" * 5_000, said, False), (data, "猫", said, True)])
