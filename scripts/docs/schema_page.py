"""The artifacts' page: every schema and every column with its type and sentence, from `siglino_core/schema.py`."""

import ast
import inspect
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa

from scripts.docs.tables import code, table, words
from siglino_core import schema

INTRODUCTION = """# Artifacts

What a run's folder holds, file by file. All of it is Parquet with a sentence on every column in the Arrow field
metadata; types are Arrow's. Some artifacts depend on the run: how wide the encoder is, how many levels there are, which
teachers there are. They are shown for the values that stand beside them.
"""
HEAD = ("column", "type", "null", "what it is")
# What the functions of the schema are called with, by parameter.
_TEACHER = SimpleNamespace(name="dinov3", dim=1024, registers=4, patches=True)
ARGUMENTS: dict[str, tuple[Any, str]] = {
    "dim": (768, "vectors 768 wide"),
    "levels": (2, "two levels"),
    "cards": ([_TEACHER], "one teacher, `dinov3`, 1,024 wide with 4 registers"),
    "keep": ("bf16", "`targets.keep=bf16`"),
    "views": ({"siglino": 768, "dinov3": 1024}, "the views `siglino`, 768 wide, and `dinov3`, 1,024 wide"),
    "dense": (["dinov3"], "features of patches for `dinov3`"),
    "columns": (["dinov3_summary", "dinov3_patches"], "the columns `dinov3_summary` and `dinov3_patches`"),
}


def schemas(module: ModuleType = schema) -> dict[str, tuple[pa.Schema, str, list[str]]]:
    """By name: a schema, its docstring, and for which values it is shown; in the module's order.

    Raises:
        ValueError: a schema has no docstring, or a parameter that this page has no value for.
    """
    tree = ast.parse(inspect.getsource(module))
    tables: dict[str, tuple[pa.Schema, str, list[str]]] = {}
    for node, after in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, getattr(module, node.targets[0].id)
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            shown: list[str] = []
        elif isinstance(node, ast.FunctionDef) and inspect.signature(getattr(module, node.name)).return_annotation in (
            pa.Schema,
            "pa.Schema",
        ):
            name, text = node.name, ast.get_docstring(node) or ""
            asked = list(inspect.signature(getattr(module, name)).parameters)
            unknown = [p for p in asked if p not in ARGUMENTS]
            if unknown:
                raise ValueError(f"{name}: give {', '.join(unknown)} a value in {__name__}.ARGUMENTS")
            value = getattr(module, name)(*(ARGUMENTS[p][0] for p in asked))
            shown = [ARGUMENTS[p][1] for p in asked]
        else:
            continue
        if not isinstance(value, pa.Schema) or name.startswith("_"):
            continue
        if ": " not in str(text):
            raise ValueError(f"{name}: its docstring should be ``where/it/lies``: what a row is")
        tables[name] = (value, str(text), shown)
    return tables


def schema_page(module: ModuleType = schema) -> str:
    """The page as Markdown.

    Raises:
        ValueError: a column has no sentence, or as in :func:`schemas`.
    """
    sections = [INTRODUCTION]
    for name, (columns, text, shown) in schemas(module).items():
        where, _, what = " ".join(text.split("\n\n")[0].split()).partition(": ")
        beside = f" Shown for {' and '.join(shown)}." if shown else ""
        rows = [_row(name, column) for column in columns]
        what = what.replace("``", "`")
        sections.append(
            f"## {where.replace('``', '`')}\n\n{what[0].upper()}{what[1:]}{beside}\n\n{table(HEAD, rows)}\n"
        )
    return "\n".join(sections)


def _row(artifact: str, column: pa.Field) -> list[str]:
    doc = (column.metadata or {}).get(b"doc", b"").decode()
    if not doc:
        raise ValueError(f"{artifact}.{column.name}: a column without a sentence")
    return [code(column.name), code(str(column.type)), "may be" if column.nullable else "never", words(doc)]
