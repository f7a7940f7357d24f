"""Figures of manuals: charts, screenshots, electronic parts, furniture and music."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scripts.pools.items import Item, of_file

Roots = dict[str, Path]
VIEWS = ("breadboard", "schematic", "pcb")
NOTATION = re.compile(r"<title>LilyPond Notation Reference: (?!A\.12\.)[12A]\.")  # not how it is typed, nor mere text


def charts(roots: Roots) -> Iterator[Item]:
    """Plots of scikit-learn's and scikit-image's galleries, by section."""
    for package in ("python-sklearn-doc", "python-skimage-doc"):
        html = roots[package] / "usr/share/doc" / package / "html"
        for page in sorted((html / "auto_examples").rglob("*.html")):
            section = page.parent.relative_to(html / "auto_examples").as_posix()
            text = page.read_text(encoding="utf-8")
            for name in sorted(set(re.findall(r"_images/(sphx_glr_[\w-]+_\d+\.png)", text))):
                path = html / "_images" / name
                if section != "." and path.is_file():
                    yield of_file(path, f"{package.split('-')[1]}/{section}", html / "_images")


def screens(roots: Roots) -> Iterator[Item]:
    """GIMP's manual: dialogs, menus, tools and examples of filters, by folder."""
    root = roots["gimp-help-en"] / "usr/share/gimp/2.0/help/en/images"
    for path in sorted(root.rglob("*")):
        folder = path.parent.relative_to(root).as_posix()
        if path.suffix in {".png", ".jpg"} and folder != "." and not path.is_symlink():
            yield of_file(path, folder, root)


def parts(roots: Roots) -> Iterator[Item]:
    """Fritzing's electronic parts, as drawn on a breadboard, in a circuit and on a board, by view and family."""
    root = roots["fritzing-parts"] / "usr/share/fritzing/parts"
    seen: set[str] = set()
    for description in sorted((root / "core").glob("*.fzp")):
        text = description.read_text(encoding="utf-8", errors="replace")
        family = re.search(r'<property name="family">\s*(.*?)\s*</property>', text)
        for view in VIEWS:
            drawing = re.search(rf'<{view}View>\s*<layers image="(.*?)"', text)
            if family is None or drawing is None or drawing[1] in seen:
                continue
            seen.add(drawing[1])
            path = root / "svg/core" / drawing[1]
            if path.is_file():
                yield of_file(path, f"{view}/{plain(family[1])}", root / "svg/core")


def plain(family: str) -> str:
    """A family's name as a folder's: ``SparkFun LED (SMD)`` is ``sparkfun led smd``."""
    return " ".join(re.findall(r"[\w.]+", family.lower()))


def furniture(roots: Roots) -> Iterator[Item]:
    """Sweet Home 3D's models as drawn in its catalogue, by category."""
    root = roots["sweethome3d-furniture"] / "usr/share/sweethome3d/furniture"
    for library in sorted(root.glob("*.sh3f")):
        with zipfile.ZipFile(library) as archive:
            text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
            for number, category in re.findall(r"^category#(\d+)=(.*?)\s*$", text, re.MULTILINE):
                icon = re.search(rf"^icon#{number}=/?(.*?)\s*$", text, re.MULTILINE)
                if icon and icon[1] in archive.namelist():
                    name = f"{library.stem}/{number}-{Path(icon[1]).stem}"
                    yield Item(label=category, name=name, data=archive.read(icon[1]))


def scores(roots: Roots) -> Iterator[Item]:
    """Music engraved by LilyPond, by the page of its reference: beams, figured-bass; the first page that shows it."""
    html, pictures = (
        roots[package] / "usr/share/doc/lilypond/html/Documentation"
        for package in ("lilypond-doc-html", "lilypond-doc")
    )
    seen: set[str] = set()
    for page in sorted((html / "notation").glob("*.html")):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r'src="\.\./(\w\w/lily-\w+\.png)"', text) if NOTATION.search(text) else ():
            path = pictures / name
            if name not in seen and path.is_file():
                seen.add(name)
                yield of_file(path, page.stem, pictures)
