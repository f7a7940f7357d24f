"""Photographs that the models of a racing game are covered with."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from scripts.pools.items import Item

Roots = dict[str, Path]
THINGS = {  # how the names of a thing's pictures begin; codes of one track's houses and stands among them
    "crowd": r"treeug|\w*crowd|people|spec|ppl",
    "truck": r"truck|tanker|treerns",
    "tree": r"\w{0,5}tree|forest",
    "camper": r"camper|rv|bus",
    "house": r"house|pdkka|obja|pala[zs]|garage|block|bld|building|facade|cas[ao]|h\d|pad\d|roof",
    "stand": r"trib|std|stnd|stair|seat",
    "tent": "tent",
    "bridge": "pass|poutre|brdg|bridge|trave",
    "tyres": "g?tire",
    "barrier": "barr|armco|barg|fence|fnce",
    "curb": "curb",
    "sign": "turn|dist|sign",
    "board": "logo|advert|torcs",
    "gauge": "rpm|counter|speed",
    "road": "road|asphalt|tr-|tarmac",
    "concrete": "g?conc|cmnt|mase",
    "grass": "g?grass",
    "sand": "g?sand",
    "dirt": "dirt",
    "gravel": "gravel",
    "rock": "rock|cliff",
    "snow": "snow|ice",
    "wall": "wall|mur|brick",
    "pylon": "pylon",
    "border": "border",
    "horizon": "background",
}
NO_PICTURES = re.compile("shad|raceline|light|bump")  # light and shade on something else


def trackside(roots: Roots) -> Iterator[Item]:
    """TORCS: photographed trees, houses, trucks, stands and roads along its tracks, by what they show."""
    root = roots["torcs-data"] / "usr/share/games/torcs"
    for path in sorted([*(root / "data/textures").iterdir(), *(root / "tracks").rglob("*")]):
        label = thing(path.stem)
        data = as_png(path) if label and path.suffix in {".png", ".rgb"} else None
        if label and data:
            yield Item(label=label, name=path.relative_to(root).as_posix(), data=data)


def thing(stem: str) -> str | None:
    """What a picture shows, by its file's name: ``64PASS6`` is a bridge, ``FRtree_n`` a tree. None: not known."""
    name = stem.lower()
    if NO_PICTURES.search(name):
        return None
    name = re.sub(r"^\d+", "", name)
    return next((label for label, names in THINGS.items() if re.match(names, name)), None)


def as_png(path: Path) -> bytes | None:
    """A picture coded anew, so that copies in two formats are the same; None if it cannot be read."""
    out = io.BytesIO()
    try:
        with Image.open(path) as file:
            file.convert("RGBA").save(out, "PNG", compress_level=1)
    except (OSError, ValueError):
        return None
    return out.getvalue()
