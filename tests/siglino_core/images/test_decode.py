"""Images: every format decodes the same everywhere, and nothing broken gets through."""

import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from siglino_core.config import Verify
from siglino_core.images.decode import FORMATS, BadImage, ImageInfo, decode, decode_alpha, decode_numbers, probe
from siglino_core.images.formats import ready
from tests.pictures import broken, encode, flipped, noise, picture, pixels, png_chunk, png_of

LIMITS = {"max_pixels": 89_478_485, "max_bytes": 64 << 20}
BROKEN = broken()
LOSSLESS = ("png", "bmp", "tiff", "jp2")


def info(data: bytes, verify: Verify = Verify.DECODE) -> ImageInfo:
    return probe(data, verify=verify, **LIMITS)


def refused(data: bytes, **limits: int) -> BadImage:
    with pytest.raises(BadImage) as caught:
        probe(data, verify=Verify.DECODE, **{**LIMITS, **limits})
    return caught.value


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("verify", Verify)
def test_every_format_is_probed(kind: str, verify: Verify) -> None:
    assert info(picture(1, kind), verify) == ImageInfo(kind, 48, 32)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes_to_rgb(kind: str) -> None:
    got = decode(picture(1, kind), **LIMITS)
    assert (got.mode, got.size) == ("RGB", (48, 32))
    error = np.abs(np.asarray(got).astype(int) - np.asarray(pixels(1)).astype(int)).mean()
    assert error < (0.01 if kind in LOSSLESS else 12)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_have_their_reason(name: str) -> None:
    data, reason = BROKEN[name]
    assert refused(data).reason == reason
    with pytest.raises(BadImage) as caught:
        decode(data, **LIMITS)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncation_is_found_in_every_format(kind: str, share: float) -> None:
    data = noise(3, kind=kind)
    assert refused(data[: max(16, int(len(data) * share))]).reason == "truncated"


def test_a_progressive_jpeg_is_decoded_to_its_end() -> None:
    data = encode(pixels(1, (200, 200)), progressive=True)
    assert info(data).width == 200
    assert refused(data[:-20]).reason == "truncated"


def test_the_header_is_enough_when_asked() -> None:
    data = noise(1, kind="jpeg")
    assert info(data[: len(data) // 2], Verify.HEADER) == ImageInfo("jpeg", 64, 64)


def test_limits() -> None:
    data = picture(1)
    assert info(data)
    assert refused(data, max_pixels=48 * 32 - 1).reason == "too_many_pixels"
    assert probe(data, verify=Verify.DECODE, max_pixels=48 * 32, max_bytes=len(data))
    assert refused(data, max_bytes=len(data) - 1).reason == "too_many_bytes"


def test_a_limit_above_pillows_own_counts() -> None:
    data = png_of(20_000, 20_000, png_chunk(b"IDAT", b""))
    got = probe(data, verify=Verify.HEADER, max_pixels=500_000_000, max_bytes=1 << 20)
    assert (got.width, got.height) == (20_000, 20_000)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypmp42\0\0\0\0",
        b"  <svg xmlns='http://www.w3.org/2000/svg'/>",
        b"8BPS\0\1",
        b"P6\n1 1\n255\nabc",
    ],
)
def test_other_formats_are_unsupported(data: bytes) -> None:
    assert refused(data).reason == "unsupported"


SCANLINES = png_chunk(b"IDAT", zlib.compress(b"\0\1\2\3"))
LONG = bytes(50 << 20)


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(LONG)),
        png_chunk(b"tEXt", b"comment\0" + LONG[: 3 << 20]),
        png_chunk(b"iTXt", b"comment\0\1\0\0\0" + zlib.compress(LONG)),
        png_chunk(b"iCCP", b"wide\0\0" + zlib.compress(LONG)),
        png_chunk(b"tEXt", b"comment\0hello")[:-1] + b"\0",  # a wrong check sum
        png_chunk(b"eXIf", b"II*\0")[:-1] + b"\0",
    ],
    ids=["zTXt", "tEXt", "iTXt", "iCCP", "damaged text", "damaged EXIF"],
)
def test_what_is_written_beside_a_png_does_not_cost_the_picture(chunk: bytes) -> None:
    for data in (png_of(1, 1, chunk, SCANLINES), png_of(1, 1, SCANLINES, chunk)):
        assert info(data) == ImageInfo("png", 1, 1)
        assert decode(data, **LIMITS).getpixel((0, 0)) == (1, 2, 3)


def test_a_png_keeps_how_it_is_turned_when_the_rest_is_left_out() -> None:
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'
    long = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(LONG))
    rows = png_chunk(b"IDAT", zlib.compress((b"\0" + bytes(6)) * 5))
    assert decode(png_of(2, 5, png_chunk(b"iTXt", xmp), long, rows), **LIMITS).size == (5, 2)


