"""The code files of an export are this package's modules, word for word, and say what they need."""

import ast
from pathlib import Path

import pytest

from siglino_core.models import flat

HERE = Path(flat.__file__).parent


def functions(source: str) -> dict[str, str]:
    """The code of a file's functions and classes by name, as Python reads it."""
    return {n.name: ast.dump(n) for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def test_what_the_modules_define_is_in_the_files_once() -> None:
    files = flat.files()
    assert set(files) == {
        "configuration_siglino.py", "modeling_siglino.py", "image_processing_siglino.py", "grouped_triton.py",
    }  # fmt: skip
    defined: dict[str, str] = {}
    for text in files.values():
        compile(text, "file", "exec")
        defined |= functions(text)
    left_out = {"__init__", "flat", "routing", "size", "grouped_triton"}  # not asked for by a reader of exports
    for path in HERE.glob("*.py"):
        if path.stem not in left_out:
            found = functions(path.read_text(encoding="utf-8"))
            assert found.items() <= defined.items(), path.stem


def test_a_file_imports_what_others_have_and_nothing_of_this_package() -> None:
    for name, text in flat.files().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert f"{node.module}.py" in flat.files(), (name, node.module)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert not any(str(n).startswith("siglino_core") for n in names), (name, names)


def test_one_name_in_two_modules_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hf.py").write_text("from .other import f\ndef g(): return f()\n")
    (tmp_path / "other.py").write_text("def f(): return g()\ndef g(): return 1\n")
    for name in ("hf_config", "processor"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "grouped_triton.py").write_text("")
    monkeypatch.setattr(flat, "HERE", tmp_path)
    with pytest.raises(ValueError, match="modeling_siglino: both other and hf define g"):
        flat.files.__wrapped__()
