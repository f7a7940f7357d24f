"""The exported program: the same features, for one grid or any, and read without this package."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siglino_core.models import SigLino
from siglino_core.models.patches import patchify
from siglino_core.weights.program import export_program
from tests.siglino_core.models.tiny import DENSE, TINY, student

STRANGER = """
import sys
sys.modules["siglino_core"] = None
import torch
program = torch.export.load(sys.argv[1]).module()
torch.save(program(torch.load(sys.argv[2], weights_only=True)), sys.argv[3])
"""


def images(count: int, rows: int, columns: int) -> Tensor:
    return torch.rand(count, 3, 16 * rows, 16 * columns, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def model() -> SigLino:
    return student(replace(TINY, experts=3, hidden=48, dense_layers=1))  # a layer of each kind


def check(found: dict[str, Tensor], model: SigLino, shape: tuple[int, int, int]) -> None:
    layout = model.layout([shape[1:]] * shape[0])
    wanted = model(patchify(images(*shape), 16).flatten(0, 1), layout)
    close = {"atol": 1e-5, "rtol": 0.0}
    for name in ("siglip2", "dinov3", "siglino"):
        torch.testing.assert_close(found[f"patch_features.{name}"].flatten(0, 1), wanted.patches[name], **close)
        torch.testing.assert_close(found[f"summary_features.{name}"], wanted.summaries[name], **close)
        torch.testing.assert_close(found[f"register_features.{name}"], wanted.registers[name], **close)


@pytest.mark.slow
@torch.no_grad()
def test_any_grid_and_without_this_package(model: SigLino, tmp_path: Path) -> None:
    program = export_program(model)
    for shape in ((1, 4, 6), (3, 2, 2), (2, 7, 3)):
        check(program.module()(images(*shape)), model, shape)
    torch.export.save(program, tmp_path / "encoder.pt2")
    torch.save(images(2, 3, 5), tmp_path / "images.pt")
    paths = [str(tmp_path / name) for name in ("encoder.pt2", "images.pt", "out.pt")]
    done = subprocess.run([sys.executable, "-c", STRANGER, *paths], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    check(torch.load(tmp_path / "out.pt", weights_only=True), model, (2, 3, 5))


@torch.no_grad()
def test_one_grid() -> None:
    model = student(replace(DENSE, layers=1))
    program = export_program(model, (3, 5)).module()
    check(program(images(2, 3, 5)), model, (2, 3, 5))
    with pytest.raises(AssertionError):
        program(images(2, 4, 5))
