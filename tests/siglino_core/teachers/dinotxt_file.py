"""A small file of dino.txt, as the public one is laid out."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from siglino_core.teachers.dinotxt_model import TextModel, VisionHead
from tests.siglino_core.models.tiny import filled

NAME = "dinov3_vitl16_dinotxt_vision_head_and_text_encoder-00000000.pth"


def state(width: int = 64) -> dict[str, Tensor]:
    """Both sides and the scale, under the release's names, and a backbone's tensor that is left alone."""
    image = filled(VisionHead(width, 2, hidden=32))
    words = filled(TextModel(width=64, blocks=1, hidden=32, dim=2 * width), seed=1)
    return {
        **{f"visual_model.head.{k}": v for k, v in image.state_dict().items()},
        **{f"text_model.{k}": v for k, v in words.state_dict().items()},
        "visual_model.backbone.cls_token": torch.zeros(1, 1, width),
        "logit_scale": torch.tensor([2.0]),
    }


def write(folder: Path, width: int = 64, name: str = NAME) -> str:
    """The spec of the file that is written."""
    folder.mkdir(exist_ok=True)
    path, tensors = folder / name, state(width)
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return f"dinotxt:{folder}"
