"""Whether an encoded image is what is said of it: it can be decoded, and has the size that boxes and masks are in."""

from siglino_core.config import Verify
from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.referring import SHOWN
from siglino_core.images.decode import BadImage, probe
from siglino_core.models.resolution import MAX_ASPECT

MAX_PIXELS, MAX_BYTES = 1 << 26, 1 << 26  # of an image
ANOTHER_SIZE, ASPECT = "another_size", "aspect"


def fault_of_image(
    image_id: str, data: bytes, width: int, height: int, verify: Verify = Verify.HEADER
) -> tuple[str, str] | None:
    """Why an encoded image cannot be used, in a word and in a sentence; None: it can.

    The word is one of `BadImage`'s, :data:`ANOTHER_SIZE` or :data:`ASPECT`.

    Args:
        verify: whether all of it is decoded, or its header alone.
    """
    name = printable(image_id, SHOWN)
    try:
        shown = probe(data, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES, verify=verify)
    except BadImage as e:
        return e.reason, f"image {name} cannot be used: {e}"
    if (shown.width, shown.height) == (width, height):
        if max(width, height) <= MAX_ASPECT * min(width, height):
            return None
        return ASPECT, f"image {name} has {width} x {height} pixels: one side is over {MAX_ASPECT} times the other"
    said = f"image {name} has {shown.width} x {shown.height} pixels, and what is said of it is for {width} x {height}"
    return ANOTHER_SIZE, said


def require_size(image_id: str, data: bytes, width: int, height: int) -> None:
    """Raises DataError unless the encoded image has this size, which boxes and masks are in."""
    if fault := fault_of_image(image_id, data, width, height):
        raise DataError(fault[1])
