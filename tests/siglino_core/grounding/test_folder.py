"""The model's folder: it loads as it was written, and what is no such folder is refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.errors import ConfigError, DamagedError, DataError
from siglino_core.grounding import folder as of_folder
from siglino_core.grounding.folder import CONFIG, SUMS, TRANSFER, WEIGHTS, config_json, load_grounding, write
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.transfer import Transfer, transfer
from siglino_core.models import SigLinoConfig
from tests.siglino_core.grounding.models import grounding, stirred
from tests.siglino_core.models.tiny import exported, student

SHAPE = SigLinoConfig(
    width=32, layers=2, heads=2, head_dim=16, experts=4, top_k=2, expert_hidden=16, registers=4, teachers=()
)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))
QUERIES = ["the red circle", "a bird"]


def written(folder: Path, **bounds: int) -> GroundingModel:
    model = stirred(grounding(SHAPE)[0])
    moved = Transfer(copied=("a",), new=("b",), heads=(), unused=())
    said = config_json(model.config, **({"min_pixels": 32**2, "max_pixels": 64**2, "most": 3} | bounds), student="of")
    folder.mkdir()
    write(folder, model.state_dict(), said, moved, source="of a test")
    return model


def changed(folder: Path, **values: Any) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    (folder / SUMS).unlink()


def test_it_loads_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = written(tmp_path / "model")
    loaded = load_grounding(str(tmp_path / "model"))
    assert loaded.model.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert (loaded.processor.min_pixels, loaded.processor.max_pixels, loaded.most) == (32**2, 64**2, 3)
    own = model.predict(PICTURE, QUERIES, forced=True, processor=loaded.processor)
    found = loaded.predict(PICTURE, QUERIES, forced=True)
    assert [[i.box_xyxy for i in q] for q in own] == [[i.box_xyxy for i in q] for q in found]
    assert json.loads((tmp_path / "model" / TRANSFER).read_text())["copied"] == ["a"]
    assert "of a test" in (tmp_path / "model" / "README.md").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(of_folder, "predict", lambda *_, most, **__: most)
        assert loaded.predict(PICTURE, QUERIES) == 3  # as many as it learnt, at most
        assert loaded.predict(PICTURE, QUERIES, most=7) == 7


def test_what_is_no_model_for_grounding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing there"):
        load_grounding(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no model for grounding"):
        load_grounding(str(tmp_path / "empty"))
    folder = exported(tmp_path / "student", student(SHAPE))
    with pytest.raises(ConfigError, match=r"this is a siglino, not a siglino_grounding\. `siglino ground` makes one"):
        load_grounding(folder)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": 99}, "another version"),
        ({"vocabulary": "other"}, "another format or vocabulary"),
        ({"student": {"width": 32}}, "no model's config"),
        ({"shape": {"bins": 1}}, "bins=1: at least 2"),
        ({"most_instances": 0}, "most_instances=0: 1 or more"),
        ({"max_pixels": None}, "no readable model .ValueError: max_pixels=None"),
        ({"shape": {"bins": 64, "coordinate_hidden": 10**12}}, "weights don't fit|no model can be made"),
    ],
)
def test_a_config_of_something_else(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    written(tmp_path / "model")
    changed(tmp_path / "model", **values)
    with pytest.raises(DataError, match=says):
        load_grounding(str(tmp_path / "model"))


def test_a_config_that_asks_for_all_memory(tmp_path: Path) -> None:
    written(tmp_path / "model")
    said = json.loads((tmp_path / "model" / CONFIG).read_text())
    changed(tmp_path / "model", student=said["student"] | {"layers": 10**9})
    with pytest.raises(DataError, match="layers=1000000000: 1 to 1000"):
        load_grounding(str(tmp_path / "model"))


def test_a_damaged_file(tmp_path: Path) -> None:
    written(tmp_path / "model")
    path = tmp_path / "model" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"model\.safetensors is not what was exported"):
        load_grounding(str(tmp_path / "model"))
    (tmp_path / "model" / CONFIG).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_grounding(str(tmp_path / "model"))


def test_the_transfer_of_a_student_is_told(tmp_path: Path) -> None:
    model, of = grounding(SHAPE)
    moved = transfer(model, of.state_dict(), SHAPE)
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder, model.state_dict(), config_json(model.config, min_pixels=1024, max_pixels=4096), moved, source="it")
    said = json.loads((folder / TRANSFER).read_text())
    assert set(said) == {"copied", "new", "heads", "unused"}
    assert said["unused"] == []
    assert len(said["copied"]) == len(of.state_dict())
