"""The image tower of any open_clip model: embeddings beside its text, and the map of patches of its transformers.

Its size is fixed. As a teacher it sees each image squeezed to that size, whatever its aspect; its grid of patches is
then resized back, bilinearly, to the student's. Of a coarser grid that would be a blur, so towers with
patches of more than 16 pixels, and those that are no transformers, speak of images alone. Patches go through the
tower's own last norm and projection, and so lie where its summaries do. No text tower is built.
"""

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import Flops, counted
from siglino_core.encoders.hub import fetched
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec
from siglino_core.encoders.weights import read_weights, weights_in
from siglino_core.errors import ConfigError
from siglino_core.hashing import fingerprint

if TYPE_CHECKING:
    import torch

    from siglino_core.encoders.encoder import Encoder

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
FINEST = 16  # side of a patch, in pixels, of the student's grid
RECIPE = 1  # goes up when the same weights give other features


class _Shape(NamedTuple):
    """What the tower is without its weights."""

    size: int
    dim: int
    dense: bool
    flops: float
    parameters: int


def describe(spec: Spec) -> Card:
    """The card; its identity is that of the weights' file and the configuration. No network is built with weights."""
    config = config_of(spec)
    return _card(spec, config, _identity(spec, config))


def outline(spec: Spec) -> Card:
    """The card without weights: of a network that has nothing but shapes."""
    return _card(spec, config_of(spec, weights=False), "")


def colours(spec: Spec) -> dict[str, list[float]]:
    """Mean and deviation of the channels, 0 to 1, as :func:`load` applies them."""
    pixels = config_of(spec, weights=False)["preprocess_cfg"]
    return {"mean": list(pixels["mean"]), "std": list(pixels["std"])}


