"""Teachers from what a config says of them: checkpoints as transformers writes them, and one of the user's own."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2Config, Siglip2Model

from siglino_core.config import EmbedConfig
from siglino_core.encoders import Card, Spec
from siglino_core.errors import ConfigError
from siglino_core.networks import describe, load_teacher, outline

SHAPES = [(2, 3), (4, 4)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    DINOv3ViTModel(DINOv3ViTConfig(**small, num_register_tokens=4)).save_pretrained(root / "dinov3")
    both = Siglip2Model(Siglip2Config(vision_config={**small, "num_patches": 16}, text_config=small))
    both.save_pretrained(root / "siglip2")
    both.vision_model.save_pretrained(root / "vision")
    return {p.name: p for p in root.iterdir()}


@pytest.mark.parametrize(("kind", "folder"), [("dinov3", "dinov3"), ("siglip2", "siglip2"), ("siglip2", "vision")])
def test_a_checkpoint(folders: dict[str, Path], kind: str, folder: str) -> None:
    spec = f"{kind}:{folders[folder]}"
    card, teacher = describe(spec), load_teacher(spec)
    assert teacher.card == card
    assert (card.name, card.dim, card.pooled, card.patches) == (kind, 32, kind == "siglip2", True)
    assert card.flops.linear > card.flops.quadratic > 0
    found = teacher(torch.zeros(22, 768), SHAPES)
    assert found.patches is not None
    assert found.summaries.shape == (2, 32)
    assert found.patches.shape == (22, 32)
    assert (None if found.registers is None else found.registers.shape[1]) == (card.registers or None)


def test_both_towers_and_the_vision_tower_alone_are_one_teacher(folders: dict[str, Path]) -> None:
    patches = torch.rand(22, 768, generator=torch.Generator().manual_seed(1))
    ours, theirs = (load_teacher(f"siglip2:{folders[name]}")(patches, SHAPES) for name in ("siglip2", "vision"))
    assert torch.equal(ours.summaries, theirs.summaries)


def test_weights_are_the_identity(folders: dict[str, Path], tmp_path: Path) -> None:
    model = DINOv3ViTModel.from_pretrained(folders["dinov3"])
    model.norm.bias.data += 1
    model.save_pretrained(tmp_path)
    assert describe(f"dinov3:{tmp_path}").identity != describe(f"dinov3:{folders['dinov3']}").identity


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("clip", "targets.teachers=clip: not one of dinov3:"),
        ("no.such.module:load", "No module named 'no'.* It is module:attribute"),
        ("dinvo3:folder", r"No module named 'dinvo3' \(did you mean dinov3\?\)"),
        ("math:tau2", "has no attribute 'tau2'"),
        (
            "tests.siglino_core.networks.test_registry:takes_one",
            "too many positional arguments.* taking .device, dtype.",
        ),
        ("tests.siglino_core.networks.test_registry:no_network", "what it returned has no `card`"),
        ("tests.siglino_core.networks.test_registry:card_alone", "takes no packs of patches"),
    ],
)
def test_what_is_no_teacher(spec: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_teacher(spec)


@pytest.mark.parametrize("encoder", ["lite", "lite_text"])
def test_a_teacher_embeds_images_that_are_whole_patches(encoder: str) -> None:
    assert outline(Spec.of(EmbedConfig(encoder=encoder, image_size=96))).pixels.size == 96
    for asked in (outline, describe):
        with pytest.raises(ConfigError, match=rf"embed.encoder={encoder}: embed.image_size=100 is no multiple of 16"):
            asked(Spec.of(EmbedConfig(encoder=encoder, image_size=100)))


def test_another_model(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="this is a dinov3_vit, not a siglip2"):
        describe(f"siglip2:{folders['dinov3']}")


def no_network(device: str, dtype: torch.dtype) -> str:
    return f"{device} {dtype}"


def takes_one(device: str) -> str:
    return device


def card_alone(device: str, dtype: torch.dtype) -> SimpleNamespace:
    return SimpleNamespace(card=Card(name="alone", dim=3, identity=""))
