"""Any timm model as an encoder: pooled features, with the model's own preprocessing."""

from typing import TYPE_CHECKING, Any

from siglino_core.config import EmbedConfig
from siglino_core.encoders.card import Card
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from siglino_core.encoders.encoder import Encoder


def describe(config: EmbedConfig) -> Card:
    """The card of ``timm:<name>``; which weights timm would take is known when it has taken them."""
    model = _model(config)
    return _card(config, model, _data(model))


def load(config: EmbedConfig, device: str, precision: str) -> "Encoder":
    """Weights from ``embed.weights`` (safetensors, or a .pth read with weights_only) or timm's own."""
    from siglino_core.encoders.encoder import Encoder

    model = _model(config)
    data = _data(model)
    card = _card(config, model, data)
    return Encoder(model, card, mean=data["mean"], std=data["std"], device=device, precision=precision)


def _card(config: EmbedConfig, model: "torch.nn.Module", data: dict[str, Any]) -> Card:
    from siglino_core.encoders.encoder import weights_hash

    size = config.image_size or data["input_size"][-1]
    preprocess = Preprocess(size=size, crop_share=data["crop_pct"])
    return Card(identity=weights_hash(model), preprocess=preprocess, dim=_width(model, size))


def _data(model: "torch.nn.Module") -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    return resolve_model_data_config(model)


def _model(config: EmbedConfig) -> "torch.nn.Module":
    import timm

    name = config.encoder.partition(":")[2]
    try:
        model = timm.create_model(name, pretrained=not config.weights, num_classes=0)
        if config.weights:
            _load_weights(model, config.weights)
    except Exception as e:  # timm raises RuntimeError, OSError, and the hub's own
        raise ConfigError(
            f"embed.encoder=timm:{name}: {type(e).__name__}: {' '.join(str(e).split())[:300]}. "
            "Check the name with timm.list_models(), or give embed.weights=FILE."
        ) from e
    return model


def _load_weights(model: "torch.nn.Module", path: str) -> None:
    """Every weight from the file, but for the classifier that the file may have and an encoder has not."""
    from timm.models import load_state_dict

    named = model.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr]
    heads = tuple(f"{n}." for n in ([named] if isinstance(named, str) else named))
    own = model.state_dict()
    weights = {k: v for k, v in load_state_dict(path).items() if k in own or not k.startswith(heads)}
    model.load_state_dict(weights, strict=True)


def _width(model: "torch.nn.Module", size: int) -> int:
    """How wide the features are: asked of the network, since some have a layer behind ``num_features``."""
    import torch

    with torch.inference_mode():
        return model.eval()(torch.zeros(1, 3, size, size)).shape[-1]
