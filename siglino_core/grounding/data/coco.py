"""COCO's instances as images with expressions: a category's name refers to all of its objects in the image.

Where a category has a crowd region in an image, or an object without a box or a mask, not all of its objects are known:
its name is no expression there, and not absent either.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np

from siglino_core.errors import ConfigError, DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.instances import CocoImage, CocoObject, box_of, mask_of, read_instances
from siglino_core.grounding.data.left_out import (
    NOBODY,
    WRONG,
    Frame,
    Item,
    LeftOut,
    Without,
    assembled,
    reason_without,
    require_usable,
    tried,
)
from siglino_core.grounding.data.referring import SHOWN, Expression, Referring, raster_order
from siglino_core.grounding.vocabulary import canonical
from siglino_core.hashing import key_of, uniform

CROWD, CATEGORY_OF_CROWD = "crowd_region", "category_with_a_crowd_region"
EMPTY, CATEGORY_OF_EMPTY = "object_without_box_or_mask", "category_with_an_object_without_box_or_mask"
COCO = "coco"  # what ids of COCO's images begin with


class Categories:
    """The images of an instances file; iterating reads them, in the file's order.

    Iterating ends at the first image or object that cannot be used; :meth:`read` tells of it, and goes on.

    Attributes:
        name: data set and part, such as ``coco/train2017``.
        left_out: how much is not there, by reason; whole after all of it was iterated.
    """

    def __init__(
        self,
        annotations: str,
        images: str,
        *,
        name: str = "coco",
        negatives: int = 1,
        seed: int = 0,
        masks: bool = True,
        coco_ids: bool = False,
    ) -> None:
        """Read the annotations, and see that the images are there.

        Args:
            annotations: ``instances_*.json``.
            images: the folder of its images, or one above it.
            name: the data set's own name before a slash; ids of images begin with it. Only COCO's may be ``coco``.
            negatives: absent categories an image, if there are so many.
            seed: of the choice of absent categories, which belongs to the image's id.
            masks: whether masks are made.
            coco_ids: images whose files are called as COCO's are, by their own number in twelve digits, have COCO's
                ids whatever the name; all others never have, but begin with the name of the annotations' file instead.

        Raises:
            ConfigError: fewer than no negatives, or no name.
            DataError: it is no such JSON, or images are missing.
            StoreError: the store does not answer.
        """
        if negatives < 0 or not name.strip("/"):
            raise ConfigError(
                f"name={printable(name, 60)!r}, negatives={negatives}: give a name, and 0 or more absent categories"
            )
        self.name, self._negatives, self._seed, self._masks = name, negatives, seed, masks
        self._coco_ids = coco_ids
        self._instances = read_instances(annotations)
        self._images = list(self._instances.images.values())
        first: dict[str, int] = {}
        self._first = {n: first.setdefault(canonical(name), n) for n, name in self._instances.categories.items()}
        self._objects: dict[int, list[CocoObject]] = {}
        for one in self._instances.objects.values():
            self._objects.setdefault(one.image, []).append(one)
        self.left_out: Counter[str] = Counter()
        self._folder = Folder(images)
        self._folder.require([image.file for image in self._instances.images.values()])

    def __len__(self) -> int:
        """Images of the file; those without an expression are passed over."""
        return len(self._images)

    def __iter__(self) -> Iterator[Referring]:
        self.left_out.clear()
        for item in map(require_usable, self.read(0, len(self))):
            if isinstance(item, Referring):
                yield item
            else:
                self.left_out[item.reason] += item.times

    def read(self, start: int, stop: int, without: Without = NOBODY) -> Iterator[Item]:
        """The images from ``start`` to before ``stop``, and what of them is left out; no other is read.

        Raises:
            StoreError: the store does not answer.
        """
        for image in self._images[start:stop]:
            name = self._image_id(image)
            if reason := reason_without(name, without):
                yield LeftOut(image_id=name, reason=reason, whole=True)
                continue
            frame = Frame(image_id=name, width=image.width, height=image.height, split=self.name)
            expressions = chain(self._present(name, image), self._absent(image))
            yield from assembled(frame, partial(self._folder.read, image.file), expressions)

    def _image_id(self, image: CocoImage) -> str:
        own = self.name.partition("/")[0]
        if self._coco_ids:
            stem = image.file.rpartition("/")[2].partition(".")[0]
            if stem.rpartition("_")[2] == f"{image.number:012}":
                own = COCO
            elif own == COCO:
                own = self._instances.url.rpartition("/")[2].partition(".")[0]
        return f"{own}/{image.number}"

    def _present(self, name: str, image: CocoImage) -> Iterator[Expression | LeftOut]:
        for number, objects in sorted(self._by_category(image).items()):
            crowds = sum(one.crowd for one in objects)
            if crowds:
                yield LeftOut(image_id=name, reason=CROWD, times=crowds)
                yield LeftOut(image_id=name, reason=CATEGORY_OF_CROWD)
                continue
            try:
                yield from self._expression(name, self._instances.categories[number], objects, image)
            except DataError as e:
                yield LeftOut(image_id=name, reason=WRONG, error=f"image {printable(name, SHOWN)}: {e}")

    def _expression(
        self, name: str, text: str, objects: Sequence[CocoObject], image: CocoImage
    ) -> Iterator[Expression | LeftOut]:
        boxes: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        for one in objects:
            box_4, mask_HW = box_of(one, image), mask_of(one, image) if self._masks else None
            if box_4 is not None and (mask_HW is not None or not self._masks):
                boxes.append(box_4)
                masks += [] if mask_HW is None else [mask_HW]
        if lacking := len(objects) - len(boxes):
            yield LeftOut(image_id=name, reason=EMPTY, times=lacking)
            yield LeftOut(image_id=name, reason=CATEGORY_OF_EMPTY)
            return
        boxes_K4 = np.stack(boxes)
        order = raster_order(boxes_K4)
        in_order = tuple(masks[i] for i in order) if self._masks else None
        yield tried(name, text, partial(Expression, text=text, boxes_K4=boxes_K4[order], masks=in_order))

    def _absent(self, image: CocoImage) -> Iterator[Expression]:
        there = self._by_category(image).keys()
        absent = [n for n, first in self._first.items() if n == first and n not in there]
        key = key_of(self._seed, "absent categories", image.number)
        numbers = uniform(key, np.array(absent, np.int64).astype(np.uint64))
        for i in np.argsort(numbers, kind="stable")[: self._negatives]:
            name = self._instances.categories[absent[int(i)]]
            yield Expression(text=name, boxes_K4=np.empty((0, 4), np.float32), masks=() if self._masks else None)

    def _by_category(self, image: CocoImage) -> Mapping[int, list[CocoObject]]:
        """Of categories that read alike, which are one expression, the first stands for all."""
        found: dict[int, list[CocoObject]] = {}
        for one in self._objects.get(image.number, ()):
            found.setdefault(self._first[one.category], []).append(one)
        return found
