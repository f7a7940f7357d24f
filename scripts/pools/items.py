"""From labelled pictures to a pool: an image folder that the product's `source` stage reads, and a NOTICE."""

import hashlib
import io
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scripts.demo.planted import flatten

RASTERISER = "rsvg-convert"  # Debian's librsvg2-bin
SIDE = 256  # of the square into which a drawing is rasterised, in pixels
LEAST_SIDE = 16  # as `source.min_side`
LEAST_IMAGES = 4  # a label's: a quarter of each is held out
LEAST_DEVIATION = 3.0  # of 32 x 32 grey levels on white, 0 to 255: below, nothing can be seen


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture and its class.

    Attributes:
        label: slashes are folders of the package, not of the pool.
        name: unique within the label.
        data: an encoded image, or an SVG drawing (plain or gzipped).
    """

    label: str
    name: str
    data: bytes


def of_file(path: Path, label: str, root: Path) -> Item:
    """An item that is a file as it stands, named by its path under `root`."""
    return Item(label=label, name=path.relative_to(root).as_posix(), data=path.read_bytes())


def rasterise(svg: bytes, side: int = SIDE) -> bytes | None:
    """A PNG with alpha whose longer side is `side` pixels, by librsvg; None if it cannot read the drawing.

    Raises:
        SystemExit: rsvg-convert is not installed.
    """
    program = shutil.which(RASTERISER)
    if program is None:
        raise SystemExit(f"{RASTERISER} is not installed: it draws the SVG files (Debian: librsvg2-bin)")
    command = [program, "--keep-aspect-ratio", "--width", str(side), "--height", str(side), "--format", "png"]
    done = subprocess.run(command, input=svg, capture_output=True, check=False)  # noqa: S603
    return done.stdout if done.returncode == 0 and done.stdout else None


def is_drawing(data: bytes) -> bool:
    """Whether it is SVG, which may be gzipped."""
    return data[:2] == b"\x1f\x8b" or b"<svg" in data[:4096] or data.lstrip()[:5] == b"<?xml"


def is_visible(data: bytes) -> bool:
    """Whether it decodes, is large enough, and is not one colour when it lies on white."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            if min(file.size) < LEAST_SIDE:
                return False
            small = flatten(file.convert("RGBA").resize((32, 32), Image.Resampling.BOX))
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    return float(np.asarray(small.convert("L"), dtype=np.float32).std()) > LEAST_DEVIATION


def usable(items: Iterable[Item]) -> Iterator[Item]:
    """The items as images: drawings rasterised; what shows nothing and exact copies left out."""
    seen: set[bytes] = set()
    for item in items:
        data = rasterise(item.data) if is_drawing(item.data) else item.data
        if data is None or not is_visible(data) or (digest := hashlib.sha256(data).digest()) in seen:
            continue
        seen.add(digest)
        yield Item(label=item.label, name=item.name, data=data)


def suffix(data: bytes) -> str:
    """Of a file of this content."""
    with Image.open(io.BytesIO(data)) as file:
        return f".{(file.format or 'png').lower()}".replace(".jpeg", ".jpg")


def flat(name: str) -> str:
    """A name without folders."""
    return name.replace("/", "__")


def write(items: Iterable[Item], out: Path) -> Counter[str]:
    """Writes `out`/LABEL/NAME of all labels with at least four images.

    Returns:
        Images by label.
    """
    kept = list(usable(items))
    counts = Counter(item.label for item in kept)
    written: Counter[str] = Counter()
    for item in kept:
        if counts[item.label] < LEAST_IMAGES:
            continue
        path = out / flat(item.label) / (Path(flat(item.name)).stem + suffix(item.data))
        if path.exists():  # NAME.png beside NAME.jpg, and the like
            path = path.with_stem(f"{path.stem}~{hashlib.sha256(item.data).hexdigest()[:8]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.data)
        written[item.label] += 1
    return written
