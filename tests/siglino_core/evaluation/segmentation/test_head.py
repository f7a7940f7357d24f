"""Heads are torch's batch norm and 1x1 convolution, each its own, and drop whole channels."""

import numpy as np
import torch
from torch import nn

from siglino_core.evaluation.segmentation.head import Heads

D, C = 6, 3


def made(heads: int = 1, dropout: float = 0.0) -> Heads:
    return Heads(D, C, heads, generator=torch.Generator().manual_seed(0), dropout=dropout)


def randomised(heads: Heads) -> Heads:
    generator = torch.Generator().manual_seed(1)
    for parameter in heads.parameters():
        nn.init.normal_(parameter, generator=generator)
    return heads


def test_it_begins_as_the_protocol_says() -> None:
    heads = Heads(400, 50, 2, generator=torch.Generator().manual_seed(0))
    assert 0.0098 < float(heads.weights[0].detach().std()) < 0.0102
    assert torch.equal(heads.weights[0], heads.weights[1])
    assert not any(b.any() for b in [*heads.biases, *heads.shifts])
    assert all((s == 1).all() for s in heads.scales)


def test_each_head_is_batch_norm_and_a_convolution() -> None:
    heads = randomised(made(2))
    x_ND = torch.randn(20, D, generator=torch.Generator().manual_seed(2)) * 3 + 1
    for training in (True, False):
        ours = heads.train(training)(x_ND).view(20, 2, C)
        for i in range(2):
            norm, conv = nn.BatchNorm2d(D), nn.Conv2d(D, C, 1)
            with torch.no_grad():
                for to, value in zip((norm.weight, norm.bias, conv.weight, conv.bias), heads.of(i), strict=True):
                    to.copy_(value.view(to.shape))
            if not training:
                norm.running_mean, norm.running_var = heads.norm.running_mean, heads.norm.running_var
            theirs = conv(norm.train(training)(x_ND.T.reshape(1, D, 4, 5)))
            assert torch.allclose(ours[:, i], theirs[0].flatten(1).T, atol=1e-5)


def test_whole_channels_of_an_image_are_dropped() -> None:
    heads = made(dropout=0.25)
    x_ND = heads.drop(torch.ones(4000 * 2, D), [2] * 4000, torch.Generator().manual_seed(0))
    pairs = x_ND.view(4000, 2, D)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert set(x_ND.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert abs(float((x_ND == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(x_ND.mean()) - 1) < 0.02


def test_nothing_is_dropped_when_it_predicts() -> None:
    heads = randomised(made(dropout=0.9))
    patches = np.random.default_rng(0).standard_normal((3, 4, D)).astype(np.float16)
    once = heads.predict(patches, (12, 8))
    assert once.shape == (1, 12, 8)
    assert once.dtype == np.uint16
    assert np.array_equal(once, heads.predict(patches, (12, 8)))


def test_it_predicts_by_what_training_measured_not_by_the_image_itself() -> None:
    heads = randomised(made())
    x_ND = torch.randn(50, D, generator=torch.Generator().manual_seed(2)) * 3 + 1
    for _ in range(50):
        heads.train()(x_ND)
    alone = [heads.train().predict(x_ND[i].view(1, 1, D).numpy(), (1, 1)).item() for i in range(20)]
    assert alone == heads.eval()(x_ND[:20]).argmax(1).tolist()
    assert len(set(alone)) > 1


def test_predictions_do_not_depend_on_the_parts(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    heads = randomised(made(2))
    patches = np.random.default_rng(0).standard_normal((3, 4, D)).astype(np.float16)
    whole = heads.predict(patches, (31, 17))
    assert len(np.unique(whole)) == C
    monkeypatch.setattr("siglino_core.evaluation.segmentation.dense.PART", 200)
    assert np.array_equal(whole, heads.predict(patches, (31, 17)))
