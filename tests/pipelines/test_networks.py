"""Any network through the stages: an open_clip model embeds a pool; open_clip and timm models teach."""

import json
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from pipelines import embed, source, targets
from siglino_core.config import Config, Stored, build
from siglino_core.store import Run
from tests.pipelines.curated import KEPT, config, opened
from tests.pools import parquet_file, pictures

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
VISION = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    shape = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}
    torch.manual_seed(0)
    state = open_clip.model.CLIP(**shape).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": shape}))
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, options = tmp_path_factory.mktemp("vit"), {"depth": 2, "embed_dim": 48}
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **options)
    save_file(net.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", "model_args": options}))
    return folder


def test_a_pool_is_embedded_by_an_open_clip_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = open_clip.create_model("ViT-S-32-alt", load_weights=False).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "clip.safetensors")
    parquet_file(tmp_path / "pool.parquet", {"image": pictures(6)})
    made = build(
        Config,
        {
            "run": str(tmp_path / "run"),
            "source": {"uri": str(tmp_path / "pool.parquet")},
            "embed": {"encoder": "open_clip:ViT-S-32-alt", "weights": str(tmp_path / "clip.safetensors")},
            "runtime": {"runner": "local", "device": "cpu"},
        },
    )
    source.run(made, Run(made.run))
    manifest = embed.run(made, Run(made.run)).manifest
    assert (manifest.rows, manifest.facts["dim"]) == (6, 256)


def test_open_clip_and_timm_teach(run: Run, clip: Path, vit: Path) -> None:
    cfg = config([f"open_clip:{clip}", f"timm:{vit}"], keep=Stored.INT8)
    manifest = targets.run(cfg, run).manifest
    cards = {name: facts["card"] for name, facts in manifest.facts["teachers"].items()}
    assert {name: (card["dim"], card["patches"]) for name, card in cards.items()} == {
        "open_clip": (32, True),
        "vit_tiny_patch16_224": (48, True),
    }
    assert manifest.rows == KEPT
    found = opened(run, cfg).read([0, 5])
    for name, card in cards.items():
        patches = found[name].patches
        assert patches is not None
        assert patches.shape[1] == card["dim"]
        assert patches.std() > 0
