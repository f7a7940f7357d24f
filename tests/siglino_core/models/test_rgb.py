"""One picture for all: whatever the file, and however it is opened, users' pixels are those of training."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from siglino_core.images.patches import to_floats, to_patches
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.models.rgb import to_rgb
from tests.pictures import encode, picture, pixels, png_chunk
from tests.siglino_core.models.tiny import TINY, filled

PROCESSOR = SigLinoImageProcessor()
HELD = {  # the modes that each format's files hold, as Pillow writes them
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr"),
    "webp": ("L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "HSV"),
    "tiff": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16", "I;16B", "F"),
    "gif": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "avif": ("L", "LA", "RGB", "RGBA", "RGBa"),
    "jp2": ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"),
    "heic": ("L", "RGB", "RGBA"),
    "jxl": ("L", "RGB", "RGBA"),
}
TURNED = ("png", "jpeg", "webp", "tiff", "avif", "heic", "jxl")  # that carry EXIF
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of a PNG's colour types


def of_mode(image: Image.Image, alpha: Image.Image, mode: str, levels: int) -> Image.Image:
    """An RGB image in another mode, with an alpha channel where that has one, and up to so many levels where deep."""
    grey = np.asarray(image.convert("L")).astype(np.float64) / 255
    match mode:
        case "LA" | "La" | "RGBA" | "RGBa":
            clear = image.convert("LA" if mode[0] == "L" else "RGBA")
            clear.putalpha(alpha)
            return clear.convert(mode)
        case "PA":
            clear = image.convert("P").convert("PA")
            clear.putalpha(alpha)
            return clear
        case "LAB":
            profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            lab = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
            assert lab is not None
            return lab
        case "I":
            return Image.fromarray((grey * levels).astype(np.int32))
        case "I;16" | "I;16B":
            return Image.fromarray((grey * levels).astype("<u2" if mode == "I;16" else ">u2"))
        case "F":
            return Image.fromarray((grey * {1023: 1, 4095: 255}.get(levels, levels)).astype(np.float32))
    return image.convert(mode)


def deep_png(levels_HWC: np.ndarray, kind: int, clear: tuple[int, ...] = ()) -> bytes:
    """A PNG of 16 bits, with a colour that is transparent if one is given."""
    height, width = levels_HWC.shape[:2]
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if clear:
        chunks.append(png_chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels_HWC)
    chunks += [png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def deep_tiff(levels_HW3: np.ndarray) -> bytes:
    """An RGB TIFF of 16 bits a colour, which Pillow reads and does not write."""
    height, width = levels_HW3.shape[:2]
    end = 8 + 2 + 9 * 12 + 4
    values = {256: width, 257: height, 258: end, 259: 1, 262: 2, 273: end + 6, 277: 3, 278: height}
    values[279] = levels_HW3.size * 2
    entries = b"".join(
        struct.pack("<HHIHH", tag, 3, 1, value, 0) if tag in (259, 262, 277) else
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
        for tag, value in values.items()
    )  # fmt: skip
    bits = struct.pack("<HHH", 16, 16, 16)
    head = b"II*\0" + struct.pack("<IH", 8, 9)
    return head + entries + bytes(4) + bits + levels_HW3.astype("<u2").tobytes()


def some_file(seed: int) -> bytes:
    """An image file of a random format, mode, depth, orientation and transparency."""
    rng = np.random.default_rng(seed)
    kind = rng.choice([*HELD, "deep png", "deep tiff"])
    scale = 12 if kind == "jpeg" and seed % 2 else 1  # large enough to be decoded at a fraction of its size
    size = int(rng.integers(20, 110)) * scale, int(rng.integers(20, 110)) * scale
    image, alpha = pixels(seed, size), pixels(seed + 1, size).convert("L")
    levels = int(rng.choice([1023, 4095, 16383, 65535]))
    if kind == "deep png":
        colour = int(rng.choice(list(CHANNELS)))
        bands = np.dstack([np.asarray(image), np.asarray(alpha)])[..., -CHANNELS[colour] :].astype(np.uint16)
        deep = bands * np.uint16(levels // 255)
        clear = tuple(deep[0, 0].tolist()) if colour in (0, 2) and rng.random() < 0.7 else ()
        return deep_png(deep, colour, clear)
    if kind == "deep tiff":
        return deep_tiff((np.asarray(image) / 255.0 * levels).astype(np.uint16))
    mode = str(rng.choice(HELD[kind]))
    options: dict[str, Any] = {}
    if kind in TURNED:
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        options["exif"] = exif.tobytes()
    if kind in ("png", "gif") and mode in ("L", "RGB", "P", "I;16") and rng.random() < 0.6:
        drawn = of_mode(image, alpha, mode, levels)
        first = drawn.getpixel((0, 0))
        options["transparency"] = bytes(range(0, 256, 2)) if (kind, mode) == ("png", "P") and seed % 2 else first
        if kind == "gif" and mode == "RGB":
            del options["transparency"]
    return encode(of_mode(image, alpha, mode, levels), str(kind), **options)


def doors(data: bytes, path: Path) -> dict[str, Any]:
    """A file as users may give it to the processor."""
    path.write_bytes(data)
    loaded, asked = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
    loaded.load()
    asked.getexif()
    asked.convert("RGB")
    return {"path": str(path), "opened": Image.open(path), "loaded": loaded, "bytes": data, "asked": asked}


@pytest.fixture(scope="module")
def model() -> SigLinoModel:
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY))).eval()
    assert isinstance(model, SigLinoModel)
    return model


@pytest.mark.parametrize("part", range(10))
@pytest.mark.filterwarnings("ignore::UserWarning")
@torch.no_grad()
def test_500_files_look_to_users_as_they_do_in_training(part: int, model: SigLinoModel, tmp_path: Path) -> None:
    files = [some_file(seed) for seed in range(50 * part, 50 * part + 50)]
    trained, grids = [], []
    for number, data in enumerate(files):
        for door, image in doors(data, tmp_path / f"{number}").items():
            patches_NV, grid = PROCESSOR.patches(image)
            if door == "path":
                trained.append(to_floats(to_patches(data, grid)))
                grids.append(grid)
            assert torch.equal(patches_NV, trained[-1]), (50 * part + number, door)
    packed = SigLinoModel.features(model, torch.cat(trained), model.layout(grids))
    for images in ([Image.open(tmp_path / f"{n}") for n in range(50)], [tmp_path / f"{n}" for n in range(50)]):
        out = model(**PROCESSOR(images))
        for name, summary in packed.summaries.items():
            torch.testing.assert_close(out.summary_features[name], summary, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", TURNED[:-1])  # JPEG XL's plugin turns, and says so to nobody: its user turns twice
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_turned_is_not_turned_again(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    data = encode(
        pixels(orientation, (60, 40)), kind, exif=exif.tobytes(), **({"xmp": xmp} if kind in ("jpeg", "webp") else {})
    )
    upright = np.asarray(to_rgb(Image.open(io.BytesIO(data))))
    by_user = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    in_place = Image.open(io.BytesIO(data))
    ImageOps.exif_transpose(in_place, in_place=True)
    again = to_rgb(Image.open(io.BytesIO(data)))
    for image in (by_user, in_place, again, again.copy()):
        assert np.array_equal(np.asarray(to_rgb(image)), upright)


def test_a_png_that_says_at_its_end_how_it_is_turned() -> None:
    data, exif = picture(3, "png", (60, 40)), Image.Exif()
    exif[0x0112] = 6
    end = data.rindex(b"IEND") - 4
    late = data[:end] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[end:]
    assert to_rgb(Image.open(io.BytesIO(late))).size == (40, 60)


@pytest.mark.parametrize(("mode", "like"), [("La", "LA"), ("RGBa", "RGBA"), ("HSV", "RGB"), ("RGBX", "RGB")])
def test_modes_that_no_file_holds(mode: str, like: str) -> None:
    image, alpha = pixels(1), pixels(2).convert("L").point(lambda level: max(level, 64))
    got, wanted = (np.asarray(to_rgb(of_mode(image, alpha, m, 255))).astype(int) for m in (mode, like))
    assert np.abs(got - wanted).max() <= 6


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_camera_s_colours_in_a_tiff_of_16_bits_are_bright(bits: int) -> None:
    image = pixels(4, (40, 30))
    bright = np.asarray(image).astype(np.float64)
    bright = bright / bright.max()
    got = np.asarray(to_rgb(Image.open(io.BytesIO(deep_tiff((bright * (2**bits - 1)).astype(np.uint16))))))
    assert got.max() == 255
    assert np.abs(got / 255 - bright).max() <= 1.01 / (2 ** (bits - 8) - 1)


def test_a_transparent_level_of_16_bits() -> None:
    grey = np.full((20, 20, 1), 0x1234, np.uint16)
    grey[5:] = 0x5678
    got = np.asarray(to_rgb(Image.open(io.BytesIO(deep_png(grey, 0, (0x1234,))))))
    assert (got[:5] == 255).all()
    assert (got[5:] == round(0x5678 / 257)).all()
    colours = np.full((20, 20, 3), 0x1234, np.uint16)
    colours[5:] = 0x3456  # its upper 8 bits are the lower ones of the other
    got = np.asarray(to_rgb(Image.open(io.BytesIO(deep_png(colours, 2, (0x1234,) * 3)))))
    assert (got[:5] == 255).all()
    assert (got[5:] == 0x34).all()
