"""The exported program: the same features, for one grid or any, and read without this package."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siglino_core.errors import DataError
from siglino_core.models import SigLino
from siglino_core.models.patches import patchify
from siglino_core.weights.program import export_program, load_program, save_program
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


@torch.no_grad()
def test_a_saved_program_says_what_it_takes(tmp_path: Path) -> None:
    model = student(replace(DENSE, layers=1))
    save_program(model, tmp_path / "one.pt2", (3, 5))
    save_program(model, tmp_path / "any.pt2")
    one, any_grid = load_program(tmp_path / "one.pt2"), load_program(tmp_path / "any.pt2")
    check(one(images(2, 3, 5)), model, (2, 3, 5))
    check(any_grid(images(1, 64, 2)), model, (1, 64, 2))
    for run, given, said in (
        (one, images(1, 4, 5), "a grid of 4 x 5 patches: this program takes 3 x 5 alone"),
        (any_grid, images(1, 65, 2), "a grid of 65 x 2 patches: this program takes 2 to 64 a side"),
        (any_grid, images(1, 1, 8), "a grid of 1 x 8 patches: this program takes 2 to 64 a side"),
        (any_grid, images(0, 4, 4), "0 images: this program takes 1 to 4096 at once"),
        (any_grid, torch.zeros(1, 3, 40, 32), r"sides in multiples of 16 pixels"),
        (any_grid, torch.zeros(3, 32, 32), r"images of \[3, 32, 32\]: \[images, 3, height, width\]"),
    ):
        with pytest.raises(ValueError, match=said):
            run(given)
    save_program(model, tmp_path / "small.pt2", (1, 1))  # a grid of its own may be of any size
    check(load_program(tmp_path / "small.pt2")(images(1, 1, 1)), model, (1, 1, 1))
    (tmp_path / "bad.pt2").write_bytes(b"no program")
    with pytest.raises(DataError, match=r"bad\.pt2: no program of a student's"):
        load_program(tmp_path / "bad.pt2")
