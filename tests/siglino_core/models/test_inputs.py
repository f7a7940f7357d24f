"""What the image processor is given: whatever holds a picture is the same picture."""

import io
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.models import inputs
from siglino_core.models.inputs import each, picture
from tests.pictures import encode, pixels

IMAGE = pixels(1, (40, 24))
HWC = np.asarray(IMAGE)
CHW = HWC.transpose(2, 0, 1)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "an image.png").write_bytes(encode(IMAGE, "png"))
    return tmp_path / "an image.png"


@pytest.fixture
def server(file: Path) -> Any:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(file.parent))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "given",
    [
        IMAGE,
        HWC,
        CHW,
        HWC.astype(np.int64),
        HWC / 255.0,
        (CHW / 255.0).astype(np.float32),
        torch.from_numpy(HWC.copy()),
        torch.from_numpy(CHW.copy()),
        torch.from_numpy(CHW / 255.0).requires_grad_(),
        (torch.from_numpy(CHW.copy()).double() / 255).half(),
        np.dstack([HWC, np.full((24, 40), 255, np.uint8)]),
        encode(IMAGE, "png"),
    ],
)
def test_one_picture(given: Any) -> None:
    got = picture(given)
    assert isinstance(got, Image.Image)
    off = np.abs(np.asarray(got).astype(int) - HWC).max()
    assert off == (0 if getattr(given, "dtype", None) != torch.float16 else off)
    assert off <= 1


def test_files(file: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (file, str(file), file.as_uri(), f"{server}/an%20image.png"):
        assert np.array_equal(np.asarray(picture(given)), HWC)
    with pytest.raises(OSError, match="404"):
        picture(f"{server}/another.png")
    with pytest.raises(OSError, match=r"No such file.*another\.png"):
        picture(file.parent / "another.png")
    monkeypatch.setattr(inputs, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"an%20image\.png: more than 100 bytes"):
        picture(f"{server}/an%20image.png")


def test_grey_and_alpha() -> None:
    grey = np.arange(600, dtype=np.uint8).reshape(20, 30)
    for given in (grey, grey[..., None], grey[None], torch.from_numpy(grey)):
        assert np.array_equal(np.asarray(picture(given)), np.dstack([grey] * 3))
    clear = np.dstack([HWC, np.zeros((24, 40), np.uint8)])
    assert (np.asarray(picture(clear)) == 255).all()
    assert (np.asarray(picture(torch.from_numpy(clear.transpose(2, 0, 1)).float() / 255)) == 255).all()


def test_where_both_ends_could_be_channels() -> None:
    small = np.arange(3 * 20 * 3, dtype=np.uint8).reshape(3, 20, 3)
    assert np.array_equal(np.asarray(picture(small)), small)
    assert np.array_equal(np.asarray(picture(torch.from_numpy(small))), small.transpose(1, 2, 0))


def test_each() -> None:
    batch = np.stack([HWC, 255 - HWC])
    assert len(list(each(IMAGE))) == len(list(each(HWC))) == len(list(each("a.png"))) == 1
    assert [np.array_equal(a, b) for a, b in zip(each(batch), batch, strict=True)] == [True, True]
    assert len(list(each([IMAGE, batch, torch.from_numpy(batch), "a.png", b""]))) == 7
    assert len(list(each((HWC, CHW)))) == 2


def test_real_numbers_as_they_are() -> None:
    real = np.random.default_rng(0).normal(size=(20, 30, 3))
    for given in (real, real.transpose(2, 0, 1), torch.from_numpy(real)):
        got = picture(given, as_given=True)
        assert isinstance(got, np.ndarray)
        assert got.dtype == np.float32
        assert np.array_equal(got, real.astype(np.float32))
    assert np.array_equal(picture(real[..., 0], as_given=True), np.dstack([real[..., 0].astype(np.float32)] * 3))
    assert isinstance(picture(HWC, as_given=True), Image.Image)
    with pytest.raises(ValueError, match="of 1 or 3 channels"):
        picture(np.zeros((20, 30, 4)), as_given=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (HWC.astype(np.float32), "real numbers from 0.0 to 255.0: an array's are from 0 to 1; do_rescale=False"),
        (HWC / 255.0 - 0.5, "real numbers from -0.5 to 0.5: an array's are from 0 to 1"),
        (np.full((20, 30), np.nan), "real numbers from nan to nan"),
        (HWC.astype(np.uint16) * 257, "integers from 0 to 65535: an array's are from 0 to 255$"),
        (HWC > 3, "an array of bool: integers from 0 to 255, or real numbers from 0 to 1"),
        (HWC.astype(object), "an array of object: integers"),
        (np.zeros((20, 30, 2), np.uint8), r"an array of shape \[20, 30, 2\]: \[H, W\], \[H, W, C\] or \[C, H, W\]"),
        (np.zeros((2, 2, 20, 30, 3), np.uint8), r"an array of shape \[2, 2, 20, 30, 3\]"),
        (np.zeros((0, 30, 3), np.uint8), r"an array of shape \[0, 30, 3\]"),
        ([IMAGE], "list is no image: give PIL images, arrays, tensors, paths, URLs or an image file's bytes, one or a"),
        (None, "NoneType is no image"),
        (3, "int is no image"),
    ],
)
def test_what_is_no_picture(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        picture(given)


def test_a_file_is_closed_and_an_opened_image_is_not(tmp_path: Path) -> None:
    kept = Image.open(io.BytesIO(encode(IMAGE, "gif", save_all=True, append_images=[pixels(2, (40, 24))])))
    picture(kept)
    kept.seek(1)
    assert not np.array_equal(np.asarray(picture(kept)), np.asarray(picture(encode(IMAGE, "gif"))))
