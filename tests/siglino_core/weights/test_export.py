"""The exported folder: whole or not there, readable by strangers, and described."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor

from siglino_core.errors import ConfigError, StoreError
from siglino_core.models import flat
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.weights.export import export
from siglino_core.weights.load import load_student
from tests.siglino_core.models.tiny import DENSE, filled


@pytest.fixture
def model() -> SigLinoModel:
    model = filled(SigLinoModel(SigLinoHFConfig.of(DENSE))).eval()
    assert isinstance(model, SigLinoModel)
    return model


def test_a_folder_that_loads(model: SigLinoModel, tmp_path: Path) -> None:
    out = tmp_path / "new" / "student"
    files = export(model, str(out), source="runs/demo/train/step_100", max_pixels=512**2)
    names = {f.name for f in files}
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "SHA256SUMS"} <= names
    assert {n for n in names if n.endswith(".py")} == set(flat.files())
    assert list(out.parent.iterdir()) == [out]  # nothing half-written beside it
    assert {f.stat().st_mode & 0o077 for f in files} == {out.stat().st_mode & 0o066}
    assert AutoImageProcessor.from_pretrained(out).max_pixels == 512**2
    assert json.loads((out / "config.json").read_text())["auto_map"]["AutoModel"] == "modeling_siglino.SigLinoModel"
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in load_student(str(out)).state_dict().items())


def test_what_is_there_stays(model: SigLinoModel, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ConfigError, match=r"is there already\. Take another name"):
        export(model, str(tmp_path), source="x")
    with pytest.raises(ConfigError, match="--program 0x3: dynamic, onnx, or a grid of patches such as 16x16"):
        export(model, str(tmp_path / "out"), source="x", program="0x3")
    for pixels in (255, 0, -5):
        with pytest.raises(ConfigError, match=rf"--max-pixels {pixels}: from 256 \(one patch\)"):
            export(model, str(tmp_path / "out"), source="x", max_pixels=pixels)
    with pytest.raises(StoreError, match=r"kept/out cannot be written: .*kept: File exists"):
        export(model, str(tmp_path / "kept" / "out"), source="x")
    assert os.listdir(tmp_path) == ["kept"]


def test_what_killed_exports_left_is_dropped(model: SigLinoModel, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    dead = tmp_path / f".out,{here},{ended.pid},0123abcd"
    others = [
        tmp_path / name for name in (f".out,{here},{os.getpid()},0123abcd", f".out,elsewhere,{ended.pid},0123abcd")
    ]
    for folder in (dead, *others):
        folder.mkdir()
        (folder / "half").touch()
    export(model, str(tmp_path / "out"), source="x")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "out"])


def test_a_failure_leaves_nothing(model: SigLinoModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("siglino_core.weights.export.SigLinoImageProcessor.save_pretrained", full)
    with pytest.raises(StoreError, match="No space left on device"):
        export(model, str(tmp_path / "out"), source="x")
    assert list(tmp_path.iterdir()) == []
