"""The art of games: creatures frame by frame, a space game's sprites, a settlement, fighters, and surfaces."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scripts.pools.items import Item, of_file

Roots = dict[str, Path]
SCREEN = {"engine", "_menu", "font", "hardpoint", "icon", "label", "ui"}  # parts of a game's own screen
PHOTOGRAPHS = "land"  # of the space game: they are in another pool
SETTLED = {"base", "buildings", "terrain", "units"}
SHADING = re.compile(r"_(nm|sm|gm|rm|glow|norm|local)$")  # how a surface reflects: not a picture


def _pictures(root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Files and the folders that they are in, in order."""
    for path in sorted(root.rglob("*")):
        if path.suffix in {".png", ".jpg"} and not path.is_symlink():
            yield path, path.relative_to(root).parts[:-1]


def kind(stem: str) -> str:
    """What a series of files is of: the name up to the first digit or frame mark (``desert10``, ``laser+1``)."""
    return re.split(r"[\d+~=^]|-(?=\d|[a-z]+$)", stem, maxsplit=1)[0].strip(" -_") or stem


def frames(roots: Roots) -> Iterator[Item]:
    """SuperTux: every creature, tile and object with its frames of animation, by the first two folders."""
    root = roots["supertux-data"] / "usr/share/games/supertux2/images"
    for path, folders in _pictures(root):
        if folders and folders[0] not in SCREEN:
            yield of_file(path, "/".join(folders[:2]), root)


def space(roots: Roots) -> Iterator[Item]:
    """Endless Sky: ships, shots, asteroids frame by frame; by folder, and planets and shots by kind."""
    root = roots["endless-sky-data"] / "usr/share/games/endless-sky/images"
    for path, folders in _pictures(root):
        if folders and folders[0] not in {*SCREEN, PHOTOGRAPHS}:
            by_kind = folders == ("planet",) or folders == ("projectile",) or folders == ("effect",)
            yield of_file(path, "/".join([*folders, kind(path.stem)] if by_kind else folders), root)


def town(roots: Roots) -> Iterator[Item]:
    """Unknown Horizons: ground, houses, people, ships and trees, by folder; of every action the first frame.

    Each is drawn from four or eight sides.
    """
    root = roots["unknown-horizons"] / "usr/share/unknown-horizons/content/gfx"
    seen: set[Path] = set()
    for path, folders in _pictures(root):
        what = next((f for f in folders if f.startswith(("as_", "ts_"))), None)
        if what is None or folders[0] not in SETTLED or "placeholder" in folders or path.parent in seen:
            continue
        seen.add(path.parent)
        yield of_file(path, f"{folders[0]}/{numberless(what)}", root)


def numberless(what: str) -> str:
    """``as_hut2`` is a ``hut``, ``as_mine5x50`` is a ``mine``."""
    return re.sub(r"^[at]s_|(\dx)?\d+$", "", what)


def units(roots: Roots) -> Iterator[Item]:
    """Battle for Wesnoth: fighters and beasts by people and first word: dwarves/thunderer; of every action one frame.

    Each is drawn from one to five sides.
    """
    root = roots["wesnoth-1.16-data"] / "usr/share/games/wesnoth/1.16/data/core/images/units"
    seen: set[tuple[str, ...]] = set()
    for path, folders in _pictures(root):
        action = (*folders, re.sub(r"-?\d+$", "", path.stem))
        word = re.match(r"[a-z]+", path.stem)
        if folders and word and action not in seen:
            seen.add(action)
            yield of_file(path, f"{folders[0]}/{word[0]}", root)


def surfaces(roots: Roots) -> Iterator[Item]:
    """UFO: Alien Invasion: photographs of walls, ground, doors and goods that the maps are covered with.

    The labels are the folder and the first word of the name: buildings/carpet, nature/grass.
    """
    folder = roots["ufoai-textures"] / "usr/share/games/ufoai/base"
    for pack in sorted(folder.glob("*.pk3")):
        with zipfile.ZipFile(pack) as archive:
            for name in sorted(archive.namelist()):
                path = Path(name)
                word = re.search(r"[^\W\d_]{2,}", path.stem)
                if word and path.suffix in {".png", ".jpg"} and not SHADING.search(path.stem):
                    label = f"{path.parent.name.removeprefix('tex_')}/{word[0]}"
                    yield Item(label=label, name=name, data=archive.read(name))
