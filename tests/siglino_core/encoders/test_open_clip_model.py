"""open_clip towers: what the library itself says, from a name with weights or from a folder, and faults with mends."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file

from siglino_core.config import EmbedConfig
from siglino_core.encoders.open_clip_model import CONFIG, WEIGHTS
from siglino_core.errors import ConfigError
from siglino_core.networks import describe as card_of
from siglino_core.networks import load_teacher
from tests.siglino_core.encoders.door import describe, load

TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
VISION = {
    "patches of 16": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "patches of 8": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "patches of 32": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 32},
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
    "timm": {"image_size": 64, "timm_model_name": "resnet10t", "timm_pool": "", "timm_proj": "linear"},
}
DENSE = ("patches of 16", "patches of 8")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """A folder as open_clip saves it, and the model, for each kind of tower."""
    made: dict[str, tuple[Path, Any]] = {}
    torch.manual_seed(0)
    for name, vision in VISION.items():
        folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
        config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": TEXT}
        model = open_clip.model.CLIP(**config).eval()
        with torch.no_grad():
            for p in model.visual.parameters():
                p.add_(0.1 * torch.randn_like(p))
        (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3}}))
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
        made[name] = folder, model
    return made


@pytest.mark.parametrize("name", VISION)
def test_as_open_clip_itself(folders: dict[str, tuple[Path, Any]], name: str) -> None:
    folder, model = folders[name]
    encoder = load(EmbedConfig(encoder=f"open_clip:{folder}"))
    assert (encoder.card.dim, encoder.card.pixels.size, encoder.card.native) == (32, 64, False)
    assert encoder.card.patches == (name in DENSE)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)
    with torch.no_grad():
        wanted = model.encode_image(x, normalize=True).numpy()
    assert np.abs(encoder.encode(pixels) - wanted).max() <= 1e-5


def test_a_name_with_weights_in_a_file_or_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "both.safetensors")
    (tmp_path / "folder").mkdir()
    save_file(
        {k.removeprefix("visual."): v for k, v in state.items() if k.startswith("visual.")},
        tmp_path / "folder" / WEIGHTS,
    )
    found = [
        load(EmbedConfig(encoder="open_clip:ViT-S-32-alt", weights=str(tmp_path / w)))
        for w in ("both.safetensors", "folder")
    ]
    side = found[0].card.pixels.size
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    with torch.no_grad():
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        wanted = model.eval().encode_image(x, normalize=True).numpy()
    assert found[0].card.name == "vit_s_32_alt"
    for encoder in found:
        assert np.abs(encoder.encode(pixels) - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", VISION)
def test_as_a_teacher(folders: dict[str, tuple[Path, Any]], name: str) -> None:
    folder, model = folders[name]
    teacher = load_teacher(f"open_clip:{folder}")
    assert card_of(f"open_clip:{folder}") == teacher.card
    patches = torch.rand(28, 768, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = teacher(patches, [(2, 3), (4, 4), (2, 3)])
    assert found.summaries.shape == (3, 32)
    pixels = patches[6:22].reshape(4, 4, 16, 16, 3).permute(4, 0, 2, 1, 3).reshape(1, 3, 64, 64)
    x = ((pixels + 1) / 2 - 0.5) / torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)
    with torch.no_grad():
        wanted = model.visual(x)
    torch.testing.assert_close(found.summaries[1:2], wanted, atol=1e-4, rtol=0)
    if name not in DENSE:
        assert found.patches is None
        return
    assert found.patches is not None
    assert found.patches.shape == (28, 32)
    with torch.no_grad():
        tokens = model.visual.forward_intermediates(x, indices=1, normalize_intermediates=True)
    (map_BCHW,) = tokens["image_intermediates"]
    map_BCHW = torch.einsum("bchw,cd->bdhw", map_BCHW, model.visual.proj)
    map_BCHW = torch.nn.functional.interpolate(map_BCHW, (4, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(found.patches[6:22], map_BCHW[0].flatten(1).T, atol=1e-4, rtol=0)


def test_one_weight_or_one_setting_changes_the_identity(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder, model = folders["patches of 32"]
    first = describe(EmbedConfig(encoder=f"open_clip:{folder}")).identity
    text = (folder / CONFIG).read_text()
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    (tmp_path / CONFIG).write_text(text)
    save_file(state, tmp_path / WEIGHTS)
    config = EmbedConfig(encoder=f"open_clip:{tmp_path}")
    assert describe(config).identity == first, "wherever it lies"
    (tmp_path / CONFIG).write_text(text.replace("0.5", "0.4"))
    other = describe(config).identity
    save_file({**state, "visual.ln_post.bias": state["visual.ln_post.bias"] + 1}, tmp_path / WEIGHTS)
    assert len({first, other, describe(config).identity}) == 3


def test_faults_name_the_encoder_and_the_mend(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder, _ = folders["resnet"]
    (tmp_path / "empty").mkdir()
    weights = str(folder / WEIGHTS)
    cases = [
        (EmbedConfig(encoder="open_clip:ViT-B-23"), "no such model"),
        (EmbedConfig(encoder="open_clip:ViT-B-32"), "a name alone has no weights"),
        (EmbedConfig(encoder="open_clip:ViT-B-32", weights=str(tmp_path / "no.safetensors")), "is not there"),
        (EmbedConfig(encoder="open_clip:ViT-B-32", weights=str(tmp_path / "empty")), "holds no"),
        (EmbedConfig(encoder="open_clip:ViT-B-32", weights=weights), "RuntimeError"),
        (EmbedConfig(encoder=f"open_clip:{tmp_path / 'empty'}"), "cannot be read"),
    ]
    for config, says in cases:
        with pytest.raises(ConfigError, match=f"^embed.encoder={config.encoder}: .*{says}.*Give a name with embed"):
            load(config)
    with pytest.raises(ConfigError, match=r"takes images of 64 pixels: leave embed\.image_size out"):
        load(EmbedConfig(encoder=f"open_clip:{folder}", image_size=128))


def test_no_pickle_is_opened(folders: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    folder, _ = folders["patches of 32"]
    (tmp_path / CONFIG).write_bytes((folder / CONFIG).read_bytes())
    torch.save({"x": Path}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"holds no open_clip_model\.safetensors"):
        load(EmbedConfig(encoder=f"open_clip:{tmp_path}"))
    with pytest.raises(ConfigError, match=r"weights_only|Unpickling"):
        load(EmbedConfig(encoder="open_clip:ViT-B-32", weights=str(tmp_path / "open_clip_pytorch_model.bin")))
