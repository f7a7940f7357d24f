"""Builders of pools: a game's units, symbols of maps, engraved music, and what stands along race tracks."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from scripts.pools import figures, games, items, signs, textures
from tests.pictures import picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="20" height="20" fill="red"/></svg>'


def test_a_unit_is_told_by_people_and_first_word_and_an_action_gives_one_frame(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/games/wesnoth/1.16/data/core/images/units"
    files = [
        "dwarves/lord.png", "dwarves/lord-attack-1.png", "dwarves/lord-attack-2.png", "dwarves/lord-se-attack1.png",
        "monsters/bear/bear-bite3.png", "random-dice.png",
    ]  # fmt: skip
    for i, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(i))
    found = games.units({"wesnoth-1.16-data": tmp_path})
    assert [(i.label, i.name) for i in found] == [
        ("dwarves/lord", files[1]), ("dwarves/lord", files[3]), ("dwarves/lord", files[0]), ("monsters/bear", files[4]),
    ]  # fmt: skip


def test_symbols_are_told_by_folder_and_come_from_the_program_once(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/josm"
    folder.mkdir(parents=True)
    names = [
        "images/presets/shop/book.svg",
        "images/presets/sport/golf/tee.svg",
        "images/presets/a.svg",
        "images/b.svg",
    ]
    with zipfile.ZipFile(folder / "josm-1.jar", "w") as archive:
        for name in [*names, "images/presets/shop/readme.txt"]:
            archive.writestr(name, SVG)
    (folder / "josm.jar").symlink_to("josm-1.jar")
    found = [(i.label, i.name) for i in signs.symbols({"josm": tmp_path})]
    assert found == [("shop", "shop/book.svg"), ("sport/golf", "sport/golf/tee.svg")]


def test_music_belongs_to_the_first_page_that_shows_it_and_pages_on_typing_are_left_out(tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in ("lilypond-doc", "lilypond-doc-html")}
    html, pictures = (
        root / "usr/share/doc/lilypond/html/Documentation"
        for root in (roots["lilypond-doc-html"], roots["lilypond-doc"])
    )
    (html / "notation").mkdir(parents=True)
    (pictures / "0a").mkdir(parents=True)
    shown = "".join(f'<img src="../0a/lily-{name}.png">' for name in "12")
    for page, number in {"align": "A.12.2", "beams": "1.2.4", "clefs": "A.11", "input": "3.1"}.items():
        text = f"<title>LilyPond Notation Reference: {number} Of it</title>{shown}"
        (html / "notation" / f"{page}.html").write_text(text)
    (pictures / "0a/lily-1.png").write_bytes(picture(1))
    assert [(i.label, i.name) for i in figures.scores(roots)] == [("beams", "0a/lily-1.png")]


@pytest.mark.parametrize(
    ("stem", "what"),
    [
        ("FRtree_n", "tree"), ("64PASS6", "bridge"), ("treeUGLIES02_n", "crowd"), ("TreeRNS4", "truck"),
        ("H15FRNT", "house"), ("tr-asphalt-both", "road"),
        ("shadow3", None), ("TRUCK06", "truck"), ("concrete_bump", None), ("env", None),
    ],
)  # fmt: skip
def test_what_stands_along_a_track_is_told_by_its_name(stem: str, what: str | None) -> None:
    assert textures.thing(stem) == what


def test_a_picture_along_a_track_counts_once_in_two_formats(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/games/torcs"
    (root / "data/textures").mkdir(parents=True)
    (root / "tracks/road").mkdir(parents=True)
    image = Image.effect_noise((32, 32), 90).convert("RGB")
    image.save(root / "data/textures/tree1.png")
    image.save(root / "tracks/road/tree1.rgb", format="SGI")
    (root / "tracks/road/tree2.png").write_bytes(b"broken")
    found = list(textures.trackside({"torcs-data": tmp_path}))
    assert [i.name for i in found] == ["data/textures/tree1.png", "tracks/road/tree1.rgb"]
    assert len(list(items.usable(found))) == 1
