"""The documentation's linear segmentation head learns to tell shapes, on a student as it is drawn."""

import importlib.util
from pathlib import Path

import pytest

from siglino_core.models import PRESETS
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from tests.siglino_core.models.tiny import filled

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "segmentation.py"


@pytest.mark.slow
def test_shapes_are_told_apart(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("segmentation", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    filled(SigLinoModel(SigLinoHFConfig.of(PRESETS["siglino-nano"]))).save_pretrained(tmp_path)  # type: ignore[operator]
    _, masks = example.scenes(16, seed=1)
    background = float((masks == 0).float().mean()) / 3  # mean IoU of a head that sees background everywhere
    assert example.train(str(tmp_path)) > background + 0.2
