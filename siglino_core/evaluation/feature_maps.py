"""Maps of a student's features by their first three principal components: a picture an image, to judge it by eye.

Two passes, so that memory does not grow with the number of images. The first sums up every image's features and draws
a sample of them (`siglino_core.evaluation.pca`); the second computes each image's features again and paints them. A
percentile is one of the sample, which holds 8,192 patches of all images: all of them, for some thirty images.

Legend: N patches of an image, V values of a patch, C channels of a feature space.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from siglino_core import device
from siglino_core.config import SourceConfig
from siglino_core.distillation.targets.phi_s import Moments
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.evaluation import pca
from siglino_core.images.decode import BadImage, decode
from siglino_core.images.reasons import too_many_bytes
from siglino_core.models.encoder import STUDENT
from siglino_core.models.hf import SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.pools.record import is_image
from siglino_core.weights.load import load_processor, load_student

LIMITS = {"max_pixels": SourceConfig().max_pixels, "max_bytes": SourceConfig().max_bytes}
LARGEST = 4096**2  # of --max-pixels: 65,536 patches, whose features still fit a laptop
SUFFIX = ".pca.png"
LONG_SIDE, GAP, LABEL = 384, 12, 36  # pixels: a panel's longer side at least; around panels; a label's height


class Unusable(ValueError):  # noqa: N818
    """An image that gets no map; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an image: its map, or the reason why it has none."""

    image: Path
    map: Path | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """An exported model, ready to look at images."""

    model: SigLinoModel
    processor: SigLinoImageProcessor
    device: str

    @property
    def spaces(self) -> dict[str, int]:
        """Its feature spaces and their channels: its own, then its teachers'."""
        config = self.model.spec
        return {STUDENT: config.width, **{t.name: t.dim for t in config.teachers}}

    @torch.no_grad()
    def features(self, picture: Image.Image) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Features of an RGB image's patches by space, fp32 [N, C] on the CPU, and its (height, width) in patches.

        Raises:
            Unusable: the image is too narrow, or its features aren't finite.
        """
        try:
            patches_NV, grid = self.processor.patches(picture)
        except ValueError as e:
            raise Unusable(str(e)) from e
        patches = self.model.features(patches_NV.to(self.device), self.model.layout([grid])).patches
        features = {name: patches[name].float().cpu() for name in self.spaces}
        for name, x_NC in features.items():
            if not x_NC.isfinite().all():
                raise Unusable(f"its features hold NaN or infinity ({name})")
        return features, grid


def load(name: str, max_pixels: int | None = None) -> Student:
    """The model of any form that `siglino_core.weights.load` knows, with its image processor.

    Args:
        name: folder, file, or hub id.
        max_pixels: bound on an image's area, in place of the model's own.

    Raises:
        ConfigError: there is no such model, or a bound that cannot be.
        DataError: what is there is damaged.
    """
    model = load_student(name)
    processor = load_processor(name, model)
    patch = model.spec.patch_size
    if processor.patch_size != patch or model.spec.channels != 3:
        raise DataError(
            f"{name}: patches of {patch} pixels and {model.spec.channels} channels in config.json, of "
            f"{processor.patch_size} pixels and 3 channels in preprocessor_config.json"
        )
    if max_pixels is not None:
        if not patch**2 <= max_pixels <= LARGEST:
            raise ConfigError(f"--max-pixels {max_pixels}: from {patch**2} (one patch) to {LARGEST}")
        processor = SigLinoImageProcessor.from_dict(processor.to_dict(), max_pixels=max_pixels)
    where = device.choose().device
    return Student(model=model.to(where), processor=processor, device=where)  # type: ignore[arg-type]


def find_images(words: Sequence[str]) -> list[Path]:
    """The files named, and those with an image's suffix in the folders named, sorted by name; each once.

    Raises:
        ConfigError: a name that is neither.
        DataError: no image among them.
        StoreError: a folder that cannot be listed.
    """
    paths = [Path(word) for word in words]
    if missing := [p for p in paths if not os.path.isfile(p) and not os.path.isdir(p)]:
        raise ConfigError(f"{missing[0]}: no such file or folder. Give images, or folders that hold some.")
    images: dict[Path, None] = {}
    for path in paths:
        images |= dict.fromkeys(_inside(path) if os.path.isdir(path) else [path])
    if not images:
        raise DataError(f"{', '.join(map(str, paths))}: no images. Folders are not searched below their first level.")
    return list(images)


def draw(images: Sequence[Path], student: Student, out: Path) -> Iterator[Outcome]:
    """Write ``<out>/<name>.pca.png`` for every image: the image beside one map per feature space.

    Nothing is done before the first outcome is asked for. An image that cannot be used is an outcome too, and has no
    part in the colours of the others.

    Raises:
        StoreError: ``out`` cannot be written.
    """
    spaces = {name: (Moments.empty(dim, name=name), pca.Sample.empty(dim)) for name, dim in student.spaces.items()}
    usable: list[Path] = []
    for path in images:
        try:
            features, _ = student.features(_open(path))
        except Unusable as e:
            yield Outcome(image=path, error=str(e))
            continue
        usable.append(path)
        for name, (moments, sample) in spaces.items():
            moments.update(features[name])
            sample.update(features[name])
    if not usable:
        return
    scales: dict[str, tuple[pca.Basis, Tensor]] = {}
    for name, (moments, sample) in spaces.items():
        basis = pca.components(moments)
        scales[name] = basis, pca.limits(sample.rows_ND, basis)
    taken: set[str] = set()
    for path in usable:
        try:
            picture = _open(path)
            features, grid = student.features(picture)
        except Unusable as e:  # it has changed since
            yield Outcome(image=path, error=str(e))
            continue
        size = _panel_size(grid, student.processor.patch_size)
        panels = {"image": picture.resize((size[1], size[0]), Image.Resampling.LANCZOS)}
        panels |= {name: pca.feature_map(features[name], grid, *scale, size) for name, scale in scales.items()}
        target = out / _file_name(path, taken)
        try:
            out.mkdir(parents=True, exist_ok=True)
            beside(panels).save(target)
        except OSError as e:
            raise StoreError(f"{target}: cannot be written ({e.strerror or e}). Give another --out.") from e
        yield Outcome(image=path, map=target)


def beside(panels: dict[str, Image.Image]) -> Image.Image:
    """Pictures of one size in a row on white, each under its label."""
    font = ImageFont.load_default(20)
    widths = [max(panel.width, math.ceil(font.getlength(label))) for label, panel in panels.items()]
    height = LABEL + max(panel.height for panel in panels.values()) + GAP
    sheet = Image.new("RGB", (sum(widths) + GAP * (len(widths) + 1), height), "white")
    pen, left = ImageDraw.Draw(sheet), GAP
    for (label, panel), width in zip(panels.items(), widths, strict=True):
        pen.text((left, LABEL // 2), label, fill="black", font=font, anchor="lm")
        sheet.paste(panel, (left, LABEL))
        left += width + GAP
    return sheet


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if is_image(p.name) and os.path.isfile(p))
    except OSError as e:
        raise StoreError(f"{folder}: cannot be listed ({e.strerror or e})") from e


def _open(path: Path) -> Image.Image:
    try:
        if not os.path.isfile(path):  # reading a pipe or a device may never end
            raise Unusable("it is no file any more")
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > LIMITS["max_bytes"]:
                raise too_many_bytes(size, LIMITS["max_bytes"])
            return decode(file.read(LIMITS["max_bytes"] + 1), **LIMITS)
    except BadImage as e:
        raise Unusable(f"{e.reason}: {e}") from e
    except OSError as e:
        raise Unusable(f"cannot be read ({e.strerror or e})") from e


def _panel_size(grid: tuple[int, int], patch: int) -> tuple[int, int]:
    """(height, width) in pixels: whole multiples of the patches, so that all blocks are equal."""
    side = patch * math.ceil(LONG_SIDE / (max(grid) * patch))
    return grid[0] * side, grid[1] * side


def _file_name(path: Path, taken: set[str]) -> str:
    """``a.pca.png``, or ``a-2.pca.png`` where an earlier image of another folder or format has that name."""
    stem = os.fsdecode(os.fsencode(path.stem)[:230])  # file systems allow 255 bytes
    name, n = stem + SUFFIX, 1
    while name.casefold() in taken:
        n += 1
        name = f"{stem}-{n}{SUFFIX}"
    taken.add(name.casefold())
    return name
