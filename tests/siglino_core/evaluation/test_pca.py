"""Maps by principal components: sklearn's directions, colours that hold over images, and nothing to divide by."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from siglino_core.distillation.targets.phi_s import Moments
from siglino_core.errors import DataError
from siglino_core.evaluation.pca import Sample, colours, components, feature_map, limits


def features(n: int = 300, dim: int = 24, seed: int = 0) -> Tensor:
    """With a mean far from zero and directions of very different spread."""
    generator = torch.Generator().manual_seed(seed)
    spread_D = 0.7 ** torch.arange(dim)
    rotation_DD = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
    return torch.randn(n, dim, generator=generator) * spread_D @ rotation_DD + 5


def painted(x_ND: Tensor) -> Tensor:
    basis = components(x_ND)
    return colours(x_ND, basis, limits(x_ND, basis))


def test_the_directions_are_sklearns_up_to_sign() -> None:
    x_ND = features()
    basis = components(x_ND, 5)
    theirs = PCA(5, svd_solver="full").fit(x_ND.double().numpy())
    assert np.allclose(basis.mean_D, theirs.mean_)
    cosines = (basis.directions_KD.numpy() * theirs.components_).sum(1)
    assert np.allclose(np.abs(cosines), 1, atol=1e-9)
    assert np.allclose(basis.project(x_ND).numpy() * np.sign(cosines), theirs.transform(x_ND.double().numpy()))


def test_signs_are_settled() -> None:
    for seed in range(5):
        directions_KD = components(features(seed=seed)).directions_KD
        assert (directions_KD.gather(1, directions_KD.abs().argmax(1, keepdim=True)) > 0).all()
    x_ND = features()
    assert torch.allclose(components(x_ND).directions_KD, components(x_ND.flip(0)).directions_KD)


def test_image_by_image_is_all_at_once() -> None:
    x_ND = features()
    moments = Moments.empty(x_ND.shape[1])
    for part in x_ND.split([1, 100, 7, 192]):
        moments.update(part)
    parts, whole = components(moments), components(x_ND)
    assert torch.allclose(parts.mean_D, whole.mean_D, rtol=1e-12)
    assert torch.allclose(parts.directions_KD, whole.directions_KD, atol=1e-10)


def test_colours_span_the_percentiles_over_all_features() -> None:
    x_ND = features(1000)
    basis = components(x_ND)
    limits_2K = limits(x_ND, basis)
    share_3 = ((basis.project(x_ND) >= limits_2K[0]) & (basis.project(x_ND) <= limits_2K[1])).double().mean(0)
    assert torch.allclose(share_3, torch.tensor(0.98, dtype=torch.float64), atol=0.002)
    got_N3 = colours(x_ND, basis, limits_2K)
    assert got_N3.dtype == torch.uint8
    assert got_N3.shape == (1000, 3)
    assert (got_N3 == 0).sum(0).min() >= 10
    assert (got_N3 == 255).sum(0).min() >= 10
    first_N = basis.project(x_ND)[:, 0].argsort()
    assert (got_N3[first_N, 0].int().diff() >= 0).all()  # brighter the further along


def test_one_odd_patch_does_not_grey_out_the_others() -> None:
    x_ND = features(1000)
    basis = components(x_ND)
    odd_ND = torch.cat([x_ND, x_ND[:1] + 1e4 * basis.directions_KD[0]])
    got_N3 = colours(x_ND, basis, limits(odd_ND, basis)).double()
    assert (got_N3.std(0) > 40).all()


def test_the_same_features_have_the_same_colours_in_different_images() -> None:
    first_ND, second_ND = features(40), features(60, seed=1) + 3
    second_ND[10:20] = first_ND[5:15]
    both_ND = torch.cat([first_ND, second_ND])
    basis = components(both_ND)
    limits_2K = limits(both_ND, basis)
    one_N3, two_N3 = (colours(x, basis, limits_2K) for x in (first_ND, second_ND))
    assert torch.equal(one_N3[5:15], two_N3[10:20])
    assert not torch.equal(one_N3[:10], two_N3[10:20])


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.1, -7e5])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_constant_features_are_grey(value: float, count: int) -> None:
    assert (painted(torch.full((count, 8), value)) == 128).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_patches(count: int) -> None:
    got_N3 = painted(features(count))
    assert (got_N3[:, count - 1 :] == 128).all()  # n patches vary in n - 1 directions
    assert all(len(channel.unique()) > 1 for channel in got_N3.T[: count - 1])


def test_features_of_two_channels() -> None:
    got_N3 = painted(features(50, dim=2))
    assert (got_N3[:, 2] == 128).all()
    assert len(got_N3[:, 1].unique()) > 10


def test_rounding_is_no_direction() -> None:
    x_ND = features(200)[:, :1] * torch.ones(16) / 3  # one direction, rounded to fp32
    directions_KD = components(x_ND).directions_KD
    assert directions_KD[0].norm() == pytest.approx(1)
    assert not directions_KD[1:].any()


def test_a_map_shows_its_patches() -> None:
    x_ND = features(6)
    basis = components(x_ND)
    limits_2K = limits(x_ND, basis)
    picture = feature_map(x_ND, (2, 3), basis, limits_2K, (20, 30))
    assert (picture.mode, picture.size) == ("RGB", (30, 20))
    blocks = np.asarray(picture).reshape(2, 10, 3, 10, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert np.array_equal(blocks[:, 0, :, 0].reshape(6, 3), colours(x_ND, basis, limits_2K).numpy())


def test_a_sample_is_bounded_and_uniform() -> None:
    rows_ND = torch.arange(1000.0)[:, None]
    means = []
    for seed in range(50):
        sample = Sample.empty(1, size=100, seed=seed)
        for part in rows_ND.split(130):
            sample.update(part)
            assert len(sample.rows_ND) <= 100
        assert len(sample.rows_ND.unique()) == 100
        means.append(float(sample.rows_ND.mean()))
    assert np.mean(means) == pytest.approx(499.5, abs=4 * 27.4 / 50**0.5)  # sd of one mean, 100 of 1000: 27.4
    few = Sample.empty(1, size=100)
    few.update(rows_ND[:60])
    few.update(rows_ND[60:100])
    assert torch.equal(few.rows_ND, rows_ND[:100])


def test_what_cannot_be_done() -> None:
    with pytest.raises(ValueError, match="of no features"):
        components(torch.zeros(0, 4))
    basis = components(features())
    with pytest.raises(ValueError, match="of no features"):
        limits(torch.zeros(0, 24), basis)
    with pytest.raises(ValueError, match="5 features: a grid of 2 x 3 has 6"):
        feature_map(features(5), (2, 3), basis, limits(features(), basis), (20, 30))
    two = components(features(), 2)
    with pytest.raises(ValueError, match="2 directions: colours need 3"):
        colours(features(), two, limits(features(), two))
    with pytest.raises(DataError, match="NaN or infinity"):
        components(torch.full((3, 4), float("nan")))
