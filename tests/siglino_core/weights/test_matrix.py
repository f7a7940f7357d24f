"""Every way to load an exported student, for a mixture, a dense one and a micro: as near as the docs say."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.siglino_core.weights.cells import CELLS, STUDENTS, Exported

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    folder = tmp_path_factory.mktemp("matrix")
    return {name: Exported.of(name, folder) for name in STUDENTS}


@cache
def installed(package: str) -> bool:
    return not package or importlib.util.find_spec(package) is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("student", STUDENTS)
def test_as_near_as_the_docs_say(exported: dict[str, Exported], student: str, cell: str) -> None:
    if not installed(CELLS[cell].needs):
        pytest.skip(f"{CELLS[cell].needs} is not installed")
    with torch.set_grad_enabled(cell in ("LoRA, attention and experts", "Trainer", "gradient checkpointing")):
        error = CELLS[cell].run(exported[student])
    print(f"{student}, {cell}: {error:.1e}")
    assert error <= CELLS[cell].allowed


def test_the_table_in_the_docs() -> None:
    text = (ROOT / "docs" / "student.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d.e-]+) \|", text, flags=re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {n: c.allowed for n, c in CELLS.items()}