def test_a_gif_frame_larger_than_its_canvas_is_not_allocated() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
    dispose = b"\x21\xf9\x04\x08\0\0\0\0"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\0;"
    assert refused(screen + dispose + frame).reason == "too_many_pixels"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_the_pixels_and_the_size(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = pixels(5, (64, 32))
    data = encode(image, kind, exif=exif, **({"quality": 95} if kind == "jpeg" else {}))
    got = decode(data, **LIMITS)
    for verify in Verify:
        found = info(data, verify)
        assert (found.width, found.height) == got.size == ((64, 32) if orientation < 5 else (32, 64))
    array = np.asarray(image)
    upright = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).swapaxes(0, 1),
        8: np.rot90(array),
    }[orientation]
    assert np.abs(np.asarray(got).astype(int) - upright.astype(int)).mean() < 12


def test_damaged_exif_does_not_drop_the_image() -> None:
    data = encode(pixels(1), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(7))
    assert info(data) == ImageInfo("jpeg", 48, 32)
    assert decode(data, **LIMITS).size == (48, 32)


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.putpixel((1, 1), (0, 0, 255, 255))
    palette = Image.new("P", (4, 4))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((0, 0), 1)
    grey = Image.new("LA", (4, 4), (0, 0))
    for data in (encode(clear, "png"), encode(clear, "webp", lossless=True), encode(grey, "png")):
        assert decode(data, **LIMITS).getpixel((3, 3)) == (255, 255, 255)
    assert decode(encode(clear, "png"), **LIMITS).getpixel((1, 1)) == (0, 0, 255)
    got = decode(encode(palette, "png", transparency=0), **LIMITS)
    assert (got.getpixel((3, 3)), got.getpixel((0, 0))) == ((255, 255, 255), (255, 0, 0))


