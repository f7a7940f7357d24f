"""The nearest training samples of each test sample: exact, and the same whatever library or block size found them.

Similarities count as computed in fp64 and rounded to fp32; equal ones go by the lower row. A library's fp32 search
gives candidates with a margin; the few rows where rounding or ties could change who is among them are searched in full.

Legend: N test rows, M train rows, D width, K neighbours, R candidates, n rows of a block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, same_width, unit

if TYPE_CHECKING:
    from torch import Tensor

MARGIN = 32  # candidates beyond K
NOISE = 1e-5  # above what fp32 sums of unit vectors can differ by
FAISS_ROWS = 2_000_000  # from so many train rows on, faiss's flat index searches
ROWS = 1024  # test rows at a time
CELLS = 1 << 24  # numbers in memory at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """By falling similarity: cosines fp32 [N, K], and rows of the train set int64 [N, K]."""

    cosines_NK: np.ndarray
    rows_NK: np.ndarray


def nearest(
    train_features: Array, test_features: Array, k: int, *, skip_self: bool = False, device: str = "cpu"
) -> Neighbours:
    """The ``k`` most similar train rows of each test row by cosine; fewer if there are fewer.

    Args:
        train_features: [M, D], of any length.
        test_features: [N, D].
        skip_self: both are the same split: row i is no neighbour of row i.
        device: where torch multiplies.

    Raises:
        DataError: widths differ, no train rows, rows that are not finite or zero, or ``skip_self`` with other rows.
    """
    import torch

    if k < 1:
        raise DataError(f"k = {k}: at least one neighbour is needed")
    train_MD, test_ND = unit(train_features, "train features"), unit(test_features, "test features")
    same_width(train_MD, test_ND, "train and test features")
    if skip_self and len(train_MD) != len(test_ND):
        raise DataError(f"{len(train_MD)} train and {len(test_ND)} test rows: skip_self needs the same split")
    k = min(k, len(train_MD) - skip_self)
    if k < 1:
        raise DataError(f"{len(train_MD)} train rows: a sample needs at least one that is not itself")
    n = len(test_ND)
    cosines_NK, rows_NK = np.empty((n, k), np.float32), np.empty((n, k), np.int64)
    r = min(k + skip_self + MARGIN, len(train_MD))
    train = torch.from_numpy(train_MD).to(device)
    for block, candidates_nR, last_n in _candidates(train, test_ND, r):
        test = torch.from_numpy(test_ND[block]).to(device)
        own = torch.arange(block.start, block.stop, device=device) if skip_self else None
        found_nR, order_nR = _refined(train, test, candidates_nR, own)
        found_nK, rows_nK = found_nR[:, :k], order_nR[:, :k]
        if r < len(train_MD):
            unsure_n = found_nK[:, -1] <= last_n + NOISE
            for i in unsure_n.nonzero()[:, 0].split(max(1, CELLS // len(train_MD))):
                found_nK[i], rows_nK[i] = _searched(train, test[i], None if own is None else own[i], k)
        cosines_NK[block], rows_NK[block] = found_nK.cpu().numpy(), rows_nK.cpu().numpy()
    return Neighbours(cosines_NK=cosines_NK, rows_NK=rows_NK)


def _candidates(train_MD: "Tensor", test_ND: np.ndarray, r: int) -> Iterator[tuple[slice, "Tensor", "Tensor"]]:
    """Block by block R candidates of each test row [n, R], and the lowest candidate's similarity [n]."""
    import torch

    index = _flat_index(train_MD) if len(train_MD) >= FAISS_ROWS else None
    for block in blocks(len(test_ND), max(1, CELLS // ROWS), cells=CELLS):
        if index is not None:
            found, rows = index.search(test_ND[block], r)
            found_nR, rows_nR = torch.from_numpy(found).to(train_MD.device), torch.from_numpy(rows).to(train_MD.device)
        else:
            found_nR, rows_nR = _top(train_MD, torch.from_numpy(test_ND[block]).to(train_MD.device), r)
        yield block, rows_nR, found_nR.amin(1)


def _top(train_MD: "Tensor", test_nD: "Tensor", r: int) -> tuple["Tensor", "Tensor"]:
    """The R highest fp32 products of each test row and their train rows, a part of the train rows at a time."""
    import torch

    found_nR, rows_nR = test_nD.new_empty(len(test_nD), 0), torch.empty(len(test_nD), 0, dtype=torch.long)
    rows_nR = rows_nR.to(test_nD.device)
    for columns in blocks(len(train_MD), len(test_nD), cells=CELLS):
        with _full_precision():
            part = test_nD @ train_MD[columns].T
        values, places = part.topk(min(r, part.shape[1]), dim=1)
        found_nR, rows_nR = torch.cat([found_nR, values], 1), torch.cat([rows_nR, places + columns.start], 1)
        found_nR, kept = found_nR.topk(min(r, found_nR.shape[1]), dim=1)
        rows_nR = rows_nR.gather(1, kept)
    return found_nR, rows_nR


def _flat_index(train_MD: "Tensor") -> Any:
    import faiss

    index = faiss.IndexFlatIP(train_MD.shape[1])
    index.add(train_MD.cpu().numpy())  # pyright: ignore[reportCallIssue]
    return index


def _refined(
    train_MD: "Tensor", test_nD: "Tensor", rows_nR: "Tensor", own_n: "Tensor | None"
) -> tuple["Tensor", "Tensor"]:
    """Candidates by falling exact similarity, then by row; a sample itself comes last, as -inf."""
    rows_nR = rows_nR.sort(dim=1).values
    exact_nR = test_nD.new_empty(rows_nR.shape)
    for block in blocks(len(test_nD), rows_nR.shape[1] * train_MD.shape[1], cells=CELLS):
        gathered = train_MD[rows_nR[block]].double()
        exact_nR[block] = (gathered @ test_nD[block].double()[:, :, None])[:, :, 0].float()
    if own_n is not None:
        exact_nR = exact_nR.masked_fill(rows_nR == own_n[:, None], -float("inf"))
    found_nR, order_nR = exact_nR.sort(dim=1, descending=True, stable=True)
    return found_nR, rows_nR.gather(1, order_nR)


def _searched(train_MD: "Tensor", test_nD: "Tensor", own_n: "Tensor | None", k: int) -> tuple["Tensor", "Tensor"]:
    """The first K of all train rows, in fp64 throughout: as :func:`_refined` of all of them."""
    import torch

    test = test_nD.double().T
    parts = [
        (train_MD[rows].double() @ test).T.float() for rows in blocks(len(train_MD), train_MD.shape[1], cells=CELLS)
    ]
    exact_nM = torch.cat(parts, 1)
    if own_n is not None:
        exact_nM.scatter_(1, own_n[:, None], -float("inf"))
    kth_n1 = exact_nM.topk(k, dim=1).values[:, -1:]
    above_nM, equal_nM = exact_nM > kth_n1, exact_nM == kth_n1
    missing_n1 = k - above_nM.sum(1, keepdim=True)
    taken_nM = above_nM | (equal_nM & (equal_nM.cumsum(1) <= missing_n1))
    rows_nK = taken_nM.nonzero()[:, 1].view(-1, k)
    found_nK, order_nK = exact_nM.gather(1, rows_nK).sort(dim=1, descending=True, stable=True)
    return found_nK, rows_nK.gather(1, order_nK)


@contextmanager
def _full_precision() -> Iterator[None]:
    """fp32 products as fp32, whatever the process allows: TF32 and bf16 would be beyond the margin for noise."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
