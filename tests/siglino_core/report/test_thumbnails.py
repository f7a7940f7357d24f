"""Thumbnails: any mode and codec, bad bytes, and the budget."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from siglino_core.report import thumbnails
from siglino_core.report.thumbnails import LADDER, Rung, fit, thumbnail
from tests.siglino_core.report import samples


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_a_small_picture(mode: str) -> None:
    out = io.BytesIO()
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        Image.fromarray(np.arange(300 * 200).reshape(200, 300).astype(kind)).save(out, "TIFF")
    else:
        Image.new("RGB", (300, 200), (200, 30, 60)).convert(mode).save(out, "TIFF" if mode == "CMYK" else "PNG")
    small = opened(thumbnail(out.getvalue(), Rung(96, 60)))
    assert max(small.size) == 96
    assert small.mode == "RGB"


@pytest.mark.parametrize("data", [None, b"", b"rubbish", b"\x89PNG\r\n\x1a\n", samples.image()[:80]])
def test_bad_bytes_give_none(data: bytes | None) -> None:
    assert thumbnail(data, LADDER[0]) is None


def test_a_bomb_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 100)
    assert thumbnail(samples.image(), LADDER[0]) is None


def test_transparency_is_shown_on_white() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(out, "PNG")
    assert np.asarray(opened(thumbnail(out.getvalue(), Rung(32, 80)))).min() > 245


def test_without_webp_it_is_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "WEBP", False)
    assert opened(thumbnail(samples.image(), LADDER[0])).format == "JPEG"


@pytest.mark.parametrize("budget", [10, 20_000, 200_000, 10_000_000])
def test_the_budget_holds(budget: int) -> None:
    images = [samples.image(i, (150, 150)) for i in range(40)] + [None, b"rubbish"]
    made = fit(images, budget)
    assert len(made) == len(images)
    assert sum(len(uri or "") for uri in made) <= budget
    assert made[-2:] == [None, None]
    shown = [i for i, uri in enumerate(made) if uri]
    if budget == 20_000:
        assert 4 <= len(shown) < 40
        assert shown[-1] > 20  # the few are spread over all
    if budget >= 200_000:
        assert len(shown) == 40


def test_more_room_gives_better_pictures() -> None:
    images = [samples.image(i, (150, 150)) for i in range(10)]
    edges = [opened(fit(images, budget)[9]).width for budget in (40_000, 10_000_000)]
    assert edges[0] < edges[1] == LADDER[0].edge


def test_no_images() -> None:
    assert fit([], 100) == []
    assert fit([None, b""], 100) == [None, None]
