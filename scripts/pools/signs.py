"""Desktop icons, flags with maps, symbols of maps, and playing cards: pictures made to be told apart."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from scripts.pools.items import Item, of_file, rasterise

Roots = dict[str, Path]
THEMES = {
    "oxygen-icon-theme": "usr/share/icons/oxygen/base",
    "tango-icon-theme": "usr/share/icons/Tango",
    "gnome-icon-theme": "usr/share/icons/gnome",
    "faenza-icon-theme": "usr/share/icons/Faenza",
}
SIZES = {"48x48", "48", "128x128", "256x256", "scalable"}  # at most three of an icon, each drawn for its size
CONTINENTS = ("africa", "asia", "europe", "ncamerica", "southamerica", "oceania")
SUITS, RANKS = ("club", "diamond", "heart", "spade"), 13
PRESETS = "images/presets/"
CARD = 160  # pixels, a card's width


def icons(roots: Roots) -> Iterator[Item]:
    """Icons of four desktops in up to three sizes, by context and first word: actions/go, places/folder."""
    for package, folder in THEMES.items():
        root = roots[package] / folder
        for path in sorted(root.rglob("*")):
            parts = path.relative_to(root).parts
            if len(parts) != 3 or path.is_symlink() or path.suffix not in {".png", ".svg"}:
                continue
            context, size = sorted(parts[:2], key=lambda p: p == "scalable" or p[0].isdigit())
            if size in SIZES:
                item = of_file(path, f"{context}/{re.split(r'[-_.0-9]', path.stem)[0]}", root)
                yield Item(label=item.label, name=f"{package}/{item.name}", data=item.data)


def flags(roots: Roots) -> Iterator[Item]:
    """KGeography: flags of regions by country, of countries by continent, and the maps that one fills in."""
    root = roots["kgeography-data"] / "usr/share/kgeography"
    continents = {flag: name for name in CONTINENTS for flag in flags_of(root / f"{name}.kgm")}
    for path in sorted((root / "flags").rglob("*.png")):
        folder = path.parent.relative_to(root / "flags").as_posix()
        label = continents.get(path.name) if folder == "." else folder
        if label and not path.is_symlink():
            yield of_file(path, f"flag/{label}", root)
    for path in sorted(root.glob("*.png")):
        yield of_file(path, "map", root)


def flags_of(description: Path) -> list[str]:
    """The flags that a map's description names; none if there is no such map."""
    if not description.is_file():
        return []
    return re.findall(r"<flag>(.*?)</flag>", description.read_text(encoding="utf-8"))


def symbols(roots: Roots) -> Iterator[Item]:
    """JOSM: the symbols with which maps mark shops, sports, road signs and power lines, by folder."""
    folder = roots["josm"] / "usr/share/josm"
    (program,) = (path for path in folder.glob("*.jar") if not path.is_symlink())
    with zipfile.ZipFile(program) as archive:
        for name in sorted(archive.namelist()):
            where, _, _ = name.removeprefix(PRESETS).rpartition("/")
            if name.startswith(PRESETS) and where and name.endswith((".png", ".svg")):
                yield Item(label=where, name=name.removeprefix(PRESETS), data=archive.read(name))


def cards(roots: Roots) -> Iterator[Item]:
    """Playing cards of GNOME's decks by suit and rank; each deck is one drawing of five rows of 13 cards."""
    root = roots["gnome-cards-data"] / "usr/share/aisleriot/cards"
    for path in sorted(root.glob("*.svgz")):
        sheet = rasterise(path.read_bytes(), CARD * RANKS)
        if sheet is None:
            continue
        for suit, rank, card in cut(sheet):
            yield Item(label=f"{suit}/{rank:02}", name=f"{path.stem}/{suit}{rank}", data=card)


def cut(sheet: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Suit, rank and picture of every card on a sheet; its fifth row, jokers and backs, is left out."""
    with Image.open(io.BytesIO(sheet)) as file:
        width, height = file.width / RANKS, file.height / (len(SUITS) + 1)
        for row, suit in enumerate(SUITS):
            for column in range(RANKS):
                left, top = round(column * width), round(row * height)
                out = io.BytesIO()
                file.crop((left, top, round((column + 1) * width), round((row + 1) * height))).save(out, "PNG")
                yield suit, column + 1, out.getvalue()
