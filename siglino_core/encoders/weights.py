"""Weights as tensors: safetensors, or a .pth that is read without running anything of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def weights_in(path: str, *patterns: str) -> Path:
    """The file itself, or the first of a folder that a pattern names.

    Raises:
        FileNotFoundError: there is none.
    """
    if Path(path).is_file():
        return Path(path)
    if not Path(path).is_dir():
        raise FileNotFoundError(f"{path} is not there")
    for pattern in patterns:
        if files := sorted(Path(path).glob(pattern)):
            return files[0]
    raise FileNotFoundError(f"{path} holds no {' or '.join(patterns)}")


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """A state dict from safetensors, or from a .pth by torch's ``weights_only`` reader."""
    from timm.models import load_state_dict

    return load_state_dict(str(path), weights_only=True)


def classifier_apart(weights: "dict[str, torch.Tensor]", model: Any) -> "dict[str, torch.Tensor]":
    """Every weight, but for the classifier that the file may have and a timm model without classes has not."""
    named = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{n}." for n in ([named] if isinstance(named, str) else named))
    own = model.state_dict()
    return {k: v for k, v in weights.items() if k in own or not k.startswith(heads)}
