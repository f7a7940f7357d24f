"""DINOv3: what transformers' own classes say of a small random checkpoint, and faults that name the mend."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel, ViTConfig, ViTModel

from siglino_core.config import EmbedConfig, Pooling
from siglino_core.encoders.dinov3 import IMAGENET_MEAN, IMAGENET_STD
from siglino_core.errors import ConfigError
from tests.siglino_core.encoders.door import describe, load

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module", params=[0, 4], ids=["no registers", "4 registers"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = DINOv3ViTModel(DINOv3ViTConfig(**TINY, num_register_tokens=request.param, patch_size=16))
    with torch.no_grad():
        for p in model.parameters():  # away from the symmetric start
            p.add_(0.2 * torch.randn_like(p))
    folder = tmp_path_factory.mktemp("dinov3")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize("size", [0, 48])
def test_as_transformers_itself(checkpoint: Path, pooling: Pooling, size: int) -> None:
    encoder = load(EmbedConfig(encoder=f"dinov3:{checkpoint}", pooling=pooling, image_size=size))
    side = size or 224
    assert (encoder.card.dim, encoder.card.preprocess.size, encoder.card.preprocess.fit) == (32, side, "crop")
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    model = DINOv3ViTModel.from_pretrained(checkpoint).eval()
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / (
        torch.tensor(IMAGENET_STD).view(3, 1, 1)
    )
    with torch.no_grad():
        out = model(pixel_values=x)
    if pooling is Pooling.CLS:
        expected = out.pooler_output
    else:
        patches = (side // 16) ** 2
        expected = out.last_hidden_state[:, -patches:].mean(1)
    expected = torch.nn.functional.normalize(expected, dim=-1).numpy()
    got = encoder.encode(pixels)
    assert np.abs(got - expected).max() <= 1e-5
    assert np.linalg.norm(got, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert np.abs(got[0] - got[1]).max() > 1e-3


def test_one_byte_of_its_files_changes_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    config = EmbedConfig(encoder=f"dinov3:{folder}")
    first = describe(config)
    assert first == describe(EmbedConfig(encoder=f"dinov3:{checkpoint}")) == load(config).card, "wherever it lies"
    with (folder / "model.safetensors").open("r+b") as f:
        f.seek(-1, 2)
        last = f.read(1)
        f.seek(-1, 2)
        f.write(bytes([last[0] ^ 1]))
    changed = describe(config).identity
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("1e-05", "1e-06"))
    assert len({first.identity, changed, describe(config).identity}) == 3


def test_a_size_that_is_no_multiple_of_the_patch(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"embed\.image_size=50 is not a multiple of the encoder's patch, 16"):
        load(EmbedConfig(encoder=f"dinov3:{checkpoint}", image_size=50))


def test_a_folder_that_is_not_there_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(ConfigError, match=f"embed.encoder=dinov3:{folder}: .*Give a local folder"):
            load(EmbedConfig(encoder=f"dinov3:{folder}"))


def test_another_kind_of_model(tmp_path: Path) -> None:
    ViTModel(ViTConfig(**TINY)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"dinov3:{tmp_path}: this is a vit, not a dinov3_vit"):
        load(EmbedConfig(encoder=f"dinov3:{tmp_path}"))


def test_weights_that_are_not_safetensors(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    torch.save(DINOv3ViTModel.from_pretrained(checkpoint).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        load(EmbedConfig(encoder=f"dinov3:{tmp_path}"))
