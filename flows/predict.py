"""`siglino ground predict`: what texts refer to in one image, as a picture and as JSON."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from siglino_core.config import SourceConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data import rle
from siglino_core.grounding.folder import load_grounding
from siglino_core.grounding.overlay import draw
from siglino_core.grounding.predict import Instance
from siglino_core.images.decode import BadImage, decode

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def predict(arguments: argparse.Namespace, console: Console) -> int:
    """Print JSON, write the picture; 0.

    Raises:
        ConfigError: there is no such image or model, or the picture cannot be written or would replace the image.
        DataError: the image cannot be read, or a text cannot be asked.
    """
    path = Path(arguments.image)
    out = Path(arguments.out or f"{path.stem}-grounded.png")
    if not path.is_file():
        raise ConfigError(f"{arguments.image}: there is no such file")
    _require_writable(out, path)
    image = _opened(path)
    task = "box" if arguments.boxes else "mask"
    model = load_grounding(arguments.model)
    try:
        found = model.predict(image, arguments.queries, task, forced=arguments.forced)
    except ValueError as e:  # of its sides
        raise DataError(f"{path}: it cannot be used as an image: {e}") from e
    said = {
        "image": arguments.image,
        "width": image.width,
        "height": image.height,
        "answers": [
            {"text": text, "instances": [_plain(i) for i in instances]}
            for text, instances in zip(arguments.queries, found, strict=True)
        ],
    }
    try:
        draw(image, [instance for instances in found for instance in instances]).save(out)
    except OSError as e:
        raise ConfigError(f"--out {out} cannot be written: {e.strerror or e}") from e
    print(json.dumps(said, indent=2))
    for text, instances in zip(arguments.queries, found, strict=True):
        print(f"{printable(text, 60)}: {len(instances) or 'none'} found", file=sys.stderr)
    print(f"Picture  {out}", file=sys.stderr)
    return 0


def _require_writable(out: Path, image: Path) -> None:
    """Refuse a name that no picture can have, before anything is computed for it."""
    if out.exists() and out.samefile(image):
        raise ConfigError(f"--out {out} is the image itself. Take another name.")
    if out.is_dir() or out.suffix.lower() not in PICTURES:
        raise ConfigError(f"--out {out} is no picture's name. Let it end in {' or '.join(PICTURES[:2])}.")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out} cannot be written: there is no such folder")


def _opened(path: Path) -> Image.Image:
    source = SourceConfig()
    try:
        with path.open("rb") as file:
            data = file.read(source.max_bytes + 1)
        return decode(data, max_pixels=source.max_pixels, max_bytes=source.max_bytes)
    except (BadImage, OSError) as e:
        raise DataError(f"{path}: it cannot be used as an image: {e}") from e


def _plain(instance: Instance) -> dict[str, Any]:
    """As COCO's results have it: the mask in its run-length code."""
    mask = instance.mask
    return {
        "box_xyxy": [round(v, 2) for v in instance.box_xyxy],
        "score": round(instance.score, 4),
        "present": round(instance.present, 4),
        **({} if mask is None else {"mask": {"size": list(mask.shape), "counts": rle.encode(mask).decode()}}),
    }
