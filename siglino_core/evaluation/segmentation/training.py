"""Training heads of the linear probe side by side, and their scores.

Legend: B images, N patches of all of them, D width, L heads, C classes, K = L * C; h and w patches, H and W pixels, R
and Q rows and columns of pixels that a step looks at, P = Q * R.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.dense import Dense, DenseSample, bilinear, row_parts, shuffled
from siglino_core.evaluation.segmentation.head import Heads
from siglino_core.evaluation.segmentation.iou import Counts
from siglino_core.evaluation.segmentation.protocol import Protocol, schedule
from siglino_core.hashing import key_of


@dataclass(frozen=True, eq=False)
class Run:
    """What the sweep and the final run of a protocol have in common."""

    train: Dense
    num_classes: int
    width: int
    protocol: Protocol
    seed: int
    device: torch.device
    ignore: int

    def steps(self, images: int) -> int:
        return self.protocol.steps or max(1, math.ceil(self.protocol.epochs * images / self.protocol.batch_size))

    def fitted(self, rates: Sequence[float], ids: Sequence[str]) -> Heads:
        """One head a learning rate, trained side by side on the same batches."""
        generator = torch.Generator().manual_seed(key_of(self.seed, "linear segmentation") >> 1)
        heads = Heads(self.width, self.num_classes, len(rates), generator=generator, dropout=self.protocol.dropout).to(
            self.device
        )
        groups = [{"params": heads.of(i), "lr": rate} for i, rate in enumerate(rates)]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.protocol.weight_decay)
        steps, wanted = self.steps(len(ids)), set(ids)
        images = shuffled(self.train, wanted.__contains__, self.seed)
        heads.train()
        for step in range(steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step, steps, self.protocol.warmup)
            optimizer.zero_grad()
            self._backward(heads, list(islice(images, self.protocol.batch_size)), generator)
            optimizer.step()
        return heads

    def _backward(self, heads: Heads, batch: Sequence[DenseSample], generator: torch.Generator) -> None:
        """Gradients of the cross entropy's mean over the labelled pixels.

        The upsampled logits of all images would fill any memory, so that each part of an image gives its gradient to
        the patches' logits at once, and these give their sum to the heads.
        """
        grids = [s.patches_hwD.shape[:2] for s in batch]
        x_ND = torch.cat([_flat(s.patches_hwD) for s in batch]).to(self.device).float()
        if len(x_ND) < 2:
            raise DataError("a batch of one patch has no variance to normalise by: raise the batch size")
        counts = [h * w for h, w in grids]
        logits_NK = heads(heads.drop(x_ND, counts, generator))
        lattices = [lattice(s.mask_HW.shape, self.protocol.pixels, generator) for s in batch]
        labels = [_labels(s.mask_HW, rows, columns) for s, (rows, columns) in zip(batch, lattices, strict=True)]
        pixels = max(1, sum(int((y_RQ != self.ignore).sum()) for y_RQ in labels))
        found = []
        for map_NK, (h, w), sample, (rows, columns), y_RQ in zip(
            logits_NK.detach().split(counts), grids, batch, lattices, labels, strict=True
        ):
            map_LChw = map_NK.T.reshape(len(heads), self.num_classes, h, w)
            down_Rh = bilinear(h, sample.mask_HW.shape[0])[rows].to(self.device)
            across_Qw = bilinear(w, sample.mask_HW.shape[1])[columns].to(self.device)
            sum_LChw = torch.zeros_like(map_LChw)
            for part in row_parts(len(y_RQ), y_RQ.shape[1], map_NK.shape[1]):
                sum_LChw += gradient(map_LChw, down_Rh[part], across_Qw, y_RQ[part].to(self.device), self.ignore)
            found.append(sum_LChw.view(-1, h * w).T)
        logits_NK.backward(torch.cat(found) / pixels)

    def scores(self, heads: Heads, ids: set[str]) -> list[float]:
        """Mean IoU of each head on some images; NaN for one that diverged.

        Raises:
            DataError: none of their pixels has a label.
        """
        totals: list[Counts | None] = [None] * len(heads)
        for sample in map(DenseSample._make, self.train):
            if sample.sample_id not in ids:
                continue
            found_LHW = heads.predict(sample.patches_hwD, sample.mask_HW.shape)
            for i, found_HW in enumerate(found_LHW):
                row = Counts.of(found_HW, sample.mask_HW, self.num_classes, self.ignore)
                before = totals[i]
                totals[i] = row if before is None else before.plus(row)
        sound = [all(p.isfinite().all() for p in heads.of(i)) for i in range(len(heads))]
        return [t.mean_iou() if t and ok else math.nan for t, ok in zip(totals, sound, strict=True)]


def gradient(map_LChw: Tensor, down_Rh: Tensor, across_Qw: Tensor, y_RQ: Tensor, ignore: int) -> Tensor:
    """Of the cross entropy's sum over an image's labelled pixels, by its patches' logits: [L, C, h, w].

    In closed form, softmax less one at the label, and with the pixels as the innermost axis: classes there, of which
    there are few, would cost a multiple of the time.

    Args:
        map_LChw: logits of the patches.
        down_Rh, across_Qw: the bilinear upsampling to the pixels of ``y_RQ``.
    """
    heads, classes = map_LChw.shape[:2]
    # Each product has one matrix on its right, so that it is one product and not one a channel.
    wide_LChQ = map_LChw @ across_Qw.T
    shares_LCP = (wide_LChQ.mT.contiguous() @ down_Rh.T).view(heads, classes, -1).softmax(1)
    y_P = y_RQ.T.flatten()
    labelled_P = y_P != ignore
    target_LP = y_P.where(labelled_P, 0).expand(heads, 1, -1)
    shares_LCP.scatter_add_(1, target_LP, shares_LCP.new_tensor(-1).expand_as(target_LP))
    shares_LCP *= labelled_P.float()
    tall_LCQh = shares_LCP.view(heads, classes, -1, len(y_RQ)) @ down_Rh
    return tall_LCQh.mT.contiguous() @ across_Qw


def _flat(patches_hwD: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(patches_hwD)).flatten(0, 1)


def lattice(size: Sequence[int], pixels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows and columns of a label, drawn without repeats: about ``pixels`` crossings, or all if that is 0."""
    height, width = size
    share = min(1.0, math.sqrt(pixels / (height * width))) if pixels else 1.0
    if share == 1:
        return torch.arange(height), torch.arange(width)
    rows, columns = (torch.randperm(n, generator=generator)[: max(1, round(share * n))] for n in (height, width))
    return rows.sort().values, columns.sort().values


def _labels(mask_HW: np.ndarray, rows: Tensor, columns: Tensor) -> Tensor:
    """int64 [R, Q] of a mask at some rows and columns."""
    return torch.from_numpy(mask_HW[np.ix_(rows.numpy(), columns.numpy())].astype(np.int64))
