"""DINOv3 through transformers: the encoder that curates (ViT-B/16, 768 wide, in the paper)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siglino_core.config import EmbedConfig, Pooling
from siglino_core.errors import ConfigError
from siglino_core.teachers.card import Card, files_hash
from siglino_core.teachers.preprocess import Preprocess

if TYPE_CHECKING:
    from siglino_core.teachers.base import Encoder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FILES = ("config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")


def describe(config: EmbedConfig) -> Card:
    """The card of ``dinov3:<hub id or local folder>``; its identity is that of the files, configuration included."""
    return _card(config, _folder(config))


def load(config: EmbedConfig, device: str, precision: str) -> "Encoder":
    """CLS after the final norm, or the mean of the patches. Safetensors alone, no code of the checkpoint's."""
    from transformers import DINOv3ViTModel
    from transformers.utils.logging import disable_progress_bar

    from siglino_core.teachers.base import Encoder

    disable_progress_bar()  # it would draw into the run's own display
    folder = _folder(config)
    card = _card(config, folder)
    try:
        model = DINOv3ViTModel.from_pretrained(folder, use_safetensors=True)
    except Exception as e:  # transformers, safetensors and torch each raise their own
        raise _unusable(config, f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    prefix = 1 + model.config.num_register_tokens

    def features(pixels_B3HW):  # type: ignore[no-untyped-def]
        states = model(pixel_values=pixels_B3HW).last_hidden_state
        return states[:, 0] if config.pooling is Pooling.CLS else states[:, prefix:].mean(1)

    return Encoder(
        model, card, mean=IMAGENET_MEAN, std=IMAGENET_STD, device=device, precision=precision, features=features
    )


def _card(config: EmbedConfig, folder: Path) -> Card:
    found = _config(config, folder)
    size, patch = config.image_size or 224, found.get("patch_size", 16)
    if size % patch:
        raise ConfigError(f"embed.image_size={size} is not a multiple of the encoder's patch, {patch}")
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise _unusable(config, "model.safetensors is missing (other formats are not read).")
    return Card(
        identity=files_hash([folder / "config.json", *weights]),
        preprocess=Preprocess(size=size),
        dim=found["hidden_size"],
    )


def _folder(config: EmbedConfig) -> Path:
    """The checkpoint's local folder; one of the hub is fetched first, or found in the hub's cache."""
    name = config.encoder.partition(":")[2]
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as e:  # no such id, no access, no network: the hub's own errors, httpx's, OSError
        raise _unusable(config, str(e).splitlines()[0] if str(e) else type(e).__name__) from e


def _config(config: EmbedConfig, folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise _unusable(config, f"config.json cannot be read ({e}).") from e
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind != "dinov3_vit":
        raise ConfigError(f"embed.encoder={config.encoder}: this is a {kind}, not a dinov3_vit")
    return found


def _unusable(config: EmbedConfig, why: str) -> ConfigError:
    return ConfigError(
        f"embed.encoder={config.encoder}: {why} "
        "Give a local folder with config.json and model.safetensors, or log in to the hub."
    )
