"""Clip art, emoji and cut-out stamps: drawings by what they show."""

import json
from collections.abc import Iterator
from pathlib import Path

from scripts.demo import sources
from scripts.demo.sources import Candidate
from scripts.pools.items import Item, of_file

Roots = dict[str, Path]


def openclipart(roots: Roots) -> Iterator[Item]:
    """Clip art by its folder; links, people and weapons left out."""
    found = sources.openclipart(roots["openclipart-png"], roots["openclipart-svg"])
    yield from _by_folder(found)


def union(roots: Roots) -> Iterator[Item]:
    """The same, with Fluent's and Noto's emoji by Unicode's subgroup: two styles of one concept share a label."""
    yield from openclipart(roots)
    emojibase = roots["emojibase-data"]
    fluent, noto = roots["@lobehub/fluent-emoji-3d"], roots["emoji-datasource-google"]
    yield from _by_folder(sources.emoji(emojibase, fluent / "package/assets", "fluent", ".webp"))
    yield from _by_folder(sources.emoji(emojibase, noto / "package/img/google/64", "noto", ".png"))


def _by_folder(candidates: list[Candidate]) -> Iterator[Item]:
    for candidate in sorted(candidates, key=lambda c: c.key):
        if candidate.copy_of is None:
            label, _, name = candidate.key.partition("/")[2].rpartition("/")
            yield Item(label=label, name=f"{candidate.key.partition('/')[0]}/{name}", data=candidate.path.read_bytes())


def skins(roots: Roots) -> Iterator[Item]:
    """Noto's emoji with all their skin tones, by Unicode's subgroup."""
    package = roots["emoji-datasource-google"] / "package"
    for emoji in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
        for picture in (emoji, *emoji.get("skin_variations", {}).values()):
            path = package / "img/google/64" / picture["image"]
            if path.is_file():
                yield of_file(path, emoji["subcategory"], path.parent)


def stamps(roots: Roots) -> Iterator[Item]:
    """Tux Paint's stamps, photographs and drawings, by folder."""
    root = roots["tuxpaint-stamps-default"] / "usr/share/tuxpaint/stamps"
    for path in sorted(root.rglob("*")):
        if path.suffix in {".png", ".svg"} and not path.is_symlink() and not path.stem.endswith("_mirror"):
            yield of_file(path, path.parent.relative_to(root).as_posix(), root)
