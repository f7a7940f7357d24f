"""Spaces in which tokens are compared, against plain formulas over the features that they were fitted on."""

import dataclasses

import pytest
import torch
from torch import Tensor

from siglino_core.config import Normalize
from siglino_core.distillation.targets.normalize import Normalizer
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.errors import ConfigError

DIM = 12


def features(seed: int = 0, count: int = 400) -> Tensor:
    """Correlated, off the origin, channels of very different scales; fp64 [N, C]."""
    draw = torch.Generator().manual_seed(seed)
    mixed = torch.randn(count, DIM, generator=draw, dtype=torch.float64) @ torch.randn(
        DIM, DIM, generator=draw, dtype=torch.float64
    )
    return mixed * torch.logspace(-1, 1, DIM, dtype=torch.float64) + torch.arange(DIM, dtype=torch.float64)


X_NC = features()
FITTED = PhiS.fit(X_NC)


def test_channel_gives_each_channel_mean_0_and_variance_1() -> None:
    found = Normalizer(Normalize.CHANNEL, FITTED)(X_NC)
    torch.testing.assert_close(found, (X_NC - X_NC.mean(0)) / X_NC.std(0, unbiased=False))


def test_phi_s_is_the_standardisation_of_the_statistics() -> None:
    found = Normalizer(Normalize.PHI_S, FITTED)(X_NC)
    torch.testing.assert_close(found, FITTED.apply(X_NC))
    torch.testing.assert_close(found.square().mean(0), torch.ones(DIM, dtype=torch.float64))
    part = Normalizer(Normalize.PHI_S, FITTED)(X_NC[:6].view(2, 3, DIM))
    torch.testing.assert_close(part.flatten(0, 1), found[:6])


def test_layer_norm_is_of_each_token_by_itself() -> None:
    found = Normalizer(Normalize.LAYER_NORM, FITTED)(X_NC)
    centred = X_NC - X_NC.mean(1, keepdim=True)
    torch.testing.assert_close(found, centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())


def test_none_changes_nothing() -> None:
    assert Normalizer(Normalize.NONE, FITTED)(X_NC) is X_NC


@pytest.mark.parametrize("kind", Normalize)
def test_in_single_precision_too_and_with_gradients(kind: Normalize) -> None:
    normalizer = Normalizer(kind, FITTED)
    wanted, found = normalizer(X_NC), normalizer(X_NC.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
    assert torch.autograd.gradcheck(normalizer, X_NC[:3].clone().requires_grad_())


def test_a_channel_that_never_moves_stays_finite() -> None:
    still_NC = X_NC.clone()
    still_NC[:, 3] = 2.0
    found = Normalizer(Normalize.CHANNEL, PhiS.fit(still_NC))(still_NC)
    assert found.isfinite().all()
    assert not found[:, 3].any()


def test_variances_are_saved_and_statistics_without_them_do_but_for_channels() -> None:
    saved = Statistics.save({"own": Statistics(summary=FITTED, patch=None)})
    loaded = Statistics.load(saved)["own"].summary
    assert loaded.variance is not None
    torch.testing.assert_close(loaded.variance, X_NC.var(0, unbiased=False))
    earlier = Statistics(summary=dataclasses.replace(FITTED, variance=None), patch=None)
    old = Statistics.load(Statistics.save({"own": earlier}))["own"].summary
    assert old.variance is None
    torch.testing.assert_close(Normalizer(Normalize.PHI_S, old)(X_NC), FITTED.apply(X_NC))
    says = r"^train\.loss: normalize=channel needs .* of own's summaries, .* --redo targets, or phi_s\.$"
    with pytest.raises(ConfigError, match=says):
        Normalizer(Normalize.CHANNEL, old, name="own's summaries")
