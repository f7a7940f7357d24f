"""Everything that one seed measures of samples of a pool: what they hold, and what they teach of held-out images.

Legend: N images of the pool, M of a sample (junk among them), D channels, F numbers of an image's pixels, C classes.
"""

from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.samples import probe as probes
from siglino_core.evaluation.samples import student as students
from siglino_core.evaluation.samples.measures import balance, near_duplicates
from siglino_core.evaluation.samples.split import label_counts, quarter, teaches, thinned, thinned_by_label

METRICS = {
    "effective_labels": "labels",
    "rare_half_share": "rare half",
    "labels_covered": "covered",
    "near_duplicates": "near-dup.",
    "junk": "junk",
    "probe": "probe",
    "probe_rare": "rare probe",
    "student": "student",
    "cpu_seconds": "CPU s",
}  # by key, as the columns of tables call them
SHARES = ("rare_half_share", "near_duplicates", "junk", "probe", "probe_rare", "student")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What a method chose.

    Attributes:
        rows_M: of the pool; -1 for junk.
        ids_M: uint64.
        unit_MD: fp32, unit length.
        pixels_MF: None: the pool has none.
    """

    rows_M: np.ndarray
    ids_M: np.ndarray
    unit_MD: np.ndarray
    pixels_MF: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Exam:
    """What samples are tested on under one seed.

    Attributes:
        held_N: bool, the images that no method may choose.
        label_N: class numbers; -1 for none.
        unit_ND: fp32, unit length.
        tested: rows that probes are tested on.
        student: what students are tested on; None: the pool has no pixels.
    """

    seed: int
    held_N: np.ndarray
    label_N: np.ndarray
    unit_ND: np.ndarray
    tested: np.ndarray
    student: students.Exam | None

    @staticmethod
    def of(
        unit_ND: np.ndarray, label_N: np.ndarray, ids_N: np.ndarray, pixels_NF: np.ndarray | None, seed: int
    ) -> "Exam":
        """Hold out a quarter of every label.

        Raises:
            DataError: fewer than two labels have four images.
        """
        held_N = quarter(label_N, ids_N, seed)
        held = np.flatnonzero(held_N)
        if len(np.unique(label_N[held])) < 2:
            raise DataError("fewer than two labels have four images, so that none can be held out to test on.")
        thin = (label_N[held], ids_N[held])
        student = None
        if pixels_NF is not None:
            rows = thinned_by_label(held, *thin, students.MOST_TEST, seed)
            free = np.flatnonzero(~held_N)
            paired = thinned(free, ids_N[free], students.PAIRED, seed, "bandwidth")
            student = students.Exam(
                pixels_NF=pixels_NF[rows],
                features_ND=unit_ND[rows],
                label_N=label_N[rows],
                center_D=unit_ND[free].mean(0, dtype=np.float64),
                width=students.bandwidth(pixels_NF[paired]),
            )
        tested = thinned_by_label(held, *thin, probes.MOST, seed)
        return Exam(seed=seed, held_N=held_N, label_N=label_N, unit_ND=unit_ND, tested=tested, student=student)

    def figures(self, sample: Sample, cosine: float) -> dict[str, float]:
        """Every metric of a sample but its price.

        Args:
            cosine: from which two images are near-duplicates.
        """
        pool_C = label_counts(self.label_N)[:-1]
        junk_M = sample.rows_M < 0
        label_M = np.where(junk_M, -1, self.label_N[sample.rows_M])
        found = balance(np.bincount(label_M[label_M >= 0], minlength=len(pool_C)), pool_C)
        found["near_duplicates"] = near_duplicates(sample.unit_MD, cosine)
        found["junk"] = float(junk_M.mean())
        trains = np.flatnonzero((label_M >= 0) & teaches(self.label_N)[sample.rows_M])
        trains = thinned(trains, sample.ids_M[trains], probes.MOST, self.seed, "probe")
        learned = probes.probe(
            sample.unit_MD[trains], label_M[trains], self.unit_ND[self.tested], self.label_N[self.tested], pool_C
        )
        found |= {"probe": learned.macro, "probe_rare": learned.rare}
        if self.student is not None and sample.pixels_MF is not None:
            rows = np.arange(len(sample.rows_M))
            rows = thinned(rows, sample.ids_M, students.MOST, self.seed, "student")
            found["student"] = self.student.explained(sample.pixels_MF[rows], sample.unit_MD[rows])
        return found