def load(spec: Spec, device: str, precision: str) -> "Encoder":
    """Weights from the source or from ``embed.weights``: safetensors, or a .pth read with weights_only."""
    from siglino_core.encoders.encoder import Encoder

    config = config_of(spec)
    card = _card(spec, config, _identity(spec, config))
    tower = _tower(config["model_cfg"])
    try:
        weights = read_weights(weights_of(spec))
        image = {k.removeprefix("visual."): v for k, v in weights.items() if k.startswith("visual.")}
        tower.load_state_dict(image or weights, strict=True)
    except Exception as e:  # safetensors, torch and the file system each raise their own
        raise unusable(spec, f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    pixels = config["preprocess_cfg"]
    return Encoder(
        tower.eval(),
        card,
        mean=tuple(pixels["mean"]),
        std=tuple(pixels["std"]),
        device=device,
        precision=precision,
        maps=(lambda x: _maps(tower, x)) if card.patches else None,
    )


def _card(spec: Spec, config: dict[str, Any], identity: str) -> Card:
    shape = _shape(json.dumps(config["model_cfg"], sort_keys=True), spec.asked)
    if spec.image_size not in (0, shape.size):
        raise ConfigError(f"{spec.asked} takes images of {shape.size} pixels: leave embed.image_size out")
    squash = config["preprocess_cfg"].get("resize_mode") == "squash"
    return Card(
        name=re.sub(r"\W", "_", config["name"]).lower(),
        dim=shape.dim,
        identity=identity,
        patches=shape.dense,
        native=False,
        preprocess=Preprocess(size=shape.size, fit="squash" if squash else "crop"),
        flops=Flops(linear=shape.flops * (FINEST / shape.size) ** 2),
        parameters=shape.parameters,
    )


def config_of(spec: Spec, *, weights: bool = True) -> dict[str, Any]:
    """``model_cfg`` and ``preprocess_cfg``, as open_clip_config.json has them, and a ``name``."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
    from open_clip.transform import PreprocessCfg

    clip = PreprocessCfg()
    pixels: dict[str, Any] = {"mean": clip.mean, "std": clip.std, "resize_mode": clip.resize_mode}
    if spec.source in open_clip.list_models():
        model = open_clip.get_model_config(spec.source)
        for tag in list_pretrained_tags_by_model(spec.source)[:1]:
            pixels |= {k: v for k, v in get_pretrained_cfg(spec.source, tag).items() if k in pixels and v}
        return {"name": spec.source, "model_cfg": model, "preprocess_cfg": pixels}
    if not Path(spec.source).is_dir() and spec.source.count("/") != 1:
        raise unusable(spec, "no such model; open_clip.list_models() has their names.")
    folder = folder_of(spec, (CONFIG, WEIGHTS) if weights else (CONFIG,))
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        pixels |= {k: v for k, v in (config.get("preprocess_cfg") or {}).items() if k in pixels and v}
        return {"name": _name(spec.source), "model_cfg": config["model_cfg"], "preprocess_cfg": pixels}
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise unusable(spec, f"{CONFIG} cannot be read ({e!r}).") from e


def _name(source: str) -> str:
    """A repository's own; folders are alike, so that no path decides anything."""
    return "open_clip" if Path(source).is_dir() else f"clip_{source.partition('/')[2]}"


def folder_of(spec: Spec, files: tuple[str, ...]) -> Path:
    """The folder of a source that is no name; of a hub's repository these files are fetched."""
    return fetched(spec.source, files, lambda why: unusable(spec, why))


def weights_of(spec: Spec) -> Path:
    """The file of the weights, of both towers or of the image tower alone.

    Raises:
        ConfigError: it is not there, or a name was given without one.
    """
    import open_clip

    if not spec.weights and spec.source in open_clip.list_models():
        raise unusable(spec, "a name alone has no weights.")
    folder = spec.weights or str(folder_of(spec, (CONFIG, WEIGHTS)))
    try:
        path = weights_in(folder, WEIGHTS, "*.safetensors")
    except FileNotFoundError as e:
        raise unusable(spec, f"{e}.") from e
    if not path.is_file():
        raise unusable(spec, f"{path} is not there.")
    return path


def _identity(spec: Spec, config: dict[str, Any]) -> str:
    """A hash of the weights' file and of what is done with it, wherever they lie."""
    with_them = {k: v for k, v in config.items() if k != "name"}
    path = weights_of(spec)
    with path.open("rb") as file:
        return fingerprint([RECIPE, with_them, hashlib.file_digest(file, "sha256").hexdigest()])


@lru_cache(maxsize=32)
def _shape(model_cfg: str, asked: str) -> _Shape:
    import torch

    try:
        with torch.device("meta"):
            tower = _tower(json.loads(model_cfg)).eval().requires_grad_(False)
            size = _side(tower.image_size)
            out = tower(torch.zeros(1, 3, size, size))
            dense = _is_dense(tower, size, out.shape[-1])
            flops = counted(tower, size)
    except Exception as e:  # open_clip and timm raise whatever comes
        raise ConfigError(f"{asked}: open_clip cannot build it ({type(e).__name__}: {str(e)[:300]})") from e
    return _Shape(size, out.shape[-1], dense, flops, sum(p.numel() for p in tower.parameters()))


def _side(image_size: int | tuple[int, int]) -> int:
    sides = {image_size} if isinstance(image_size, int) else set(image_size)
    if len(sides) > 1:
        raise ValueError(f"its images are no squares: {image_size}")
    return sides.pop()


def _tower(model_cfg: dict[str, Any]) -> Any:
    """The image tower with random weights; nothing is fetched."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    vision = {**model_cfg["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
    return _build_vision_tower(model_cfg["embed_dim"], CLIPVisionCfg(**vision), model_cfg.get("quick_gelu", False))


def _is_dense(tower: Any, size: int, dim: int) -> bool:
    """Whether it has a grid of patches at least as fine as the student's, as wide as its summaries."""
    import torch

    trunk = getattr(tower, "trunk", None)
    patch = tower.patch_size if hasattr(tower, "class_embedding") else getattr(_embedding(trunk), "patch_size", None)
    if patch is None or max(patch) > FINEST or getattr(tower, "attn_pool", None) is not None:
        return False
    if trunk is not None and not hasattr(trunk, "dynamic_img_size"):
        return False
    try:
        summary, grid = _maps(tower, torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError, AttributeError):
        return False
    return summary.shape[-1] == grid.shape[1] == dim


def _embedding(trunk: Any) -> Any:
    return getattr(trunk, "patch_embed", None)


def _maps(tower: Any, x_B3HW: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Summaries [B, C] and the tower's own grid [B, C, h, w]."""
    side = x_B3HW.shape[-1]
    if (trunk := getattr(tower, "trunk", None)) is not None:
        tokens = trunk.forward_features(x_B3HW)
        grid_BNC = tower.head(tokens[:, trunk.num_prefix_tokens :])
        side //= trunk.patch_embed.patch_size[0]
        return tower.head(trunk.forward_head(tokens)), grid_BNC.mT.unflatten(2, (side, side))
    x_BTC = tower.transformer(tower._embeds(x_B3HW))
    pooled_BC, _ = tower._pool(x_BTC)
    grid_BNC = tower.ln_post(x_BTC[:, 1:])
    if tower.proj is not None:
        pooled_BC, grid_BNC = pooled_BC @ tower.proj, grid_BNC @ tower.proj
    side //= tower.patch_size[0]
    return pooled_BC, grid_BNC.mT.unflatten(2, (side, side))


def unusable(spec: Spec, why: str) -> ConfigError:
    """The error that says what can be given instead."""
    return ConfigError(
        f"{spec.asked}: {why} Give {'a name with embed.weights=FILE_OR_FOLDER, or ' if spec.embeds else ''}"
        f"open_clip:FOLDER (or hub id) with {CONFIG} and {WEIGHTS}."
    )
