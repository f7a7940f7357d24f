"""Small checkpoints of every kind of network, and pictures of several sizes."""

import json
from pathlib import Path

import open_clip
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from siglino_core.config import ModelConfig
from siglino_core.encoders.open_clip_model import CONFIG, WEIGHTS
from siglino_core.evaluation.network.load import load_network
from siglino_core.evaluation.network.viewed import Viewed
from tests import pictures, siglip2
from tests.siglino_core.models.tiny import TINY, exported, filled, student

BOUNDS = {"min_pixels": 32 * 32, "max_pixels": 96 * 96}
SIZES = [(48, 32), (200, 90), (33, 120), (48, 32), (64, 64)]


def images(sizes: list[tuple[int, int]] | None = None) -> list[Image.Image]:
    return [pictures.pixels(seed, size) for seed, size in enumerate(sizes or SIZES)]


def dinov3(folder: Path, registers: int = 4, width: int = 64) -> str:
    small = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = DINOv3ViTModel(DINOv3ViTConfig(**small, num_register_tokens=registers))
    filled(model).save_pretrained(folder)  # type: ignore[operator]
    return f"dinov3:{folder}"


def siglip(folder: Path, width: int = 32) -> str:
    siglip2.write(folder, width)
    return f"siglip2:{folder}"


def timm_folder(folder: Path, architecture: str) -> str:
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=0)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": architecture}))
    return f"timm:{folder}"


def open_clip_folder(folder: Path) -> str:
    vision = {"image_size": 64, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**config).eval()
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.4] * 3}}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    return f"open_clip:{folder}"


def siglino(folder: Path) -> str:
    return f"siglino:{exported(folder, student(TINY, seed=2))}"


def loaded(spec: str, precision: str = "fp32", **more: object) -> Viewed:
    config = ModelConfig(network=spec, **more)  # type: ignore[arg-type]
    return load_network(config, **BOUNDS, device="cpu", precision=precision)
