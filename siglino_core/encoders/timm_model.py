"""Any timm model: pooled features with the model's own preprocessing, and the map of patches of its transformers.

As a teacher, a vision transformer with patches of 16 pixels sees images on the student's own grid, its positions
resized by timm; any other model sees each image squeezed to its own size, and speaks of images alone.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import Flops, fitted
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec
from siglino_core.encoders.weights import classifier_apart, read_weights, weights_in
from siglino_core.errors import ConfigError
from siglino_core.hashing import files_hash, fingerprint

if TYPE_CHECKING:
    import torch

    from siglino_core.encoders.encoder import Encoder

PATCH = 16  # of the student's grid
CONFIG = "config.json"


class _Shape(NamedTuple):
    """What the model is without its weights."""

    size: int
    dim: int
    dense: bool  # it gives patches on any grid of 16 pixels
    flops: Flops
    parameters: int
    data: dict[str, Any]


def describe(spec: Spec) -> Card:
    """The card of ``timm:<name or folder>``; which weights timm would take is known when it has taken them."""
    return _card(spec, _identity(spec, _model(spec)))


def outline(spec: Spec) -> Card:
    """The card without weights: of a network that has nothing but shapes."""
    return _card(spec, "")


def load(spec: Spec, device: str, precision: str) -> "Encoder":
    """Weights from ``embed.weights`` or the folder (safetensors, or a .pth read with weights_only), or timm's own."""
    from siglino_core.encoders.encoder import Encoder

    model = _model(spec)
    card, data = _card(spec, _identity(spec, model)), _shape(*_named(spec), spec.image_size, spec.asked).data
    maps = (lambda x: _maps(model, x)) if card.patches else None
    return Encoder(model, card, mean=data["mean"], std=data["std"], device=device, precision=precision, maps=maps)


def colours(spec: Spec) -> dict[str, list[float]]:
    """Mean and deviation of the channels, 0 to 1, as :func:`load` applies them."""
    data = _shape(*_named(spec), spec.image_size, spec.asked).data
    return {"mean": list(data["mean"]), "std": list(data["std"])}


def _card(spec: Spec, identity: str) -> Card:
    name, options = _named(spec)
    shape = _shape(name, options, spec.image_size, spec.asked)
    return Card(
        name=re.sub(r"\W", "_", name),
        dim=shape.dim,
        identity=identity,
        patches=shape.dense,
        native=shape.dense,
        preprocess=Preprocess(size=shape.size, crop_share=shape.data["crop_pct"]),
        flops=shape.flops,
        parameters=shape.parameters,
    )


def _identity(spec: Spec, model: "torch.nn.Module") -> str:
    """The weights', and of a folder its configuration's, which says how they are used."""
    from siglino_core.encoders.encoder import weights_hash

    weights = weights_hash(model)
    if not Path(spec.source).is_dir():
        return weights
    return fingerprint([weights, files_hash([Path(spec.source) / CONFIG])])


def _named(spec: Spec) -> tuple[str, str]:
    """The architecture's name, and its options as JSON: those of a folder are in its config.json, as timm writes it."""
    if not Path(spec.source).is_dir():
        return spec.source, "{}"
    try:
        config = json.loads((Path(spec.source) / CONFIG).read_text(encoding="utf-8"))
        options = dict(config.get("model_args") or {})
        if config.get("pretrained_cfg"):
            options["pretrained_cfg"] = config["pretrained_cfg"]
        return config["architecture"], json.dumps(options, sort_keys=True)
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise ConfigError(
            f"{spec.asked}: config.json cannot be read ({e!r}); timm writes one with `architecture`"
        ) from e


def _model(spec: Spec) -> "torch.nn.Module":
    name, options = _named(spec)
    path = spec.weights or (spec.source if Path(spec.source).is_dir() else "")
    try:
        model = _created(name, options, pretrained=not path)
        if path:
            weights = read_weights(weights_in(path, "model.safetensors", "*.safetensors"))
            model.load_state_dict(classifier_apart(weights, model), strict=True)
    except Exception as e:  # timm raises RuntimeError, OSError, and the hub's own
        raise _unusable(spec.asked, e) from e
    return model.eval()


def _created(name: str, options: str, *, pretrained: bool) -> "torch.nn.Module":
    import timm
    import torch

    settings = json.loads(options)
    with torch.device("meta"):
        probe = timm.create_model(name, pretrained=False, **settings)
    if hasattr(probe, "dynamic_img_size"):  # at its own size this changes nothing
        settings["dynamic_img_size"] = True
    return timm.create_model(name, pretrained=pretrained, **{**settings, "num_classes": 0})


@lru_cache(maxsize=32)
def _shape(name: str, options: str, image_size: int, asked: str) -> _Shape:
    import torch
    from timm.data.config import resolve_model_data_config

    try:
        with torch.device("meta"):
            model = _created(name, options, pretrained=False).eval().requires_grad_(False)
            data: dict[str, Any] = resolve_model_data_config(model)
            size = image_size or data["input_size"][-1]
            out = model(torch.zeros(1, 3, size, size))
            dense = _is_dense(model, size, out.shape[-1])
            flops = fitted(model, (size, 2 * size, 3 * size) if dense else (size,))
    except Exception as e:  # timm raises RuntimeError, AssertionError, and others
        raise _unusable(asked, e) from e
    parameters = sum(p.numel() for p in model.parameters())
    return _Shape(size, out.shape[-1], dense, flops, parameters, data)


def _is_dense(model: Any, size: int, dim: int) -> bool:
    """Whether it is a transformer with patches of 16 pixels, whose tokens are as wide as its features."""
    import torch

    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if not hasattr(model, "dynamic_img_size") or tuple(patch or ()) != (PATCH, PATCH) or size % PATCH:
        return False
    tokens = model.forward_features(torch.zeros(1, 3, size, size)).shape
    return tokens[1:] == (model.num_prefix_tokens + (size // PATCH) ** 2, dim)


def _maps(model: Any, x_B3HW: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    tokens = model.forward_features(x_B3HW)
    h, w = (side // PATCH for side in x_B3HW.shape[2:])
    return model.forward_head(tokens), tokens[:, model.num_prefix_tokens :].mT.unflatten(2, (h, w))


def _unusable(asked: str, e: Exception) -> ConfigError:
    setting, _, source = asked.partition("=timm:")
    weights = "embed.weights=FILE or " if setting.startswith("embed.") else ""
    why = f"{type(e).__name__}: {' '.join(str(e).split())[:300]}"
    gone = "" if Path(source).is_dir() else f" (no folder {source} is here)"
    return ConfigError(f"{asked}: {why}. Check the name with timm.list_models(), or give {weights}timm:FOLDER{gone}.")
