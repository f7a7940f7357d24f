"""What an image processor is given, as pictures: opened images, arrays, tensors, paths, URLs and encoded bytes."""

import io
import os
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from .rgb import to_rgb

TIMEOUT, MAX_BYTES = 30, 1 << 28  # of a download: seconds without an answer, bytes
_CHANNELS = {1, 3, 4}  # of an array: grey, RGB, RGBA
_KINDS = "PIL images, arrays, tensors, paths, URLs or an image file's bytes"


def each(images: Any) -> Iterator[Any]:
    """The images one by one, of one, of a list, of a batch [B, H, W, C] or [B, C, H, W], or of a list of batches."""
    for item in images if isinstance(images, list | tuple) else [images]:
        if _is_array(item) and len(item.shape) == 4:
            yield from item
        else:
            yield item


def picture(image: Any, *, as_given: bool = False) -> Image.Image | np.ndarray:
    """One image as RGB of 8 bits.

    Args:
        image: an opened image; a path, a ``file://`` or ``http(s)://`` URL or a file's bytes; an array or tensor
            [H, W], [H, W, C] or [C, H, W] of 1, 3 or 4 channels (the fourth is alpha, over white). Where both ends
            could be the channels, a tensor's are first and an array's last. Integers are from 0 to 255, real numbers
            from 0 to 1.
        as_given: take an array of real numbers as it is, of any range: fp32 [H, W, 3].

    Raises:
        ValueError: it is none of these, or out of range.
        OSError: a file cannot be read, or is no image.
    """
    if isinstance(image, Image.Image):
        return to_rgb(image)
    if isinstance(image, str | os.PathLike | bytes):
        with Image.open(_file(image)) as im:
            return to_rgb(im)
    if not _is_array(image):
        raise ValueError(f"{type(image).__name__} is no image: give {_KINDS}, one or a list")
    pixels_HWC = _channels_last(image)
    channels = pixels_HWC.shape[2]
    if pixels_HWC.dtype.kind == "f" and as_given:
        if channels == 4:
            raise ValueError("real numbers taken as they are: of 1 or 3 channels")
        if not np.isfinite(pixels_HWC).all():
            raise ValueError("real numbers taken as they are hold NaN or infinity")
        return np.repeat(pixels_HWC, 3 // channels, axis=2).astype(np.float32)
    levels_HWC = _levels(pixels_HWC)
    return to_rgb(Image.fromarray(levels_HWC[..., 0] if channels == 1 else levels_HWC))


def _file(image: Any) -> str | io.BytesIO:
    """A path, or the bytes themselves."""
    if isinstance(image, bytes):
        return io.BytesIO(image)
    name = os.fspath(image)
    scheme = urlsplit(name).scheme
    if scheme == "file":
        return urllib.request.url2pathname(urlsplit(name).path)
    if scheme not in ("http", "https"):
        return name
    request = urllib.request.Request(name, headers={"User-Agent": "siglino"})  # noqa: S310 - its scheme is known
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        data = answer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name}: more than {MAX_BYTES} bytes")
    return io.BytesIO(data)


def _is_array(image: Any) -> bool:
    return not isinstance(image, Image.Image) and hasattr(image, "shape") and hasattr(image, "dtype")


def _channels_last(image: Any) -> np.ndarray:
    """An array or tensor as an array [H, W, C]."""
    first = isinstance(image, torch.Tensor)
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image  # NumPy knows no bfloat16
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape or not {pixels.shape[0], pixels.shape[2]} & _CHANNELS:
        shape = list(image.shape)
        raise ValueError(f"an array of shape {shape}: [H, W], [H, W, C] or [C, H, W] of 1, 3 or 4 channels")
    if pixels.shape[2] not in _CHANNELS or (first and image.ndim == 3 and pixels.shape[0] in _CHANNELS):
        pixels = pixels.transpose(1, 2, 0)
    return pixels


def _levels(pixels: np.ndarray) -> np.ndarray:
    """uint8 of the same shape."""
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"an array of {pixels.dtype}: integers from 0 to 255, or real numbers from 0 to 1")
    low, high, top = pixels.min(), pixels.max(), 1 if pixels.dtype.kind == "f" else 255
    if not (low >= 0 and high <= top):
        what = "real numbers" if top == 1 else "integers"
        mend = "; do_rescale=False takes real numbers as they are" if top == 1 else ""
        raise ValueError(f"{what} from {low} to {high}: an array's are from 0 to {top}{mend}")
    if top == 1:
        pixels = np.rint(pixels.astype(np.float64) * 255)
    return np.ascontiguousarray(pixels.astype(np.uint8))
