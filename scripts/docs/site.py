"""All pages of the site as Markdown: the repository's own texts with links that lead somewhere, and generated ones.

Nothing here needs MkDocs; `scripts/docs/hooks.py` hands the pages over.
"""

import re
from pathlib import Path

from scripts.docs import api_pages, links
from scripts.docs.benchmarks_page import benchmarks_page
from scripts.docs.experiments_page import experiments_page
from scripts.docs.schema_page import schema_page
from scripts.docs.settings_page import settings_page

ROOT = Path(__file__).resolve().parents[2]
TOP = {  # a page of the site, the file at the top of the repository that it is
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "release.md": "RELEASE.md",
}
PICTURES = (".png", ".jpg", ".svg", ".webp")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sbatch": "bash", ".cff": "yaml"}


def pages(root: Path = ROOT) -> dict[str, str]:
    """Every page by its place in the site.

    Raises:
        ValueError: a link leads to no file, or a setting or column has no sentence.
    """
    texts = {page: path for page, path in TOP.items() if (root / path).is_file()}
    texts |= {p.name: f"docs/{p.name}" for p in sorted((root / "docs").glob("*.md"))}
    contents = {page: (root / path).read_text(encoding="utf-8") for page, path in texts.items()}
    places = api_pages.places(root) | {path: page for page, path in texts.items()}
    waiting = list(texts)
    while waiting:
        page = waiting.pop()
        for path in _leads_to(contents[page], texts[page], root):
            if path.startswith("docs/") and path.endswith(PICTURES):  # MkDocs copies it as it is
                places[path] = path.removeprefix("docs/")
            elif path not in places:
                places[path] = new = f"files/{path}.md"
                texts[new], contents[new] = path, _file(root / path, path)
                waiting.append(new)
    made = {page: _linked(text, page, texts[page], places) for page, text in contents.items()}
    made |= {
        "settings.md": settings_page(),
        "artifacts.md": schema_page(),
        "experiments.md": experiments_page(root / "flows/conf/experiment"),
        "benchmarks.md": benchmarks_page(root / "docs/benchmarks.jsonl"),
    }
    return dict(sorted((made | api_pages.api_pages(root)).items()))


def api_navigation(root: Path = ROOT) -> list[dict[str, str]]:
    """The API's pages with their titles, as MkDocs' ``nav`` has them."""
    return [{Path(page).stem: page} for page in api_pages.api_pages(root)]


def _leads_to(text: str, source: str, root: Path) -> list[str]:
    """The files and folders that a text links to, by their path in the repository."""
    targets = [links.in_repository(target, source) for target in links.links(text)] if source.endswith(".md") else []
    for path in targets:
        if not (root / path).exists():
            raise ValueError(f"{source}: it links to {path}, which does not exist")
    return targets


def _linked(text: str, page: str, source: str, places: dict[str, str]) -> str:
    """The text of the file ``source`` as the site's page has it."""

    def change(target: str) -> str:
        place, anchor = places[links.in_repository(target, source)], target.partition("#")[2]
        return links.relative(place, page) + (f"#{anchor}" if anchor else "")

    return links.rewrite(text, change) if source.endswith(".md") else text


def _file(path: Path, name: str) -> str:
    """A page for a file that is no page by itself: Markdown as it is, other text in a frame, folders as a list."""
    if path.is_dir():
        inside = sorted(p.name + "/" * p.is_dir() for p in path.iterdir() if p.name[0] not in "._")
        return f"# `{name}/`\n\n" + "".join(f"- `{p}`\n" for p in inside)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return f"# `{name}`\n\nA binary file.\n"
    if path.suffix == ".md":
        return text
    fence = "`" * (1 + max([2, *(len(run) for run in re.findall(r"`+", text))]))
    return f"# `{name}`\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"
