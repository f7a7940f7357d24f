"""Codecs: what they cost in bytes, error and neighbours, the way there and back, and what they refuse."""

import pytest
import torch
from torch import Tensor

from siglino_core.config import Stored
from siglino_core.distillation.targets.codec import DENSE, Codec, patch_bytes
from siglino_core.distillation.targets.phi_s import PhiS
from tests.siglino_core.distillation.targets.features import errors, images, phis_of

DIM, PATCHES = 192, 49
SMALL = images(6, 5, 24)


@pytest.fixture(scope="module")
def features() -> list[Tensor]:
    return images(256, PATCHES, DIM)


@pytest.fixture(scope="module")
def phis(features: list[Tensor]) -> PhiS:
    return phis_of(images(64, PATCHES, DIM, seed=0))  # as in a run: of a part of the images


def there_and_back(codec: Codec, features: list[Tensor]) -> tuple[list[bytes], list[Tensor]]:
    stored = codec.encode(torch.cat(features), [len(f) for f in features])
    return stored, list(codec.decode(stored).split([len(f) for f in features]))


@pytest.mark.parametrize(
    ("kind", "share", "mse", "knn"), [(Stored.INT8, 0.507, 1e-3, 0.995), (Stored.FP8, 0.507, 2e-3, 0.99)]
)
def test_half_the_bytes_and_nearly_all_of_the_rest(
    features: list[Tensor], phis: PhiS, kind: Stored, share: float, mse: float, knn: float
) -> None:
    reference_bytes, reference = there_and_back(Codec(Stored.BF16, DIM), features)
    stored, decoded = there_and_back(Codec(kind, DIM, phis), features)
    assert sum(map(len, stored)) < share * sum(map(len, reference_bytes))
    found = errors(reference, decoded)
    assert found.relative_mse < mse
    assert found.knn_agreement > knn
    assert found.images == 256


def test_without_the_rotation_int8_would_lose_most_channels(features: list[Tensor], phis: PhiS) -> None:
    plain = PhiS(mean=phis.mean, rotation=torch.eye(DIM, dtype=torch.float64), phi=phis.phi, kind="hadamard")
    lost = []
    for of in (plain, phis):
        decoded = there_and_back(Codec(Stored.INT8, DIM, of), features)[1]
        per_channel_C = (torch.cat(decoded) - torch.cat(features)).square().mean(0) / torch.cat(features).var(0)
        lost.append(float(per_channel_C.median()))
    assert lost[1] < lost[0] / 10


def test_bf16_is_the_reference() -> None:
    x_NC = torch.cat(SMALL)
    codec = Codec(Stored.BF16, 24)
    assert torch.equal(codec.decode(codec.encode(x_NC)), x_NC.bfloat16().float())
    assert codec.encode(x_NC)[0] == x_NC.bfloat16().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("kind", DENSE)
def test_one_image_or_many(kind: Stored) -> None:
    codec = Codec(kind, 24, phis_of(SMALL))
    counts = [len(f) for f in SMALL]
    stored = codec.encode(torch.cat(SMALL), counts)
    assert [len(s) for s in stored] == [n * patch_bytes(kind, 24) for n in counts]
    assert codec.encode(torch.cat(SMALL), counts) == stored
    together = codec.decode(stored)
    assert (together.dtype, together.shape) == (torch.float32, (30, 24))
    torch.testing.assert_close(together, torch.cat([codec.decode([s]) for s in stored]), rtol=1e-5, atol=1e-4)
    assert codec.decode([]).shape == (0, 24)
    assert codec.unpack(stored[:2]).to("cpu").values_NC.shape == (10, 24)


@pytest.mark.parametrize("kind", [Stored.INT8, Stored.FP8])
def test_scales_first_then_values(kind: Stored) -> None:
    codec = Codec(kind, 24, phis_of(SMALL))
    values_NC, scales_N = codec.quantise(SMALL[0])
    assert scales_N is not None
    [data] = codec.encode(SMALL[0])
    assert data == scales_N.numpy().tobytes() + values_NC.view(torch.uint8).numpy().tobytes()
    assert values_NC.float().abs().amax(1).min() >= {Stored.INT8: 126, Stored.FP8: 416}[kind]  # the range is used


@pytest.mark.parametrize("kind", [Stored.INT8, Stored.FP8])
def test_a_token_at_the_mean_and_one_far_off(kind: Stored) -> None:
    phis = phis_of(SMALL)
    x_NC = torch.stack([phis.mean, phis.mean + 1e4 * phis.phi]).float()
    back_NC = Codec(kind, 24, phis).decode(Codec(kind, 24, phis).encode(x_NC))
    torch.testing.assert_close(back_NC[0], x_NC[0], rtol=1e-5, atol=1e-4)
    assert (back_NC[1] - x_NC[1]).norm() < 0.05 * (x_NC[1] - phis.mean).norm()


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.4028e38])
def test_what_is_not_finite_is_refused(kind: Stored, value: float) -> None:
    x_NC = SMALL[0].clone()
    x_NC[2, 3] = value
    with pytest.raises(ValueError, match="not finite, or "):
        Codec(kind, 24, phis_of(SMALL)).encode(x_NC)


@pytest.mark.parametrize("kind", DENSE)
def test_bytes_of_no_whole_number_of_patches(kind: Stored) -> None:
    codec = Codec(kind, 24, phis_of(SMALL))
    with pytest.raises(ValueError, match="no whole number of patches"):
        codec.decode([codec.encode(SMALL[0])[0][:-1]])
