"""Cut-outs: images of one object with real transparency around it, and which of them can be used.

Legend: H and W pixels.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image

from siglino_core.config import SourceConfig
from siglino_core.errors import ConfigError
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.images.decode import BadImage, decode_alpha
from siglino_core.pools import sniff
from siglino_core.pools.record import Found, Refused

MAX_PIXELS, MAX_BYTES = 1 << 24, 1 << 26
CLEAR, SOLID = 8, 247  # alpha up to CLEAR is not the object, from SOLID it is; between them it is either
LEAST, MOST = 0.02, 0.98  # share of solid pixels in the image
SOFTEST = 0.5  # share of soft pixels in the object


class Half(StrEnum):
    """Which of the two a cut-out belongs to."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """An encoded image with the class of its object; ``cutout_id`` is unique, and the same wherever the file lies."""

    cutout_id: str
    data: bytes
    label: str

    def pixels(self) -> Image.Image:
        """RGBA, cropped to what is not clear.

        Raises:
            BadImage: it cannot be decoded, or nothing in it is to be seen.
        """
        im = decode_alpha(self.data, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
        box = im.getchannel("A").point([255 * (level > CLEAR) for level in range(256)]).getbbox()
        if box is None:
            raise BadImage("empty", "all of it is clear")
        return im.crop(box)


def fault(data: bytes) -> str:
    """Why an image is no cut-out, in a word; empty: it is one.

    ``opaque``: nearly all of it is solid, so that its object has no outline. ``empty``: hardly anything is. ``soft``:
    most of the object is half transparent, so that no pixel is surely its own. Else as `BadImage`.
    """
    try:
        im = decode_alpha(data, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
    except BadImage as e:
        return e.reason
    alpha_HW = np.asarray(im.getchannel("A"))
    solid, seen = float((alpha_HW >= SOLID).mean()), float((alpha_HW > CLEAR).mean())
    if solid > MOST:
        return "opaque"
    if seen < LEAST:
        return "empty"
    if seen - solid > SOFTEST * seen:
        return "soft"
    return "empty" if solid < LEAST else ""


def usable(cutouts: Iterable[Cutout]) -> tuple[list[Cutout], Counter[str]]:
    """Those that can be used, by id, and how many were left out for what reason.

    Of equal images the one with the lowest id is kept, so that train and test do not share it under two names.
    """
    kept: list[Cutout] = []
    left_out: Counter[str] = Counter()
    ids: set[str] = set()
    contents: set[bytes] = set()
    for cutout in sorted(cutouts, key=lambda c: c.cutout_id):
        content = hashlib.sha256(cutout.data).digest()
        if cutout.cutout_id in ids or content in contents:
            left_out["repeated"] += 1
            continue
        ids.add(cutout.cutout_id)
        contents.add(content)
        if reason := fault(cutout.data):
            left_out[reason] += 1
        else:
            kept.append(cutout)
    return kept, left_out


def half_of(cutout_id: str, test_share: float) -> Half:
    """Whether a cut-out is for training or for testing: by its id alone, whatever the seed of the scenes."""
    number = uniform(key_of("cut-outs: train or test"), id_bits([hashlib.sha256(cutout_id.encode()).hexdigest()]))
    return Half.TEST if number[0] < test_share else Half.TRAIN


def common_labels(cutouts: Sequence[Cutout], test_share: float, least: int) -> list[str]:
    """The labels that have ``least`` cut-outs for training and for testing, sorted."""
    counts = Counter((c.label, half_of(c.cutout_id, test_share)) for c in cutouts)
    return sorted(label for label in {c.label for c in cutouts} if all(counts[label, h] >= least for h in Half))


def from_pool(uri: str, *, label_column: str = "") -> tuple[list[Cutout], Counter[str]]:
    """The labelled images of a pool of any layout, not yet looked at, and how many were left out.

    Raises:
        ConfigError: no image of it has a label.
        DataError, StoreError: the pool cannot be read.
    """
    config = SourceConfig(uri=uri, label_column=label_column)
    pool = sniff.open_pool(config)
    found: list[Cutout] = []
    left_out: Counter[str] = Counter()
    for shard in pool.plan(config):
        for entry in sniff.read(pool.format, pool.location, shard, config):
            if isinstance(entry, Found) and entry.label:
                found.append(Cutout(cutout_id=entry.key, data=entry.data, label=entry.label))
            elif isinstance(entry, Found):
                left_out["no_label"] += 1
            elif isinstance(entry, Refused):
                left_out[entry.reason] += entry.images
    if not found:
        raise ConfigError(f"{pool.uri}: no image has a label, and a cut-out's class is its label. Set a label column.")
    return found, left_out
