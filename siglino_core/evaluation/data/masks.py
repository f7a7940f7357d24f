"""A folder of images and a folder of masks with the same names: the layouts of VOC, ADE20K and Cityscapes.

Legend: H and W pixels.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from siglino_core.config import DatasetConfig, SourceConfig, Verify
from siglino_core.errors import ConfigError, DataError, UnreadableError
from siglino_core.evaluation.data.naming import read_classes
from siglino_core.evaluation.data.recipe import Recipe
from siglino_core.evaluation.data.sample import EvalSample, Unit, Unreadable
from siglino_core.hashing import fingerprint
from siglino_core.images.decode import BadImage, decode_numbers, probe
from siglino_core.images.reasons import too_many_bytes
from siglino_core.pools.location import Location, find
from siglino_core.pools.record import IMAGE_SUFFIXES

IGNORE = 255
MAX_LIST = 64 << 20  # bytes of a file of names
LOOKED_AT = 8  # masks that are opened before work begins


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How masks belong to images, and what their numbers mean.

    Attributes:
        image_suffix: how images' names end, such as ``_leftImg8bit.png``; empty: as images' names do.
        mask_suffix: how masks' names end, such as ``_gtFine_labelIds.png``.
        names: a file that lists the images of the split, one a line, without their suffix; empty: all images.
        reduce_zero_label: 0 is no class but ignored, and the others are one less: ADE20K's numbers.
        label_map: the class of each stored number; all others are ignored. Empty: as they are stored.
    """

    image_suffix: str = ""
    mask_suffix: str = ".png"
    names: str = ""
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] = field(default_factory=dict)


_EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES = MaskOptions(
    image_suffix="_leftImg8bit.png",
    mask_suffix="_gtFine_labelIds.png",
    label_map={stored: number for number, stored in enumerate(_EVALUATED)},
)
"""Its 19 classes of evaluation, from its files of all 34 numbers."""
ADE20K = MaskOptions(reduce_zero_label=True)
VOC = MaskOptions()


class Masks:
    """A split, as `siglino_core.evaluation.data.sample.Split`; masks come out in the numbers of the classes.

    Attributes:
        left_out: images that the list of names does not name, and masks without an image.
    """

    def __init__(
        self,
        images: str,
        masks: str,
        *,
        options: MaskOptions = VOC,
        classes: Sequence[str] = (),
        max_pixels: int = SourceConfig.max_pixels,
        max_bytes: int = SourceConfig.max_bytes,
        rows_per_unit: int = 64,
    ) -> None:
        """List both folders, and open the first masks.

        Args:
            images, masks: folders, globs or URLs.
            classes: their names; a mask with a higher number cannot be read. Empty: any number may be.

        Raises:
            ConfigError: options that exclude each other.
            DataError: no image has a mask, none of the first masks can be used, or two images have one name.
            StoreError: a folder cannot be listed.
        """
        if options.reduce_zero_label and options.label_map:
            raise ConfigError(
                "reduce_zero_label and label_map are both set: let label_map alone say what a number means"
            )
        table, top = options.label_map, len(classes) or IGNORE
        if wrong := [at for at, to in table.items() if at < 0 or not (0 <= to < top or to == IGNORE)]:
            raise ConfigError(
                f"label_map: {wrong[0]} to {table[wrong[0]]}; classes go from 0 to {top - 1}, and {IGNORE}"
            )
        self.classes, self._options = tuple(classes), options
        self._bounds = {"max_pixels": max_pixels, "max_bytes": max_bytes}
        self._images, image_sizes = _listed(images, options.image_suffix)
        self._masks, mask_sizes = _listed(masks, options.mask_suffix)
        names = _names(options.names) if options.names else sorted(image_sizes)
        self._rows = [[name, *image_sizes.get(name, ("", 0)), *mask_sizes.get(name, ("", 0))] for name in names]
        self.left_out = {
            "image_not_named": len(image_sizes.keys() - set(names)),
            "mask_of_no_image": len(mask_sizes.keys() - set(names)),
        }
        self._per_unit = rows_per_unit
        self._look()
        self.identity = fingerprint([self._rows, asdict(options) | {"names": ""}, self.classes, max_pixels, max_bytes])

    def __len__(self) -> int:
        return len(self._rows)

    def units(self) -> list[Unit]:
        step, rows = self._per_unit, self._rows
        return [{"files": rows[at : at + step], "rows": len(rows[at : at + step])} for at in range(0, len(rows), step)]

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        for name, image, _, mask, _ in unit["files"]:
            yield self._sample(name, image, mask)

    def _look(self) -> None:
        """Refuse what is wrong with every image or mask."""
        for at, what, uri in ((1, "image", self._images), (3, "mask", self._masks)):
            if not any(row[at] for row in self._rows):
                raise DataError(
                    f"{uri.public}: none of {len(self._rows)} names has a {what}, the first is {self._rows[0][0]!r}. "
                    "Set image_suffix and mask_suffix to how the files' names end after what they share."
                )
        first = [*islice((row for row in self._rows if row[1] and row[3]), LOOKED_AT)]
        bad = [s for s in self.read({"files": first}) if isinstance(s, Unreadable)]
        if bad and len(bad) == len(first):
            one = f"{bad[0].sample_id}: {bad[0].error}"
            raise DataError(f"{self._masks.public}: none of the first {len(first)} masks can be used. {one}")

    def _sample(self, name: str, image: str, mask: str) -> EvalSample | Unreadable:
        if not image or not mask:
            what = "mask" if image else "image"
            return Unreadable(sample_id=name, reason=f"missing_{what}", error=f"no {what} of this name")
        try:
            data = self._bytes(self._images, image)
            shown = probe(data, verify=Verify.HEADER, **self._bounds)
        except (BadImage, UnreadableError) as e:
            return Unreadable(sample_id=name, reason=_reason(e), error=str(e))
        try:
            stored_HW = decode_numbers(self._bytes(self._masks, mask), **self._bounds)
            numbers_HW = renumbered(stored_HW, self._options, len(self.classes))
        except (BadImage, UnreadableError) as e:
            return Unreadable(sample_id=name, reason=f"mask_{_reason(e)}", error=f"its mask: {e}")
        if numbers_HW.shape != (shown.height, shown.width):
            height, width = numbers_HW.shape
            error = f"its mask has {width} x {height} pixels, it has {shown.width} x {shown.height}"
            return Unreadable(sample_id=name, reason="mask_of_another_size", error=error)
        buffer = io.BytesIO()
        Image.fromarray(numbers_HW).save(buffer, "PNG", compress_level=1)
        return EvalSample(sample_id=name, data=data, mask=buffer.getvalue())

    def _bytes(self, folder: Location, name: str) -> bytes:
        data = folder.read(name, self._bounds["max_bytes"])
        if len(data) > self._bounds["max_bytes"]:
            raise too_many_bytes(len(data), self._bounds["max_bytes"])
        return data


