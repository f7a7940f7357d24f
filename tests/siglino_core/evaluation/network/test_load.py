"""The one door: what a config names as a network that is evaluated; damage and devices."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from siglino_core.config import ModelConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.network.encoder import EncoderNetwork
from siglino_core.evaluation.network.load import describe_network, load_network
from siglino_core.evaluation.network.student import StudentNetwork
from siglino_core.evaluation.network.teacher import TeacherNetwork
from siglino_core.evaluation.network.viewed import Seen, Viewed
from siglino_core.models import SigLino
from tests.siglino_core.evaluation.network.folders import BOUNDS, dinov3, images, loaded, siglino, timm_folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Viewed]:
    root = tmp_path_factory.mktemp("door")
    return {
        "student": loaded(siglino(root / "model")),
        "teacher": loaded(dinov3(root / "dinov3")),
        "encoder": loaded(timm_folder(root / "vit", "test_vit")),
    }


def test_each_is_what_an_evaluation_asks_for(networks: dict[str, Viewed]) -> None:
    kinds = [StudentNetwork, TeacherNetwork, EncoderNetwork]
    assert [type(network) for network in networks.values()] == kinds
    for network in networks.values():
        pixels = [network.pixels(image) for image in images()]
        assert all(p.dtype == np.uint8 for p in pixels)
        seen = network(pixels, dense=True)
        assert isinstance(seen, Seen)
        assert {view: rows.shape for view, rows in seen.summaries.items()} == {
            view: (len(pixels), width) for view, width in network.views.items()
        }
        assert list(seen.patches) == list(network.dense)
        assert all(rows.dtype == np.float32 and np.isfinite(rows).all() for rows in seen.summaries.values())
        assert isinstance(network.pixels.describe(), dict)
        pickle.dumps(network.pixels)


def test_no_gradient_is_kept(networks: dict[str, Viewed]) -> None:
    model = networks["student"]._model  # type: ignore[attr-defined]
    assert isinstance(model, SigLino)
    assert not any(p.requires_grad for p in model.parameters())


def test_a_damaged_student(tmp_path: Path) -> None:
    spec = siglino(tmp_path / "model")
    path = tmp_path / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="no readable weights"):
        load_network(ModelConfig(network=spec), **BOUNDS)


def test_weights_that_change_while_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import siglino_core.evaluation.network.load as door

    spec, other = siglino(tmp_path / "model"), dinov3(tmp_path / "other")
    real = door.load_teacher
    monkeypatch.setattr(door, "load_teacher", lambda _, *how: real(other, *how))
    with pytest.raises(DataError, match="are not those that the run began with"):
        load_network(ModelConfig(network=spec), **BOUNDS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runtime\.device=cuda: torch sees no CUDA device"):
        load_network(ModelConfig(network=siglino(tmp_path / "model")), **BOUNDS, device="cuda")


def test_what_it_will_be_is_told_without_it(tmp_path: Path) -> None:
    config = ModelConfig(network=siglino(tmp_path / "model"))
    assert describe_network(config, **BOUNDS).identity == load_network(config, **BOUNDS, device="cpu").identity
