"""Clipping as torch does it; over shards, see test_sharded."""

import pytest
import torch
from torch import nn

from siglino_core.distillation.optim import clip_grad_norm
from siglino_core.distillation.optim.local import local, part_of
from tests.siglino_core.distillation.optim.stand_in import Student, loss_of


@pytest.mark.parametrize("most", [1e-3, 1.0, 1e9])
def test_as_torch_clips(most: float) -> None:
    ours, theirs = Student(), Student()
    for model in (ours, theirs):
        loss_of(model, 0).backward()
    assert torch.equal(clip_grad_norm(ours.parameters(), most), nn.utils.clip_grad_norm_(theirs.parameters(), most))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or b.grad is None or torch.equal(a.grad, b.grad)


def test_without_a_gradient() -> None:
    assert clip_grad_norm(nn.Linear(2, 2).parameters(), 1.0) == 0


def test_plain_tensors_are_their_own_part() -> None:
    x = torch.ones(3)
    assert local(x) is x
    assert part_of(x, x) is x
