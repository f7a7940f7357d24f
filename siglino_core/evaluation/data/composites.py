"""A data set of synthetic scenes, for segmentation and later for grounding: no photograph of it was ever annotated.

Its numbers compare networks with each other on the same scenes; they say nothing of photographs.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from siglino_core.config import DatasetConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.chosen import Part
from siglino_core.evaluation.data.cutouts import Cutout, Half, common_labels, fault, half_of, usable
from siglino_core.evaluation.data.naming import read_classes
from siglino_core.evaluation.data.run import open_run
from siglino_core.evaluation.data.sample import EvalSample, Unit, Unreadable
from siglino_core.evaluation.data.scenes import EDGE, Scene, scene
from siglino_core.hashing import fingerprint, key_of

VERSION = 2  # of how scenes are made
SMALLEST_SIDE = 64
NAME = "background"  # of class 0
MOST = 8_000  # images of a run, drawn by the seed, among which cut-outs are looked for
MAX_BYTES = 1 << 18  # of a cut-out of a run: a scene is small, and all are in memory at once
SIDE = 128  # pixels of the scenes of a run's cut-outs
LEAST, MOST_CLASSES = 5, 20  # cut-outs of a class in each half, so that its IoU says something; classes
CLEAR = ("png", "webp", "gif", "tiff", "avif", "jp2", "jxl", "heic")  # encodings that may have transparency


class Composites:
    """A split of synthetic scenes, as a `siglino_core.evaluation.data.sample.Split`.

    The train and the test scenes have no cut-out in common: which half one belongs to is decided by its id, whatever
    the seed. Both have the same classes: the
    :data:`MOST_CLASSES` with most cut-outs, of those with enough in both halves.

    Attributes:
        classes: the background, then the labels.
        cutouts: how many of each class this half has.
        left_out: cut-outs that are not used, by reason.
    """

    def __init__(
        self,
        cutouts: Iterable[Cutout],
        half: Half,
        *,
        scenes: int,
        seed: int = 0,
        size: tuple[int, int] = (224, 224),
        labels: Sequence[str] = (),
        least: int = LEAST,
        test_share: float = 0.5,
        photographs: Sequence[bytes] = (),
        scenes_per_unit: int = 64,
    ) -> None:
        """Look at the cut-outs.

        Args:
            cutouts: of both halves; the same ones for train and test.
            labels: that are classes; empty: the commonest of those with ``least`` cut-outs in both halves.
            photographs: encoded, to be backgrounds; they must show none of the classes.

        Raises:
            ConfigError: settings that cannot be.
            DataError: no label has enough cut-outs, or one that is asked for has none in a half.
        """
        if scenes < 1 or scenes_per_unit < 1 or min(size) < SMALLEST_SIDE or not 0 < test_share < 1:
            raise ConfigError(
                f"composites: scenes={scenes}, size={size}, test_share={test_share}: at least one scene, sides of "
                f"{SMALLEST_SIDE} pixels, and a share between 0 and 1"
            )
        kept, self.left_out = usable(cutouts)
        names = self._names(kept, labels, test_share, least)
        self._cutouts = [c for c in kept if c.label in names and half_of(c.cutout_id, test_share) is half]
        self.left_out["another_class"] += sum(c.label not in names for c in kept)
        self.left_out["another_half"] += sum(c.label in names for c in kept) - len(self._cutouts)
        self.cutouts = dict(sorted(Counter(c.label for c in self._cutouts).items()))
        self.classes: Sequence[str] = (NAME, *names)
        self._numbers = {label: i for i, label in enumerate(self.classes)}
        self._half, self._scenes, self._size, self._per_unit = half, scenes, size, scenes_per_unit
        self._seed, self._photographs = key_of(seed, "composites", half.value), tuple(photographs)
        self.identity = fingerprint(
            {
                "version": VERSION,
                "half": half.value,
                "scenes": scenes,
                "seed": seed,
                "size": size,
                "classes": self.classes,
                "cutouts": [[c.cutout_id, c.label, _digest(c.data)] for c in self._cutouts],
                "photographs": [_digest(data) for data in self._photographs],
            }
        )

    def __len__(self) -> int:
        return self._scenes

    def units(self) -> list[Unit]:
        step = self._per_unit
        return [{"first": at, "rows": min(step, self._scenes - at)} for at in range(0, self._scenes, step)]

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        for index in range(unit["first"], unit["first"] + unit["rows"]):
            made = self.scene(index)
            yield EvalSample(sample_id=f"synthetic/{self._half.value}/{index:06}", data=made.image, mask=made.mask)

    def scene(self, index: int) -> Scene:
        """A scene with its objects, as :meth:`read` gives its image and mask."""
        return scene(
            self._cutouts,
            self._seed,
            index,
            self._size,
            numbers=self._numbers,
            photographs=self._photographs,
        )

    @staticmethod
    def _names(kept: Sequence[Cutout], labels: Sequence[str], test_share: float, least: int) -> list[str]:
        found = common_labels(kept, test_share, 1 if labels else least)
        if missing := sorted(set(labels) - set(found)):
            raise DataError(f"{missing[0]}: no usable cut-out of this label in the train or in the test half")
        names = sorted(set(labels)) or _commonest(found, kept, test_share)
        if not names:
            raise DataError(
                f"of {len(kept)} usable cut-outs no label has {least} for training and {least} for testing. "
                "Give more, or lower the least number."
            )
        if len(names) >= EDGE:
            raise ConfigError(f"{len(names)} classes: a mask of composites has at most {EDGE - 1}. Name fewer labels.")
        if NAME in names:
            raise ConfigError(f"{NAME} is class 0 of composites, and a label of cut-outs too: rename the label")
        return names


def _commonest(labels: Sequence[str], cutouts: Sequence[Cutout], test_share: float) -> list[str]:
    """The labels with most cut-outs in the smaller of their halves, sorted by name."""
    counts = Counter((c.label, half_of(c.cutout_id, test_share)) for c in cutouts)
    order = sorted(labels, key=lambda label: (-min(counts[label, half] for half in Half), label))
    return sorted(order[:MOST_CLASSES])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def open_composites(config: DatasetConfig, which: str, seed: int = 0) -> Composites:
    """Scenes of a run's own cut-outs: of images with an outline that its training did not see, drawn by the seed.

    The classes are those of the file ``classes``, or the commonest labels.

    Raises:
        DataError: too few of them have one.
    """
    cutouts = run_cutouts(config, seed)
    half = Half.TEST if which == "test" else Half.TRAIN
    labels = read_classes(config.classes)[0] if config.classes else ()
    return Composites(cutouts, half, scenes=config.scenes, seed=seed, size=(SIDE, SIDE), labels=labels)


def run_cutouts(config: DatasetConfig, seed: int = 0) -> list[Cutout]:
    """A run's labelled images with an outline that its training did not see, drawn by the seed.

    Raises:
        ConfigError, DataError, StoreError: as `siglino_core.evaluation.data.run.open_run`.
    """
    near = config.near_duplicate or None
    held_out = open_run(config.run, Part.HELD_OUT, near, most=MOST, seed=seed, formats=CLEAR)
    samples = (s for unit in held_out.units() for s in held_out.read(unit) if len(s.data) <= MAX_BYTES)
    labelled = (Cutout(cutout_id=s.sample_id, data=s.data, label=s.label) for s in samples if s.label is not None)
    return [cutout for cutout in labelled if not fault(cutout.data)]  # one by one: most images have no outline
