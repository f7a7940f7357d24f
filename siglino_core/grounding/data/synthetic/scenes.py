"""The synthetic referring set: each image and its expressions follow from the seed and the image's number alone."""

import hashlib
from collections.abc import Sequence

import numpy as np

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.backgrounds import Size
from siglino_core.evaluation.data.cutouts import Cutout, Half, half_of, usable
from siglino_core.foreign import printable
from siglino_core.grounding.data.referring import LONGEST, Expression, Referring, raster_order
from siglino_core.grounding.data.synthetic.composite import Composite, Placed, composite
from siglino_core.grounding.data.synthetic.level import EASY, Level
from siglino_core.grounding.data.synthetic.questions import questions, vocabulary
from siglino_core.grounding.data.synthetic.things import COLOURS, PLURALS, SHAPE, SHAPES, SIZES
from siglino_core.hashing import fingerprint, key_of

VERSION = 1  # of how scenes are made
SMALLEST_SIDE, LARGEST_SIDE = 48, 4096
ATTEMPTS = 50  # at a scene: one whose objects find no place, or of which nothing can be asked, is made anew
TRAIN = "train"
_OURS = {*COLOURS, *PLURALS, *PLURALS.values(), *SIZES, SHAPE, SHAPES}


class Scenes:
    """Images with expressions, made as they are asked for: the same bytes in any order and any process.

    Every expression refers to exactly its boxes by its own rule (`synthetic.phrases`); what could be read in two ways
    is not asked. Boxes are the bounds of the visible masks, in raster order of their centres (y, then x). Nothing is
    mirrored. The train split has other scenes than all others, and other cut-outs.

    Attributes:
        identity: of all that decides what the images are.
        left_out: cut-outs that are not used, by reason.
    """

    def __init__(
        self,
        seed: int,
        size: Size = (128, 128),
        *,
        count: int = 10_000,
        level: Level = EASY,
        split: str = TRAIN,
        cutouts: Sequence[Cutout] = (),
        photographs: Sequence[bytes] = (),
        test_share: float = 0.5,
    ) -> None:
        """Look at the cut-outs.

        Args:
            size: (height, width) in pixels.
            count: of the images.
            split: train, or a name of another part.
            cutouts: of all splits, from `cutouts.from_pool` or `composites.run_cutouts`; train takes one half of them,
                all others the other.
            photographs: encoded, to be backgrounds; they must show none of what is asked for.

        Raises:
            ConfigError: settings that cannot be, or a label that is a word of the drawn shapes.
            DataError: nothing is there to be drawn, or no cut-out of this half can be used.
        """
        if min(size) < SMALLEST_SIDE or max(size) > LARGEST_SIDE or count < 0 or not 0 < test_share < 1:
            raise ConfigError(
                f"size={size}, count={count}, test_share={test_share}: sides have {SMALLEST_SIDE} to {LARGEST_SIDE} "
                "pixels, and a share is between 0 and 1"
            )
        kept, self.left_out = usable(cutouts)
        half = Half.TRAIN if split == TRAIN else Half.TEST
        self._cutouts = [_named(c) for c in kept if half_of(c.cutout_id, test_share) is half]
        if (cutouts and not self._cutouts) or not (self._cutouts or level.shapes):
            raise DataError(f"none of {len(cutouts)} cut-outs can be used in the split {split}, or no shape is drawn")
        self._words = vocabulary(level, [c.label for c in self._cutouts])
        self._size, self._count, self._level, self._split = size, count, level, split
        self._photographs = tuple(photographs)
        self._key = key_of(seed, "referring scenes", split)
        self.identity = fingerprint(
            {
                "version": VERSION,
                "seed": seed,
                "size": size,
                "split": split,
                "level": repr(level),
                "cutouts": [[c.cutout_id, c.label, hashlib.sha256(c.data).hexdigest()] for c in self._cutouts],
                "photographs": [hashlib.sha256(data).hexdigest() for data in self._photographs],
            }
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Referring:
        """Image number ``index``, from 0.

        Raises:
            IndexError: there are not so many.
            BadImage: a cut-out or a photograph cannot be decoded.
            DataError: the objects find no place at this size.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"scene {index} of {self._count}")
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng(key_of(self._key, index, attempt))
            made = composite(rng, self._level, self._size, self._cutouts, self._photographs)
            expressions = () if made is None else self._expressions(rng, made)
            if made is not None and expressions:
                return Referring(
                    image_id=f"synthetic/{self.identity[:12]}/{index:06}",
                    data=made.image,
                    width=self._size[1],
                    height=self._size[0],
                    split=f"synthetic/{self._split}",
                    expressions=expressions,
                )
        raise DataError(
            f"scene {index}: in {ATTEMPTS} attempts {self._level.objects[0]} objects found no place on "
            f"{self._size[0]} x {self._size[1]} pixels. Ask for fewer or smaller objects, or let them hide one another."
        )

    def _expressions(self, rng: np.random.Generator, made: Composite) -> tuple[Expression, ...]:
        asked = questions(rng, self._level, self._words, made.objects, min(self._size))
        return tuple(_expression(q.text, [made.objects[i] for i in found]) for q, found in asked.items())


def _expression(text: str, referents: Sequence[Placed]) -> Expression:
    boxes_K4 = np.array([placed.box for placed in referents], np.float32).reshape(-1, 4)
    order = raster_order(boxes_K4)
    return Expression(text=text, boxes_K4=boxes_K4[order], masks=tuple(referents[i].visible_HW for i in order))


def _named(cutout: Cutout) -> Cutout:
    """The cut-out with its label as words are written: without space around it or several between."""
    label = " ".join(cutout.label.split())
    if not label or len(label) > LONGEST // 4:
        raise ConfigError(
            f"the label '{printable(cutout.label, 60)}' has no words, or more than {LONGEST // 4} characters"
        )
    if label.casefold() in _OURS:
        raise ConfigError(f"the label '{label}' is a word for drawn shapes too: rename it, or leave its cut-outs out")
    return Cutout(cutout_id=cutout.cutout_id, data=cutout.data, label=label)