def renumbered(stored_HW: np.ndarray, options: MaskOptions, num_classes: int = 0) -> np.ndarray:
    """Class numbers of a mask's stored ones: uint8, or uint16 where there are higher ones.

    Args:
        num_classes: 0: any number may be.

    Raises:
        BadImage: a number is no class (``unknown_class``).
    """
    stored = stored_HW.astype(np.int64)
    if options.label_map:
        table = np.full(max(int(stored.max()), *options.label_map) + 1, IGNORE)
        table[list(options.label_map)] = list(options.label_map.values())
        numbers = table[stored]
    elif options.reduce_zero_label:
        if (stored == IGNORE + 1).any():
            raise BadImage("unknown_class", f"{IGNORE + 1} would become {IGNORE}, which is ignored")
        numbers = np.where((stored == 0) | (stored == IGNORE), IGNORE, stored - 1)
    else:
        numbers = stored
    highest = int(numbers.max(where=numbers != IGNORE, initial=0))
    if num_classes and highest >= num_classes:
        raise BadImage("unknown_class", f"number {highest}, and classes go from 0 to {num_classes - 1}")
    return numbers.astype(np.uint8 if max(highest, IGNORE) == IGNORE else np.uint16)


def _listed(uri: str, ending: str) -> tuple[Location, dict[str, tuple[str, int]]]:
    """The files of a folder with an ending: (name, bytes) by name without the ending."""
    location, listing = find(uri)
    found: dict[str, tuple[str, int]] = {}
    for name, size in listing.sizes.items():
        stem, dot, kind = name.rpartition(".")
        if ending:
            stem = name.removesuffix(ending)
            if stem == name:
                continue
        elif not dot or kind.lower() not in IMAGE_SUFFIXES:
            continue
        if stem in found:
            raise DataError(
                f"{location.public}: {found[stem][0]} and {name} have one name. Remove one, or set a suffix."
            )
        found[stem] = name, size
    if not found:
        wanted = f"no file's name ends in {ending}" if ending else "no file is an image"
        raise DataError(f"{location.public}: {wanted}; {len(listing.sizes)} files, such as {next(iter(listing.sizes))}")
    return location, found


def _names(uri: str) -> list[str]:
    """The names in a file, one a line."""
    location, listing = find(uri)
    file = next(iter(listing.sizes))
    data = location.read(file, MAX_LIST)
    if len(data) > MAX_LIST:
        raise DataError(f"{location.url(file)}: over {MAX_LIST} bytes, too long for a list of names")
    names = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if not names:
        raise DataError(f"{location.url(file)}: it names no image")
    if twice := len(names) - len(set(names)):
        raise DataError(f"{location.url(file)}: {twice} of its {len(names)} names stand there twice. Remove them.")
    return names


def _reason(error: Any) -> str:
    return error.reason if isinstance(error, BadImage) else "unreadable"


def open_masks(config: DatasetConfig, which: str, recipe: Recipe | None = None) -> Masks:
    """A split as a data set's settings have it, or as its recipe finds it below one folder.

    Raises:
        ConfigError: it is not said where masks are.
        DataError: as :class:`Masks`.
    """
    uri, masks = (config.uri, config.masks) if which == "test" else (config.train, config.train_masks)
    known = recipe.splits.get(which) if recipe is not None else None
    classes = read_classes(config.classes)[0] if config.classes else recipe.class_names if recipe else ()
    if known is None or (uri and masks):
        if not (uri and masks):
            raise ConfigError(f"{config.name}: give both the folder of images ({which}) and that of their masks")
        return Masks(uri, masks, classes=classes)
    root = (uri or config.uri).rstrip("/")
    options = MaskOptions(
        image_suffix=known.image_suffix,
        mask_suffix=known.mask_suffix,
        names=f"{root}/{known.list}" if known.list else "",
        label_map={stored: number for number, stored in enumerate(recipe.mask_ids)} if recipe else {},
    )
    return Masks(f"{root}/{known.images}", f"{root}/{known.masks}", options=options, classes=classes)
