"""The API's pages: one a package, its own names and then its modules', by directives that mkdocstrings fills in.

Files are read, never imported.
"""

import ast
from pathlib import Path

from scripts.docs.tables import words

ROOTS = ("siglino_core", "pipelines")


def packages(root: Path) -> list[Path]:
    """The folders of all public packages, in the order of their names."""
    folders = [p.parent for top in ROOTS for p in (root / top).rglob("__init__.py")]
    return sorted(p for p in folders if _public(p.relative_to(root).parts))


def modules(package: Path) -> list[Path]:
    """The files of a package's public modules, without its own."""
    return sorted(p for p in package.glob("*.py") if _public((p.stem,)))


def name_of(path: Path, root: Path) -> str:
    """The dotted name of a package's folder or a module's file."""
    return ".".join(path.relative_to(root).with_suffix("").parts)


def api_pages(root: Path) -> dict[str, str]:
    """Every page as Markdown, by its place in the site."""
    return {f"api/{name_of(package, root)}.md": _page(package, root) for package in packages(root)}


def places(root: Path) -> dict[str, str]:
    """Where the site shows every package and module: by its path in the repository, the page and the anchor."""
    pages: dict[str, str] = {}
    for package in packages(root):
        page = f"api/{name_of(package, root)}.md"
        pages[str(package.relative_to(root))] = pages[str(package.relative_to(root) / "__init__.py")] = page
        pages |= {str(m.relative_to(root)): f"{page}#{name_of(m, root)}" for m in modules(package)}
    return pages


def first_line(path: Path) -> str:
    """What a module says it is for."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _public(names: tuple[str, ...]) -> bool:
    return not any(name.startswith("_") for name in names)


def _own(path: Path) -> list[str]:
    """The public functions and classes that a file defines itself."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, kinds) and _public((node.name,))]


def _page(package: Path, root: Path) -> str:
    name, own = name_of(package, root), _own(package / "__init__.py")
    members = "".join(f"\n        - {n}" for n in own) or " false"
    lines = [
        f"# `{name}`\n",
        f"::: {name}\n    options:\n      show_root_heading: false\n      show_root_toc_entry: false",
        f"      members:{members}\n",
    ]
    names = modules(package)
    if names:
        lines += ["| module | what it is for |", "|---|---|"]
        lines += [f"| [`{p.stem}`](#{name_of(p, root)}) | {words(first_line(p))} |" for p in names]
        lines += [f"\n::: {name_of(p, root)}" for p in names]
    return "\n".join(lines) + "\n"
