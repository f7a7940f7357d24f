"""Published checkpoints by their shapes: a plan is priced without fetching gigabytes of weights.

Sources: the DINOv3 report (Simeoni et al. 2025, arXiv:2508.10104, table of models) and the SigLIP2 report (Tschannen et
al. 2025, arXiv:2502.14786); the numbers are those of the checkpoints' own config.json.
"""

from typing import Any


def _vit(width: int, layers: int, heads: int, hidden: int, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "intermediate_size": hidden, "patch_size": 16, **more}


def _dinov3(*sizes: int, gated: bool = False) -> dict[str, Any]:
    return _vit(*sizes, model_type="dinov3_vit", num_register_tokens=4, use_gated_mlp=gated)


def _siglip2(*sizes: int) -> dict[str, Any]:
    return _vit(*sizes, model_type="siglip2_vision_model", num_patches=256)


DINOV3_L, DINOV3_7B = _dinov3(1024, 24, 16, 4096), _dinov3(4096, 40, 32, 8192, gated=True)
PUBLISHED = {  # hub id to what its config.json says of the shape
    "facebook/dinov3-vits16-pretrain-lvd1689m": _dinov3(384, 12, 6, 1536),
    "facebook/dinov3-vits16plus-pretrain-lvd1689m": _dinov3(384, 12, 6, 1536, gated=True),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": _dinov3(768, 12, 12, 3072),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": DINOV3_L,
    "facebook/dinov3-vitl16-pretrain-sat493m": DINOV3_L,
    "facebook/dinov3-vith16plus-pretrain-lvd1689m": _dinov3(1280, 32, 20, 5120, gated=True),
    "facebook/dinov3-vit7b16-pretrain-lvd1689m": DINOV3_7B,
    "facebook/dinov3-vit7b16-pretrain-sat493m": DINOV3_7B,
    "google/siglip2-base-patch16-naflex": _siglip2(768, 12, 12, 3072),
    "google/siglip2-so400m-patch16-naflex": _siglip2(1152, 27, 16, 4304),
}
