"""The documentation's encoder and teacher of one's own: some thirty lines each, that a stage takes by name."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from pipelines import embed, source, targets
from siglino_core.config import Config, Stored, build
from siglino_core.encoders import Spec
from siglino_core.networks import describe, load_encoder, load_teacher
from siglino_core.store import Run
from siglino_core.store.vectors import from_column
from tests.pipelines import curated
from tests.pools import parquet_file, pictures
from tests.stages import table

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
SHAPES = [(2, 3), (4, 4), (2, 3)]


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    yield
    for name in ("own_encoder", "own_teacher"):
        sys.modules.pop(name, None)


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The network that the example of a teacher is to load, with random weights."""
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True, depth=2).eval()
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    create = timm.create_model

    def shallow(name: str, **settings: Any) -> torch.nn.Module:
        return create(name, **settings, **({"depth": 2} if name.startswith("vit") else {}))

    monkeypatch.setattr(timm, "create_model", shallow)  # for speed
    monkeypatch.setenv("OWN_TEACHER", "vit_tiny_patch16_224")
    monkeypatch.setenv("OWN_WEIGHTS", str(tmp_path / "own.safetensors"))
    return net


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The network that the example of an encoder is to load, with random weights."""
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=0).eval()
    save_file(net.state_dict(), tmp_path / "own.safetensors")
    monkeypatch.setenv("OWN_ENCODER", "resnet10t")
    monkeypatch.setenv("OWN_WEIGHTS", str(tmp_path / "own.safetensors"))
    return net


def test_a_teacher_of_ones_own(teacher: torch.nn.Module) -> None:
    spec = "own_teacher:load"
    own = load_teacher(spec)
    assert (own.card.name, own.card.dim) == ("own", 192)
    assert describe(spec) == own.card
    patches = torch.rand(28, 768, generator=torch.Generator().manual_seed(1)) * 2 - 1
    found = own(patches, SHAPES)
    assert found.patches is not None
    assert not found.patches.requires_grad
    pixels = patches[6:22].reshape(4, 4, 16, 16, 3).permute(4, 0, 2, 1, 3).reshape(1, 3, 64, 64)
    wanted = teacher.forward_features(pixels)[0]  # type: ignore[operator]
    torch.testing.assert_close(found.summaries[1], wanted[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.patches[6:22], wanted[1:], atol=1e-5, rtol=0)


def test_targets_are_made_with_it(teacher: torch.nn.Module, tmp_path: Path) -> None:
    run = curated.curated(tmp_path)
    cfg = curated.config(["own_teacher:load"], keep=Stored.BF16)
    facts = targets.run(cfg, run).manifest.facts["teachers"]["own"]
    assert facts["card"]["dim"] == 192
    found = curated.opened(run, cfg).read([0])["own"]
    assert found.summaries.shape == (1, 192)
    assert found.patches is not None


def test_a_pool_is_embedded_with_an_encoder_of_ones_own(encoder: torch.nn.Module, tmp_path: Path) -> None:
    parquet_file(tmp_path / "pool.parquet", {"image": pictures(6)})
    settings = {
        "run": str(tmp_path / "run"),
        "source": {"uri": str(tmp_path / "pool.parquet"), "rows_per_shard": 4},
        "embed": {"encoder": "own_encoder:load"},
        "runtime": {"runner": "local", "device": "cpu"},
    }
    config = build(Config, settings)
    run = Run(config.run)
    source.run(config, run)
    manifest = embed.run(config, run).manifest
    assert (manifest.rows, manifest.facts["dim"]) == (6, 512)
    assert manifest.identity["config"]["weights_hash"] == describe(Spec.of(config.embed)).identity
    vectors = from_column(table(run, "embed", "part-")["embedding"]).astype(float)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-3)
    assert embed.plan(config, {"source": source.plan(config, {})}).device_hours > 0


def test_it_is_the_users_network(encoder: torch.nn.Module) -> None:
    own = load_encoder(Spec.parse("own_encoder:load", "embed.encoder", embeds=True), precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = encoder(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    assert np.abs(own.encode(pixels) - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", ["own_encoder.py", "own_teacher.py"])
def test_they_are_some_thirty_lines(name: str) -> None:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 30
