"""Every module has its test where it stands, or the design says what covers it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("siglino_core", "pipelines", "flows")


def covered() -> dict[str, list[str]]:
    """By module, the tests that the design's table names."""
    section = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("## Which test covers it")[2]
    rows = [row.split("|")[1:3] for row in section.splitlines() if row.startswith("| `")]
    names = [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]
    return {module: tests for modules, tests in names for module in modules}


def of_its_own(module: Path) -> Path:
    """Where a module's test would stand."""
    at = module.relative_to(ROOT)
    if at.stem == "__init__":
        return ROOT / "tests" / at.parent.parent / f"test_{at.parent.name}.py"
    return ROOT / "tests" / at.parent / f"test_{at.stem}.py"


def says_something(module: Path) -> bool:
    """Whether it defines a function or a class."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in body)


def test_every_module_has_its_test_or_the_design_says_what_covers_it() -> None:
    modules = [m for package in PACKAGES for m in (ROOT / package).rglob("*.py") if says_something(m)]
    assert len(modules) > 150
    alone = {str(m.relative_to(ROOT)) for m in modules if not of_its_own(m).exists()}
    assert alone == covered().keys()


def test_what_covers_them_is_there() -> None:
    assert all(tests and all((ROOT / test).is_file() for test in tests) for tests in covered().values())