def test_deep_grey_and_other_modes() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = (ramp / 257).round().astype(np.uint8)
    for kind in ("png", "tiff"):
        got = np.asarray(decode(encode(Image.fromarray(ramp), kind), **LIMITS))
        assert np.array_equal(got[..., 0], expected)
        assert np.array_equal(got[..., 1], expected)
    real = np.asarray(decode(encode(Image.fromarray(ramp.astype(np.float32) / 7), "tiff"), **LIMITS))
    assert np.abs(real[..., 0].astype(int) - expected).max() <= 1
    long = np.asarray(decode(encode(Image.fromarray(ramp.astype(np.int32) * 9), "tiff"), **LIMITS))
    assert np.abs(long[..., 0].astype(int) - expected).max() <= 1
    for mode in ("1", "L", "P", "CMYK"):
        kind = "jpeg" if mode == "CMYK" else "png"
        got = decode(encode(pixels(2).convert(mode), kind), **LIMITS)
        assert (got.mode, got.size) == ("RGB", (48, 32))


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    for kind in ("gif", "webp", "png", "tiff"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
        red, green, blue = np.asarray(decode(data, **LIMITS)).reshape(-1, 3).mean(0)
        assert red > 240
        assert green + blue < 20


def test_a_multi_picture_jpeg_is_a_jpeg() -> None:
    frames = [pixels(i) for i in range(2)]
    data = encode(frames[0], "mpo", save_all=True, append_images=frames[1:])
    assert info(data) == ImageInfo("jpeg", 48, 32)
    assert decode(data, **LIMITS).size == (48, 32)


def test_draft_keeps_the_short_side() -> None:
    data = encode(pixels(1, (1600, 800)), quality=90)
    assert decode(data, draft=100, **LIMITS).size == (200, 100)
    assert decode(data, draft=101, **LIMITS).size == (400, 200)
    assert decode(data, draft=900, **LIMITS).size == (1600, 800)
    assert decode(encode(pixels(1, (1600, 800)), "png"), draft=100, **LIMITS).size == (1600, 800)


def test_nothing_warns_and_pillows_own_limit_is_back_afterwards() -> None:
    before = Image.MAX_IMAGE_PIXELS
    big = png_of(10_000, 10_000, png_chunk(b"IDAT", b""))  # between Pillow's warning and its error
    corrupt_tiff = encode(pixels(1), "tiff")[:40]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(big).reason == "too_many_pixels"
        assert refused(corrupt_tiff).reason == "truncated"
        for kind in FORMATS:
            info(picture(1, kind))
    assert before == Image.MAX_IMAGE_PIXELS


def test_threads_share_the_guard() -> None:
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    found: list[ImageInfo] = []
    data = picture(1)
    threads = [threading.Thread(target=lambda: found.extend(info(data) for _ in range(50))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 400
    assert (before, filters) == (Image.MAX_IMAGE_PIXELS, list(warnings.filters))


@settings(max_examples=200)
@given(st.sampled_from(FORMATS), st.integers(0, 2000), st.integers(1, 200), st.binary(max_size=60))
def test_whatever_is_done_to_a_file_it_is_read_or_refused(kind: str, at: int, cut: int, put: bytes) -> None:
    data = picture(7, kind)
    at %= len(data)
    mangled = data[:at] + put + data[at + cut :]
    for act in (lambda: info(mangled), lambda: decode(mangled, **LIMITS)):
        try:
            act()
        except BadImage as e:
            reason = e.reason
        else:
            reason = ""
        assert reason in {"", "zero_size", "not_an_image", "unsupported", "too_many_pixels", "truncated", "corrupt"}


def test_a_flipped_byte_in_a_png_is_corrupt() -> None:
    assert refused(flipped(noise(4))).reason == "corrupt"


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_tiff_of_a_camera_is_scaled_by_the_cameras_range(bits: int) -> None:
    levels = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
    got = np.asarray(decode(encode(Image.fromarray(levels), "tiff"), **LIMITS))[..., 0].astype(int)
    assert np.abs(got - np.arange(256).reshape(16, 16)).max() <= 1
    dark = np.asarray(decode(encode(Image.fromarray(levels), "png"), **LIMITS))[..., 0]
    assert dark.max() == round((2**bits - 1) / 257)  # a PNG says itself how many bits count


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("text", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_orientation_may_stand_in_xmp_alone(kind: str, text: str) -> None:
    xmp = f"<x:xmpmeta><rdf:Description {text}/></x:xmpmeta>".encode()
    beside = PngInfo()
    beside.add_itxt("XML:com.adobe.xmp", xmp.decode())
    data = encode(pixels(5, (64, 32)), kind, **({"pnginfo": beside} if kind == "png" else {"xmp": xmp}))
    assert [info(data, v).width for v in Verify] == [32, 32]
    assert decode(data, **LIMITS).size == (32, 64)


def test_a_format_without_its_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture(1, "heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    ready.cache_clear()
    try:
        e = refused(data)
    finally:
        monkeypatch.undo()
        ready.cache_clear()
    assert e.reason == "unsupported"
    assert "pip install 'siglino[formats]'" in e.message
    assert info(data).format == "heic"


def test_an_avif_under_a_general_brand() -> None:
    data = picture(1, "avif")
    assert info(data.replace(b"ftypavif", b"ftypmif1", 1)).format == "avif"


def test_a_large_image_is_converted_in_bands_as_a_small_one_is() -> None:
    rng = np.random.default_rng(0)
    clear = Image.fromarray(rng.integers(0, 256, (700, 3000, 4), dtype=np.uint8), "RGBA")
    white = Image.new("RGBA", clear.size, "white")
    expected = Image.alpha_composite(white, clear).convert("RGB")
    assert np.array_equal(np.asarray(decode(encode(clear, "png"), **LIMITS)), np.asarray(expected))
    deep = rng.integers(0, 65536, (700, 3000), dtype=np.uint16)
    got = np.asarray(decode(encode(Image.fromarray(deep), "png"), **LIMITS))[..., 0]
    assert np.array_equal(got, (deep / 257).round().astype(np.uint8))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_a_tiff_of_real_numbers_in_a_usual_range_is_not_stretched(top: float) -> None:
    levels = np.linspace(0.2, 0.7, 256).reshape(16, 16)
    got = np.asarray(decode(encode(Image.fromarray((levels * top).astype(np.float32)), "tiff"), **LIMITS))[..., 0]
    assert np.abs(got - levels * 255).max() <= 0.51
    stretched = decode(encode(Image.fromarray((levels * top * 3000).astype(np.float32)), "tiff"), **LIMITS)
    assert stretched.getextrema()[0] == (0, 255)


def test_a_deep_tiff_that_counts_from_white(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.tif", tiffinfo={262: 0})
    got = np.asarray(decode((tmp_path / "a.tif").read_bytes(), **LIMITS))[..., 0]
    assert np.array_equal(got, 255 - (levels / 257).round().astype(np.uint8))


def test_alpha_is_kept_and_upright() -> None:
    im = pixels(1, (4, 2)).convert("RGBA")
    im.putalpha(Image.fromarray(np.array([[0, 255, 7, 9], [128, 3, 255, 255]], np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    got = decode_alpha(encode(im, "png", exif=exif), **LIMITS)
    assert (got.mode, got.size) == ("RGBA", (2, 4))
    assert np.array_equal(np.asarray(got), np.asarray(im.transpose(Image.Transpose.ROTATE_270)))


def test_a_palettes_transparency_is_alpha_and_no_transparency_is_opaque() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    alpha = np.asarray(decode_alpha(encode(palette, "png", transparency=1), **LIMITS))[..., 3]
    assert alpha.tolist() == [[255, 0, 255]]
    assert (np.asarray(decode_alpha(picture(1, "jpeg"), **LIMITS))[..., 3] == 255).all()
    deep = Image.fromarray(np.full((2, 2), 40_000, np.uint16))
    assert np.asarray(decode_alpha(encode(deep, "png"), **LIMITS)).tolist() == [[[156, 156, 156, 255]] * 2] * 2


def test_alpha_has_the_same_bounds() -> None:
    data, reason = BROKEN["bomb"]
    with pytest.raises(BadImage) as caught:
        decode_alpha(data, **LIMITS)
    assert caught.value.reason == reason


def test_class_numbers_come_through_a_file_that_decode_could_read() -> None:
    numbers = np.array([[0, 255], [19, 1]], np.uint8)
    assert np.array_equal(decode_numbers(encode(Image.fromarray(numbers), "png"), **LIMITS), numbers)
    with pytest.raises(BadImage, match="colours"):
        decode_numbers(picture(1, "png"), **LIMITS)
