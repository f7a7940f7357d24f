"""A student small enough for any test, with weights in every matrix (training begins with zeros in some)."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from siglino_core.models import HeadConfig, SigLino, SigLinoConfig
from siglino_core.models.hf_config import SigLinoHFConfig

TEACHERS = (HeadConfig(name="siglip2", dim=32, pooled=True), HeadConfig(name="dinov3", dim=24))
TINY = SigLinoConfig(width=32, layers=2, heads=2, head_dim=16, experts=4, top_k=2, expert_hidden=16, teachers=TEACHERS)
DENSE = SigLinoConfig(width=32, layers=2, heads=2, head_dim=16, hidden=48, norm_weights=False, teachers=TEACHERS)


def filled(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random values in all parameters, large enough that every path shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (0.5 if p.ndim == 1 else p.shape[-1] ** -0.5))
    return model


def student(config: SigLinoConfig = TINY, seed: int = 0) -> SigLino:
    model = filled(SigLino(config), seed).eval()
    assert isinstance(model, SigLino)
    return model


def patches(config: SigLinoConfig, shapes: list[tuple[int, int]], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(h * w, config.patch_values, generator=generator).clamp(-1, 1) for h, w in shapes]


def exported(folder: Path, model: SigLino) -> str:
    """The folder, with the model's weights and config in it."""
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    SigLinoHFConfig.of(model.spec, architectures=["SigLinoModel"]).to_json_file(str(folder / "config.json"))
    return str(folder)
