"""What MkDocs calls while it builds the site: hands it the pages, and sees that the site needs no other host."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.docs.site import ROOT, api_navigation, pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the API's packages into the navigation."""
    config.nav = [*(config.nav or []), {"API": api_navigation()}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Puts the pages in place of those files of ``docs/`` that they were made from."""
    try:
        made = pages()
    except ValueError as e:
        raise PluginError(str(e)) from e
    for place, text in made.items():
        if old := files.get_file_from_path(place):
            files.remove(old)
        files.append(File.generated(config, place, content=text))
    return files


def on_serve(server: Any, **_: Any) -> Any:
    """Builds again when a source of the generated pages changes."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "siglino_core", "pipelines", "flows/conf"):
        server.watch(str(ROOT / name))
    return server


def on_post_build(config: MkDocsConfig) -> None:
    """Raises if a page loads anything from another host."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        loads = Loads()
        loads.feed(path.read_text(encoding="utf-8"))
        if loads.elsewhere:
            raise PluginError(f"{path}: it loads {loads.elsewhere[0]} from another host")


class Loads(HTMLParser):
    """What a page loads by itself from other hosts; links that a reader follows don't count."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Looks at one tag."""
        name = {"link": "href", "a": ""}.get(tag, "src")
        self.elsewhere += [v for k, v in attrs if k == name and v and v.startswith(("http:", "https:", "//"))]
