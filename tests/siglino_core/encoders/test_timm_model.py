"""timm encoders: a weights file gives timm's own pooled features, with or without its classifier."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from tests.siglino_core.encoders.door import load

NAME = "resnet10t"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = timm.create_model(NAME)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return model.state_dict()


def config(path: Path, name: str = NAME, **change: int) -> EmbedConfig:
    return EmbedConfig(encoder=f"timm:{name}", weights=str(path), **change)


@pytest.mark.parametrize("kind", ["safetensors", "safetensors without head", "pth"])
def test_a_weights_file(tmp_path: Path, weights: dict[str, torch.Tensor], kind: str) -> None:
    path = tmp_path / ("w.pth" if kind == "pth" else "w.safetensors")
    held = {k: v for k, v in weights.items() if "without" not in kind or not k.startswith("fc.")}
    torch.save(held, path) if kind == "pth" else safetensors.torch.save_file(held, path)
    encoder = load(config(path, image_size=64))
    reference = timm.create_model(NAME)
    reference.load_state_dict(weights)
    reference.reset_classifier(0)
    data = reference.pretrained_cfg
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(data["mean"]).view(3, 1, 1)) / torch.tensor(data["std"]).view(3, 1, 1)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(reference.eval()(x), dim=-1).numpy()
    assert encoder.card.dim == expected.shape[1]
    assert np.abs(encoder.encode(pixels) - expected).max() <= 1e-5


def test_its_own_size_and_crop(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(weights, path)
    found, wanted = load(config(path)).card.preprocess, timm.create_model(NAME).pretrained_cfg
    assert (found.size, found.crop_share) == (wanted["input_size"][-1], wanted["crop_pct"])


def test_faults_name_the_encoder_and_the_mend(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({k: v for k, v in weights.items() if not k.startswith("layer1.")}, path)
    more = tmp_path / "more.safetensors"
    safetensors.torch.save_file({**weights, "layer9.weight": weights["fc.bias"].clone()}, more)
    for name, file in ((NAME, path), (NAME, more), (NAME, tmp_path / "none.safetensors"), ("no_such_model", path)):
        with pytest.raises(ConfigError, match=rf"embed\.encoder=timm:{name}: .*Check the name with timm\.list_models"):
            load(config(file, name))


def test_the_width_is_that_of_what_comes_out(tmp_path: Path) -> None:
    """MobileNetV3 has a layer behind its ``num_features``: 576 wide inside, 1024 outside."""
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_100", num_classes=0)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    encoder = load(config(tmp_path / "w.safetensors", "mobilenetv3_small_100", image_size=64))
    features = encoder.encode(np.zeros((1, 64, 64, 3), np.uint8))
    assert features.shape == (1, encoder.card.dim)
    assert encoder.card.dim != model.num_features
