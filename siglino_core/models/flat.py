"""The model's code as an exported folder carries it: a file each for model, config and processor.

Generated from this package's modules, so that there is one source; readers need torch, transformers and Pillow alone.
A file holds all modules that it needs, one after the other; what two files need is in both, but for the config's.
"""

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CONFIG, MODEL, PROCESSOR = "configuration_siglino", "modeling_siglino", "image_processing_siglino"
ROOTS = {CONFIG: "hf_config", PROCESSOR: "processor", MODEL: "hf"}
APART = {"grouped_triton"}  # asked for in a try, and copied as it is
AUTO_MAP = {
    "AutoConfig": f"{CONFIG}.SigLinoHFConfig",
    "AutoModel": f"{MODEL}.SigLinoModel",
    "AutoBackbone": f"{MODEL}.SigLinoBackbone",
    "AutoImageProcessor": f"{PROCESSOR}.SigLinoImageProcessor",
}
HEADER = '''\
"""{title} Generated from the modules of siglino_core/models; SigLino, Apache-2.0.

The modules follow one another, each under its own first words.
"""
'''
TITLES = {
    CONFIG: "The configuration of SigLino's students.",
    MODEL: "SigLino's students.",
    PROCESSOR: "The image processor of SigLino's students.",
}


def write(folder: str | os.PathLike[str], only: str = "") -> None:
    """Write the code files into a folder, which is made if need be: all, or the one that is named."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        if only in ("", name.removesuffix(".py")):
            (Path(folder) / name).write_text(text, encoding="utf-8")


@cache
def files() -> dict[str, str]:
    """The code files' texts by their names.

    Raises:
        ValueError: two modules of one file define the same name.
    """
    found: dict[str, str] = {}
    config = set(_needed(ROOTS[CONFIG], frozenset()))
    for name, root in ROOTS.items():
        others = dict.fromkeys(config, CONFIG) if name != CONFIG else {}
        if name == MODEL:
            others |= {ROOTS[PROCESSOR]: PROCESSOR}
        modules = list(_needed(root, frozenset(others)))
        found[f"{name}.py"] = _joined(name, modules, others)
    return found | {f"{name}.py": _source(name) for name in sorted(APART)}


def _needed(module: str, elsewhere: frozenset[str], seen: set[str] | None = None) -> Iterator[str]:
    """The module and what it imports from this package, each after what it needs itself."""
    seen = set() if seen is None else seen
    if module in seen or module in elsewhere or module in APART:
        return
    seen.add(module)
    for node in ast.parse(_source(module)).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from _needed(str(node.module), elsewhere, seen)
    yield module


def _joined(name: str, modules: list[str], others: dict[str, str]) -> str:
    plain: set[str] = set()  # `import x`
    of: dict[str, set[str]] = {}  # `from x import ...`
    parts: list[str] = []
    defined: dict[str, str] = {}
    for module in modules:
        source = _source(module)
        lines, tree = source.splitlines(), ast.parse(source)
        gone: set[int] = set()
        for node in tree.body:
            if isinstance(node, ast.Import):
                plain |= {ast.unparse(ast.Import([alias])) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                if node.level == 0 or str(node.module) in others:
                    where = others.get(str(node.module))
                    of.setdefault(f".{where}" if node.level else str(node.module), set()).update(
                        ast.unparse(alias) for alias in node.names
                    )
            elif not _is_text(node):
                for known in _names(node):
                    if defined.setdefault(known, module) != module:
                        raise ValueError(f"{name}: both {defined[known]} and {module} define {known}")
                continue
            gone |= set(range(node.lineno - 1, node.end_lineno or node.lineno))
        body = "\n".join(line for i, line in enumerate(lines) if i not in gone).strip("\n")
        doc = ast.get_docstring(tree) or ""
        parts.append("\n".join(f"# {line}".rstrip() for line in doc.splitlines()) + f"\n\n{body}")
    imports = sorted(plain) + [f"from {k} import {', '.join(sorted(v))}" for k, v in sorted(of.items(), key=_late)]
    return HEADER.format(title=TITLES[name]) + "\n" + "\n".join(imports) + "\n\n\n" + "\n\n\n".join(parts) + "\n"


def _late(item: tuple[str, set[str]]) -> tuple[bool, str]:
    return item[0].startswith("."), item[0]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(node: ast.stmt) -> list[str]:
    """What a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _source(module: str) -> str:
    return (HERE / f"{module}.py").read_text(encoding="utf-8")
