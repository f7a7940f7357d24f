"""What methods choose from under one seed: the images that are not held out, and planted junk.

Legend: N images of the pool, R of the rest with its junk, D channels, F numbers of an image's pixels.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from pipelines.judge.pool import JudgedPool, Junk
from siglino_core.evaluation.samples.exam import Sample
from siglino_core.evaluation.samples.junk import amount, isotropic, permuted
from siglino_core.hashing import id_bits, key_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Rest:
    """The images and the junk.

    Attributes:
        rows_R: rows of the pool; -1 for junk, which stands at the end.
        unit_RD, ids, sizes_R2: as of the pool.
        pixels_NF, junk_JF: of the pool's images, and of the junk; None: the pool has no pixels.
    """

    rows_R: np.ndarray
    unit_RD: np.ndarray
    ids: list[str]
    sizes_R2: np.ndarray | None
    pixels_NF: np.ndarray | None
    junk_JF: np.ndarray | None

    def sample(self, chosen: np.ndarray) -> Sample:
        """Some of it, as judges take it."""
        return Sample(
            rows_M=self.rows_R[chosen],
            ids_M=id_bits([self.ids[i] for i in chosen]),
            unit_MD=self.unit_RD[chosen],
            pixels_MF=self._pixels(chosen),
        )

    def _pixels(self, chosen: np.ndarray) -> np.ndarray | None:
        if self.pixels_NF is None or self.junk_JF is None:
            return None
        images, is_junk = len(self.rows_R) - len(self.junk_JF), self.rows_R[chosen] < 0
        found = self.pixels_NF[self.rows_R[chosen]].astype(np.float32)
        found[is_junk] = self.junk_JF[chosen[is_junk] - images]
        return found


def planted(pool: JudgedPool, rows: np.ndarray, seed: int) -> Rest:
    """Some rows of the pool and a hundredth of junk beside them.

    Half of the junk is noise images, or where none can be embedded images' vectors with permuted channels; half is
    isotropic vectors. Where junk is of no image, an image's pixels in another order stand for what it looks like.
    """
    count = amount(len(rows))
    half = count // 2
    made = pool.noise(half, seed) if pool.noise is not None else _permuted(pool, rows, half, seed)
    others = isotropic(count - half, pool.unit_ND.shape[1], seed), _permuted(pool, rows, count - half, seed + 1)[1]
    vectors = np.concatenate([made[0], others[0]]).astype(np.float16).astype(np.float32)
    seen = [pixels for pixels in (made[1], others[1]) if pixels is not None]
    sizes_R2 = None
    if pool.sizes_N2 is not None:  # as large as images are: size must not give it away
        drawn = np.random.default_rng(key_of(seed, "junk", "sizes")).integers(len(rows), size=count)
        sizes_R2 = pool.sizes_N2[np.concatenate([rows, rows[drawn]])]
    junk_ids = [hashlib.sha256(b"junk %d %d" % (seed, j)).hexdigest()[:32] for j in range(count)]
    return Rest(
        rows_R=np.concatenate([rows, np.full(count, -1)]),
        unit_RD=np.concatenate([pool.unit_ND[rows], vectors]),
        ids=[*(pool.ids[row] for row in rows), *junk_ids],
        sizes_R2=sizes_R2,
        pixels_NF=pool.pixels_NF,
        junk_JF=np.concatenate(seen) if pool.pixels_NF is not None else None,
    )


def _permuted(pool: JudgedPool, rows: np.ndarray, count: int, seed: int) -> Junk:
    pixels = None if pool.pixels_NF is None else permuted(pool.pixels_NF, rows, count, seed)
    return permuted(pool.unit_ND, rows, count, seed), pixels
