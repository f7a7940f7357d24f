"""open_clip's texts: what the library's own model says of them, with CLIP's tokenizer and with one in the folder."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from siglino_core.encoders.open_clip_model import CONFIG, WEIGHTS
from siglino_core.errors import ConfigError
from siglino_core.teachers import text_features, text_tower
from tests import siglip2

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
SIGLIP = {"hf_tokenizer_name": "somewhere/else", "tokenizer_kwargs": {"clean": "canonicalize"}, "pool_type": "last"}
TEXTS = ["A photo of a dog, please!", "", "a " * 5000, "\x00\x1b[31m\n", "\ud800é"]


def written(folder: Path, config: dict[str, Any], model: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)
    return f"open_clip:{folder}"


def test_clip(tmp_path: Path) -> None:
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**config).eval()
    tower = text_tower(written(tmp_path / "clip", config, model))
    assert (tower.dim, tower.scale, tower.bias) == (24, pytest.approx(1 / 0.07), None)
    found = tower.features(TEXTS)
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'clip'}")([*TEXTS[:4], "?é"])
    with torch.no_grad():
        wanted = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_siglip_with_its_tokenizer_in_the_folder(tmp_path: Path) -> None:
    siglip2.write(tmp_path / "of_transformers")
    (tmp_path / "siglip").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "siglip" / name).write_bytes((tmp_path / "of_transformers" / name).read_bytes())
    towers = {"vision_cfg": VISION, "text_cfg": {**TEXT, **SIGLIP, "vocab_size": 400, "no_causal_mask": True}}
    config = {"embed_dim": 24, "init_logit_bias": -10.0, "custom_text": True, **towers}
    model = open_clip.model.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"}).eval()
    spec = written(tmp_path / "siglip", config, model)
    tower = text_tower(spec)
    assert (tower.dim, tower.bias) == (24, -10.0)
    same = tower.features(["A photo, of a dog!", "a photo of a dog"])
    torch.testing.assert_close(same[0], same[1], atol=1e-6, rtol=0)  # its cleaning is the configuration's
    (tmp_path / "siglip/tokenizer.json").unlink()
    (tmp_path / "siglip/tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match=r"^teacher=open_clip:\S+: .*Give open_clip:FOLDER"):
        text_features(spec, ["a dog"])
    config["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    with pytest.raises(ConfigError, match="its tokenizer would run code of its own"):
        text_features(written(tmp_path / "siglip", config, model), ["a dog"])


def test_what_has_no_text_weights(tmp_path: Path) -> None:
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}
    model = open_clip.model.CLIP(**config)
    spec = written(tmp_path, config, model)
    visual = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith("visual.")}
    save_file(visual, tmp_path / WEIGHTS)
    with pytest.raises(ConfigError, match=r"RuntimeError: .*Missing key"):
        text_features(spec, ["a dog"])
    with pytest.raises(ConfigError, match="a name alone has no weights"):
        text_features("open_clip:ViT-B-32", ["a dog"])
