"""The text tower of an open_clip model, with the tokenizer that its configuration names.

open_clip's tokenizers cut a text at the model's context (77 tokens in CLIP) and clean it as the configuration says.
"""

from typing import Any

from torch import Tensor

from siglino_core.encoders.open_clip_model import config_of, folder_of, unusable, weights_of
from siglino_core.encoders.spec import Spec
from siglino_core.encoders.weights import read_weights
from siglino_core.teachers.text import TextTower

TOKENIZER = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "config.json")


def load_text(spec: Spec, device: str = "cpu") -> TextTower:
    """The tower of a folder or hub id, with the model's scale, and its bias where it is a SigLIP.

    Raises:
        ConfigError: no such model, a name without weights, or one that open_clip cannot build or read.
    """
    import open_clip

    config, weights = config_of(spec)["model_cfg"], weights_of(spec)
    folder = folder_of(spec, TOKENIZER)
    if "trust_remote_code" in (config["text_cfg"].get("tokenizer_kwargs") or {}):
        raise unusable(spec, "its tokenizer would run code of its own, which is not done here.")
    try:
        model = _model(config)
        model.load_state_dict(read_weights(weights), strict=True)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as e:  # open_clip, transformers, safetensors and torch each raise their own
        raise unusable(spec, f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    model.visual = None
    model.eval().requires_grad_(False).to(device)

    def embed(texts: list[str]) -> Tensor:
        return model.encode_text(tokenizer(texts).to(device))

    bias = None if model.logit_bias is None else float(model.logit_bias)
    return TextTower(dim=config["embed_dim"], embed=embed, scale=float(model.logit_scale.exp()), bias=bias)


def _model(config: dict[str, Any]) -> Any:
    """Both towers with random weights, as open_clip builds them; no tower fetches weights of its own."""
    from open_clip.model import CLIP, CustomTextCLIP

    towers = {
        "vision_cfg": {**config["vision_cfg"], "timm_model_pretrained": False},
        "text_cfg": {**config["text_cfg"], "hf_model_pretrained": False},
    }
    custom = config.get("custom_text", False) or "hf_model_name" in config["text_cfg"]
    rest = {key: value for key, value in config.items() if key != "custom_text"}
    return (CustomTextCLIP if custom else CLIP)(**{**rest, **towers})
