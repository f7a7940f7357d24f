"""How well predicted masks fit the labels: intersections over unions, summed over the data set before any division.

The label 255 is dropped before anything else is counted, whatever was predicted there. What else is labelled counts: a
pixel that is predicted as another class, the background among them, or as no class, is a miss of its own class. A class
without a pixel in the labels and in the predictions is left out of every mean: it is neither 0 nor 1.

Legend: N images, H and W pixels, C classes; in a confusion matrix rows are labels and columns predictions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from siglino_core.errors import DataError

IGNORE = 255  # a label that counts nowhere, and a prediction of no class


def confusion(prediction_HW: np.ndarray, label_HW: np.ndarray, num_classes: int, ignore: int = IGNORE) -> np.ndarray:
    """Pixels by label and prediction, int64 [C, C].

    Raises:
        DataError: shapes differ, a number is no class, or a labelled pixel is predicted as no class, which has no
            column here; `Counts` takes it.
    """
    prediction_P, label_P = _labelled(prediction_HW, label_HW, num_classes, ignore)
    if (none := prediction_P == ignore).any():
        raise DataError(f"{int(none.sum())} labelled pixels are predicted as no class ({ignore}): give each a class")
    pairs_P = label_P * num_classes + prediction_P
    return np.bincount(pairs_P, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """What every metric of segmentation is computed from; rows of images can be drawn again, as a bootstrap does.

    Attributes:
        intersections_NC: pixels of the class that are predicted as it, int64.
        labels_NC: pixels of the class.
        predictions_NC: labelled pixels that are predicted as it.
    """

    intersections_NC: np.ndarray
    labels_NC: np.ndarray
    predictions_NC: np.ndarray

    @classmethod
    def of(cls, prediction_HW: np.ndarray, label_HW: np.ndarray, num_classes: int, ignore: int = IGNORE) -> Self:
        """Those of one image (N is 1).

        Args:
            prediction_HW: class numbers; ``ignore`` is a prediction of no class, which is a miss.
            label_HW: class numbers; ``ignore`` is no label.

        Raises:
            DataError: shapes differ, or a number is no class.
        """
        prediction_P, label_P = _labelled(prediction_HW, label_HW, num_classes, ignore)

        def count(classes_P: np.ndarray) -> np.ndarray:
            return np.bincount(classes_P, minlength=num_classes).astype(np.int64)[None]

        return cls(
            intersections_NC=count(label_P[prediction_P == label_P]),
            labels_NC=count(label_P),
            predictions_NC=count(prediction_P[prediction_P != ignore]),
        )

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """One after the other.

        Raises:
            DataError: there are none.
        """
        rows = list(parts)
        if not rows:
            raise DataError("no image to measure: predictions and labels are empty")
        return cls(
            intersections_NC=np.concatenate([r.intersections_NC for r in rows]),
            labels_NC=np.concatenate([r.labels_NC for r in rows]),
            predictions_NC=np.concatenate([r.predictions_NC for r in rows]),
        )

    def __len__(self) -> int:
        return len(self.labels_NC)

    def plus(self, other: Self) -> Self:
        """The sums of two of as many images, row by row: for totals, where no row is needed."""
        return type(self)(
            intersections_NC=self.intersections_NC + other.intersections_NC,
            labels_NC=self.labels_NC + other.labels_NC,
            predictions_NC=self.predictions_NC + other.predictions_NC,
        )

    @property
    def unions_NC(self) -> np.ndarray:
        """Labelled pixels that are of the class, or are predicted as it."""
        return self.labels_NC + self.predictions_NC - self.intersections_NC

    @property
    def pixels(self) -> int:
        """Labelled pixels of all images."""
        return int(self.labels_NC.sum())

    def iou_C(self) -> np.ndarray:
        """fp64 [C], NaN for a class that is absent from labels and predictions."""
        return iou(self.intersections_NC.sum(0), self.unions_NC.sum(0))

    def mean_iou(self) -> float:
        """Mean over the classes that there are.

        Raises:
            DataError: no pixel has a label.
        """
        self._need_labels()
        return float(np.nanmean(self.iou_C()))

    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels whose class is predicted; raises as :meth:`mean_iou`."""
        self._need_labels()
        return float(self.intersections_NC.sum() / self.pixels)

    def accuracy_C(self) -> np.ndarray:
        """Share of a class's own pixels that are predicted as it, NaN for a class without any: fp64 [C]."""
        return iou(self.intersections_NC.sum(0), self.labels_NC.sum(0))

    def mean_accuracy(self) -> float:
        """Mean of :meth:`accuracy_C` over the classes that are labelled; raises as :meth:`mean_iou`."""
        self._need_labels()
        return float(np.nanmean(self.accuracy_C()))

    def _need_labels(self) -> None:
        if not self.pixels:
            raise DataError(f"none of {len(self)} masks has a labelled pixel, so there is no IoU. Check the labels.")


def iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Quotients in fp64, NaN where the union is empty; of any shape, such as resampled sums [B, C] of a bootstrap."""
    unions = np.asarray(unions, np.float64)
    return np.divide(intersections, unions, out=np.full(unions.shape, np.nan), where=unions > 0)


def mean_iou(
    predictions: Iterable[np.ndarray], labels: Iterable[np.ndarray], num_classes: int, ignore: int = IGNORE
) -> float:
    """Mean IoU of a data set's masks, in pairs [H, W].

    Raises:
        DataError: there are no pairs, shapes differ, a number is no class, or no pixel has a label.
    """
    pairs = zip(predictions, labels, strict=True)
    return Counts.joined(Counts.of(p, y, num_classes, ignore) for p, y in pairs).mean_iou()


def _labelled(
    prediction_HW: np.ndarray, label_HW: np.ndarray, num_classes: int, ignore: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and label of the labelled pixels, int64 [P]; what the prediction says elsewhere is not looked at."""
    if prediction_HW.shape != label_HW.shape:
        raise DataError(f"the prediction is {prediction_HW.shape} pixels and its label {label_HW.shape}: resize it")
    if {prediction_HW.dtype.kind, label_HW.dtype.kind} - set("iub"):
        raise DataError(f"class numbers are whole, not {prediction_HW.dtype} and {label_HW.dtype}")
    kept_HW = label_HW != ignore
    prediction_P = prediction_HW[kept_HW].astype(np.int64)
    label_P = label_HW[kept_HW].astype(np.int64)
    for what, numbers_P in (("label", label_P), ("prediction", prediction_P[prediction_P != ignore])):
        if numbers_P.size and not 0 <= numbers_P.min() <= numbers_P.max() < num_classes:
            wrong = numbers_P[(numbers_P < 0) | (numbers_P >= num_classes)][0]
            raise DataError(f"a {what} has class {wrong}, and there are {num_classes}: from 0 to {num_classes - 1}")
    return prediction_P, label_P
