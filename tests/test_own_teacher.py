"""The documentation's teacher of one's own: some thirty lines that a run takes by name."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from siglino_core.networks import describe, load_teacher

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
SHAPES = [(2, 3), (4, 4), (2, 3)]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The network that the example is to load, with random weights."""
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True, depth=2).eval()
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: create(*args, **kwargs, depth=2))  # for speed
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("OWN_TEACHER", "vit_tiny_patch16_224")
    monkeypatch.setenv("OWN_WEIGHTS", str(tmp_path / "own.safetensors"))
    return net


def test_a_teacher_of_ones_own(own: torch.nn.Module) -> None:
    spec = "own_teacher:load"
    teacher = load_teacher(spec)
    assert (teacher.card.name, teacher.card.dim) == ("own", 192)
    assert describe(spec) == teacher.card
    patches = torch.rand(28, 768, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = teacher(patches, SHAPES)
    assert found.patches is not None
    assert not found.patches.requires_grad
    pixels = patches[6:22].reshape(4, 4, 16, 16, 3).permute(4, 0, 2, 1, 3).reshape(1, 3, 64, 64)
    wanted = own.forward_features(pixels)[0]  # type: ignore[operator]
    torch.testing.assert_close(found.summaries[1], wanted[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.patches[6:22], wanted[1:], atol=1e-5, rtol=0)


def test_it_is_some_thirty_lines() -> None:
    lines = (EXAMPLES / "own_teacher.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
