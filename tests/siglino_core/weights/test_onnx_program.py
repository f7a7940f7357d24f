"""What `--program onnx` refuses; that its features are the student's is a cell of the matrix."""

import sys
from pathlib import Path

import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.weights import onnx_program
from tests.siglino_core.models.tiny import DENSE, student


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"--program onnx needs onnxruntime.*pip install 'siglino\[onnx\]'"):
        onnx_program.save_onnx(student(DENSE), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_other_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_program, "ALLOWED", 0.0)
    with pytest.raises(DataError, match=r"x\.onnx: ONNX Runtime's .* differs from the student's by"):
        onnx_program.save_onnx(student(DENSE), tmp_path / "x.onnx")
