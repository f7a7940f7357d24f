"""Training is torch's own, for several heads at once and in parts of an image."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from siglino_core.evaluation.segmentation.dense import shuffled
from siglino_core.evaluation.segmentation.head import Heads
from siglino_core.evaluation.segmentation.linear import Protocol, fit
from siglino_core.evaluation.segmentation.protocol import schedule
from siglino_core.evaluation.segmentation.training import lattice
from siglino_core.hashing import key_of
from tests.siglino_core.evaluation.segmentation.splits import blocks


def test_training_is_torchs_on_upsampled_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps by torch's own layers, interpolation and loss, ignoring 255."""
    monkeypatch.setattr("siglino_core.evaluation.segmentation.dense.PART", 300)  # several parts an image
    split = blocks(3, 6)
    protocol = Protocol(name="plain", learning_rates=(1e-2,), steps=3, batch_size=3, warmup=0.4, dropout=0.0)
    ours = fit(split, num_classes=4, protocol=protocol)
    norm, conv = nn.BatchNorm2d(16), nn.Conv2d(16, 4, 1)
    start = Heads(16, 4, 1, generator=torch.Generator().manual_seed(key_of(0, "linear segmentation") >> 1), dropout=0.0)
    with torch.no_grad():
        conv.weight.copy_(start.weights[0].view(4, 16, 1, 1))
        conv.bias.zero_()  # type: ignore[union-attr]
    optimizer = torch.optim.AdamW([*norm.parameters(), *conv.parameters()], weight_decay=1e-3)
    stream = shuffled(split, lambda _: True, 0)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 1e-2 * schedule(step, 3, 0.4)
        batch = list(islice(stream, 3))
        x = torch.stack([torch.from_numpy(s.patches_hwD).float().permute(2, 0, 1) for s in batch])
        y = torch.stack([torch.from_numpy(s.mask_HW).long() for s in batch])
        logits = F.interpolate(conv(norm(x)), size=y.shape[1:], mode="bilinear", align_corners=False)
        optimizer.zero_grad()
        F.cross_entropy(logits, y, ignore_index=255).backward()
        optimizer.step()
    theirs = [norm.weight, norm.bias, conv.weight.view(4, 16), conv.bias]
    for a, b in zip([p.detach() for p in ours.head.of(0)], theirs, strict=True):
        assert torch.allclose(a, b.detach(), atol=2e-5)  # type: ignore[union-attr]
    assert torch.allclose(ours.head.norm.running_var, norm.running_var, atol=1e-4)  # type: ignore[arg-type]


def test_pixels_drawn_are_a_lattice_without_repeats() -> None:
    rows, columns = lattice((64, 256), 1024, torch.Generator().manual_seed(0))
    assert len(rows) == len(set(rows.tolist())) == 16
    assert len(columns) == len(set(columns.tolist())) == 64
    assert [len(x) for x in lattice((5, 7), 1024, torch.Generator())] == [5, 7]
    assert [len(x) for x in lattice((500, 700), 0, torch.Generator())] == [500, 700]
