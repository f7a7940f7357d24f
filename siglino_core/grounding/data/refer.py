"""RefCOCO, RefCOCO+ and RefCOCOg as images with expressions: one expression a sentence, and no test image in training.

The folders are those that their authors describe: ``ROOT/refcoco/refs(unc).p``, ``ROOT/refcoco/instances.json``, and a
folder of COCO's train2014 images, which all three data sets are of.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import numpy as np

from siglino_core.errors import ConfigError, DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.instances import CocoImage, Instances, box_of, mask_of, read_instances
from siglino_core.grounding.data.left_out import (
    NO_WORDS,
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
from siglino_core.grounding.data.published import check_counts
from siglino_core.grounding.data.referring import Expression, Referring
from siglino_core.grounding.data.refs import DATASETS, Ref, read_refs

TRAIN = "train"
TEST_IMAGE = "image_of_a_test_split"
Box = tuple[np.ndarray, np.ndarray | None]  # float32 [4], and bool [H, W] if masks are asked for


class Refer:
    """One split of one data set; iterating reads the images, in the order of their first references.

    Iterating ends at the first image or expression that cannot be used; :meth:`read` tells of it, and goes on.

    Attributes:
        name: such as ``refcoco/unc/val``.
        left_out: how much is not there, by reason, before images are looked at.
    """

    def __init__(
        self,
        root: str,
        images: str,
        *,
        dataset: str = "refcoco",
        split_by: str = "",
        split: str = TRAIN,
        without: AbstractSet[str] = frozenset(),
        masks: bool = True,
        published: bool = True,
    ) -> None:
        """Read the annotations, and see that the images are there.

        Args:
            root: the folder with a folder a data set.
            images: the folder of COCO's train2014 images, or one above it.
            split_by: unc, google or umd; empty: the one that results are reported on.
            without: images that are left out, such as :func:`held_out_ids`.
            masks: whether masks are made of the outlines.
            published: whether the counts must be the published ones; a part of a data set has others.

        Raises:
            ConfigError: there is no such data set or split.
            DataError: files are damaged, an object or an image is missing, or counts differ.
            StoreError: the store does not answer.
        """
        split_by = split_by or DATASETS.get(dataset, ("",))[0]
        refs = read_refs(root, dataset, split_by)
        if published:
            check_counts(refs, dataset, split_by)
        splits = list(dict.fromkeys(ref.split for ref in refs))
        if split not in splits:
            there = ", ".join(printable(s, 20) for s in splits[:10])
            raise ConfigError(f"split={printable(split, 60)}: {dataset} by {split_by} has the splits {there}")
        self.name, self._masks = f"{dataset}/{split_by}/{split}", masks
        self._instances = read_instances(f"{root.rstrip('/')}/{dataset}/instances.json")
        self.left_out: Counter[str] = Counter()
        self._refs = self._by_image([ref for ref in refs if ref.split == split], without)
        self._numbers = list(self._refs)
        self._folder = Folder(images)
        self._folder.require([self._instances.images[number].file for number in self._refs])

    def __len__(self) -> int:
        return len(self._refs)

    def __iter__(self) -> Iterator[Referring]:
        for item in map(require_usable, self.read(0, len(self))):
            if isinstance(item, Referring):
                yield item

    def read(self, start: int, stop: int, without: Without = NOBODY) -> Iterator[Item]:
        """The images from ``start`` to before ``stop``, and what of them cannot be used; no other is read.

        Raises:
            StoreError: the store does not answer.
        """
        for number in self._numbers[start:stop]:
            image, name = self._instances.images[number], image_id(number)
            if reason := reason_without(name, without):
                yield LeftOut(image_id=name, reason=reason, whole=True)
                continue
            frame = Frame(image_id=name, width=image.width, height=image.height, split=self.name)
            expressions = self._expressions(name, self._refs[number], image)
            yield from assembled(frame, partial(self._folder.read, image.file), expressions)

    def _by_image(self, refs: Sequence[Ref], without: AbstractSet[str]) -> Mapping[int, list[Ref]]:
        found: dict[int, list[Ref]] = {}
        left_out: set[int] = set()
        for ref in refs:
            _require_object(ref, self._instances)
            if image_id(ref.image) in without:
                left_out.add(ref.image)
                continue
            self.left_out[NO_WORDS] += ref.sentences.count("")
            found.setdefault(ref.image, []).append(ref)
        self.left_out[TEST_IMAGE] += len(left_out)
        self.left_out += Counter()  # zeros go
        return found

    def _expressions(self, name: str, refs: Sequence[Ref], image: CocoImage) -> Iterator[Expression | LeftOut]:
        for ref in refs:
            try:
                box_4, mask_HW = self._box(ref, image)
            except DataError as e:
                yield LeftOut(image_id=name, reason=WRONG, times=len(ref.sentences), error=str(e))
                continue
            masks = None if mask_HW is None else (mask_HW,)
            for sentence in ref.sentences:
                yield tried(name, sentence, partial(Expression, text=sentence, boxes_K4=box_4[None], masks=masks))

    def _box(self, ref: Ref, image: CocoImage) -> Box:
        one = self._instances.objects[ref.annotation]
        box_4 = box_of(one, image)
        mask_HW = mask_of(one, image) if self._masks else None
        if box_4 is None or (self._masks and mask_HW is None):
            raise DataError(f"{self._instances.url}: object {one.number} has an empty box or mask. Fetch it again.")
        return box_4, mask_HW


def _require_object(ref: Ref, instances: Instances) -> None:
    one = instances.objects.get(ref.annotation)
    if one is None or one.image != ref.image:
        raise DataError(
            f"{instances.url}: reference {ref.number} is of object {ref.annotation} of image {ref.image}, which it "
            "does not have. Are both files of one data set?"
        )


def image_id(number: int) -> str:
    """The id of an image of COCO: the same in all data sets of its images, of 2014 and of 2017."""
    return f"coco/{number}"


def held_out_ids(root: str, sets: Iterable[tuple[str, str]] | None = None) -> frozenset[str]:
    """The images of every split but train, of all three data sets: what training must not see.

    Args:
        sets: data sets, each with who split it; None: all three by the splits that results are reported on.

    Raises:
        ConfigError, DataError, StoreError: as `siglino_core.grounding.data.refs.read_refs`.
    """
    chosen = [(name, by[0]) for name, by in DATASETS.items()] if sets is None else list(sets)
    refs = (ref for dataset, split_by in chosen for ref in read_refs(root, dataset, split_by))
    return frozenset(image_id(ref.image) for ref in refs if ref.split != TRAIN)


def leak_free(train: Iterable[Referring], test_image_ids: AbstractSet[str]) -> Iterator[Referring]:
    """The images of ``train`` that are not among the test images."""
    return (row for row in train if row.image_id not in test_image_ids)
