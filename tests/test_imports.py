"""The house rules that one can check by importing: no orchestrator in the core, no GPU needed, a first line each."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("siglino_core", "pipelines", "flows")
WALK = """
import importlib, pkgutil, sys
for package in sys.argv[1].split():
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, package + "."):
        importlib.import_module(found.name)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd="/", check=False)


def test_the_core_imports_without_cuda_and_without_an_orchestrator() -> None:
    check = (
        "bad = {'ray', 'prefect', 'hydra', 'omegaconf', 'pipelines', 'flows'} & sys.modules.keys()\nassert not bad, bad"
    )
    found = run(WALK + check, "siglino_core")
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""


def test_the_pipelines_import_without_cuda_and_without_prefect_or_ray() -> None:
    found = run(WALK + "assert not {'prefect', 'hydra', 'flows', 'ray'} & sys.modules.keys()", "pipelines")
    assert found.returncode == 0, found.stderr


def test_the_command_answers_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom flows.cli import main\nassert not {'torch', 'ray', 'prefect', 'hydra'} & sys.modules.keys()"
    )
    assert run(code).returncode == 0


@pytest.mark.slow
def test_everything_imports_without_cuda() -> None:
    found = run(WALK, " ".join(PACKAGES))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_the_first_line_of_every_file_says_what_it_is_for(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        text = path.read_text()
        assert text.startswith('"""'), path
        first = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
        assert len(first.split()) >= 3, path
        assert len(text.splitlines()[0]) <= 120
