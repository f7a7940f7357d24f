"""The pools' builders: which pictures of a package belong to a pool, and under which label."""

import gzip
import io
import json
import re
import shutil
import sqlite3
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pools import arrays, figures, games, items, judged, lessons, photographs, signs
from scripts.pools.__main__ import __file__ as MAIN
from scripts.pools.items import Item
from scripts.pools.registry import POOLS
from siglino_core.config import LabelFolder, SourceConfig
from siglino_core.pools.labels import folder_label
from tests.pictures import encode, picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="20" height="20" fill="red"/></svg>'


def item(seed: int, label: str = "a/b", name: str = "") -> Item:
    return Item(label=label, name=name or f"{seed}.jpeg", data=picture(seed))


def test_labels_of_fewer_than_four_images_and_exact_copies_are_left_out(tmp_path: Path) -> None:
    found = [*(item(i) for i in range(5)), item(0, name="again.jpeg"), *(item(i, "few") for i in range(10, 13))]
    assert items.write(found, tmp_path) == {"a/b": 5}
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg")) == [
        f"a__b/{i}.jpg" for i in range(5)
    ]


def test_images_of_one_name_are_all_written(tmp_path: Path) -> None:
    names = ["x/y.jpeg", "x__y.jpeg", "x/y.jpg", "z.jpg"]
    items.write([item(i, name=name) for i, name in enumerate(names)], tmp_path)
    assert len(list(tmp_path.rglob("*.jpg"))) == 4


def test_the_source_stage_reads_the_label_from_the_folder(tmp_path: Path) -> None:
    items.write([item(i, "train/data") for i in range(4)], tmp_path)
    config = SourceConfig(label_folder=LabelFolder.FIRST)
    labels = {folder_label(p.relative_to(tmp_path).as_posix(), config) for p in tmp_path.rglob("*.jpg")}
    assert labels == {"train__data"}


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (Image.new("RGB", (40, 40), "navy"), False),
        (Image.new("RGBA", (40, 40), (0, 0, 0, 0)), False),  # nothing on white
        (Image.new("RGBA", (40, 40), (255, 255, 255, 128)), False),
        (Image.linear_gradient("L"), True),
        (Image.linear_gradient("L").resize((256, 15)), False),  # too small for the product
    ],
)
def test_what_shows_nothing_is_no_image(image: Image.Image, seen: bool) -> None:
    assert items.is_visible(encode(image, "png")) is seen


def test_what_does_not_decode_is_no_image() -> None:
    assert not items.is_visible(b"GIF89a")
    assert not items.is_visible(picture(0)[:200])


@pytest.mark.skipif(shutil.which(items.RASTERISER) is None, reason="rsvg-convert is not installed")
@pytest.mark.parametrize("data", [SVG, gzip.compress(SVG)], ids=["plain", "gzipped"])
def test_a_drawing_is_rasterised_with_its_shape_and_colours(data: bytes) -> None:
    assert items.is_drawing(data)
    png = items.rasterise(data)
    assert png is not None
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (256, 128)
        assert image.convert("RGBA").getpixel((64, 64)) == (255, 0, 0, 255)
        assert image.convert("RGBA").getpixel((192, 64))[3] == 0  # type: ignore[index]


@pytest.mark.skipif(shutil.which(items.RASTERISER) is None, reason="rsvg-convert is not installed")
def test_a_broken_drawing_is_none() -> None:
    assert items.rasterise(SVG[:60]) is None


def test_images_are_no_drawings() -> None:
    assert not any(items.is_drawing(picture(0, kind)) for kind in ("jpeg", "png", "webp"))


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("desert10", "desert"), ("beach8-sfiera", "beach"), ("laser+1", "laser"), ("bombardment~0", "bombardment"),
        ("bullet-0", "bullet"), ("drak bolt+0", "drak bolt"), ("europa", "europa"), ("2x laser+0", "2x laser+0"),
    ],
)  # fmt: skip
def test_a_series_is_known_by_its_name(stem: str, kind: str) -> None:
    assert games.kind(stem) == kind


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("m1dumont", "M001"), ("m101", "M101"), ("n7000-dss", "NGC7000"), ("n40", "NGC0040"), ("ic405-vasey", "IC0405"),
        ("u3697", "UGC03697"), ("abell31", None), ("Medusa-vasey", None),
    ],
)  # fmt: skip
def test_a_photograph_is_named_after_its_object(stem: str, name: str | None) -> None:
    assert photographs.designation(stem) == name


def test_an_object_has_a_type_and_a_galaxy_its_class() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(
        """
        CREATE TABLE objTypes (type, typedesc);
        CREATE TABLE objects (name, type, hubble, messier, ngc, ic);
        CREATE TABLE objIdentifiers (name, identifier);
        INSERT INTO objTypes VALUES ('G', 'Galaxy'), ('PN', 'Planetary Nebula'), ('Dup', 'Duplicated record');
        INSERT INTO objects VALUES ('NGC0001', 'G', 'Sbc', '', '', ''), ('NGC0002', 'G', 'E-S0', '002', '', ''),
            ('NGC0003', 'PN', '', '', '', ''), ('IC0004', 'Dup', '', '', '0003', ''), ('IC0005', 'Dup', '', '', '', '');
        INSERT INTO objIdentifiers VALUES ('NGC0001', 'UGC00007');
        """
    )
    names = ["NGC0001", "UGC00007", "M002", "NGC0003", "IC0004", "IC0005", "NGC0009"]
    assert [photographs.kind_of(database, name) for name in names] == [
        "Galaxy Sb", "Galaxy Sb", "Galaxy E", "Planetary Nebula", "Planetary Nebula", None, None,
    ]  # fmt: skip


def test_a_deck_is_cut_into_its_cards_and_the_last_row_is_none() -> None:
    sheet = np.zeros((50, 130, 3), np.uint8)
    for row in range(5):
        for column in range(13):
            sheet[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10] = (row * 50, column * 10, 7)
    found = list(signs.cut(encode(Image.fromarray(sheet), "png")))
    assert Counter(suit for suit, _, _ in found) == dict.fromkeys(signs.SUITS, 13)
    for suit, rank, data in found:
        with Image.open(io.BytesIO(data)) as card:
            assert card.getcolors() == [(100, (signs.SUITS.index(suit) * 50, rank * 10 - 10, 7))]


def test_icons_are_told_by_context_and_first_word_in_some_sizes(tmp_path: Path) -> None:
    roots = {package: tmp_path / package for package in signs.THEMES}
    oxygen, tango = (roots[p] / signs.THEMES[p] for p in ("oxygen-icon-theme", "tango-icon-theme"))
    files = [
        oxygen / "48x48/actions/go-next.png", oxygen / "22x22/actions/go-next.png", oxygen / "index.png",
        tango / "scalable/places/folder_open.svg",
    ]  # fmt: skip
    for i, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    (oxygen / "48x48/actions/link.png").symlink_to(files[0])
    assert [(i.label, i.name) for i in signs.icons(roots)] == [
        ("actions/go", "oxygen-icon-theme/48x48/actions/go-next.png"),
        ("places/folder", "tango-icon-theme/scalable/places/folder_open.svg"),
    ]


def test_flags_are_told_by_country_or_continent(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/kgeography"
    for i, name in enumerate(["flags/chad.png", "flags/nowhere.png", "flags/italy/veneto.png", "africa.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(i))
    (root / "africa.kgm").write_text("<division><name>Chad</name>\n<flag>chad.png</flag></division>")
    found = signs.flags({"kgeography-data": tmp_path})
    assert [i.label for i in found] == ["flag/africa", "flag/italy", "map"]


def test_parts_are_told_by_view_and_family_and_a_drawing_counts_once(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/fritzing/parts"
    for name in ("breadboard/led.svg", "pcb/led.svg"):
        (root / "svg/core" / name).parent.mkdir(parents=True)
        (root / "svg/core" / name).write_bytes(SVG)
    (root / "core").mkdir()
    text = '<property name="family">LED (SMD)</property>' + "".join(
        f'<{view}View>\n <layers image="{view}/led.svg">' for view in figures.VIEWS
    )
    for name in ("a.fzp", "b.fzp"):
        (root / "core" / name).write_text(text)
    found = figures.parts({"fritzing-parts": tmp_path})
    assert [i.label for i in found] == ["breadboard/led smd", "pcb/led smd"]


def test_a_chart_belongs_to_the_section_whose_page_shows_it(tmp_path: Path) -> None:
    roots = {name: tmp_path / name for name in ("python-sklearn-doc", "python-skimage-doc")}
    html = roots["python-sklearn-doc"] / "usr/share/doc/python-sklearn-doc/html"
    (html / "auto_examples/svm").mkdir(parents=True)
    (html / "_images").mkdir()
    shown = '<img src="../../_images/sphx_glr_plot_svm_001.png"/><img src="_images/sphx_glr_plot_svm_thumb.png"/>'
    (html / "auto_examples/svm/plot_svm.html").write_text(shown)
    (html / "auto_examples/index.html").write_text(shown)
    (html / "_images/sphx_glr_plot_svm_001.png").write_bytes(picture(0))
    assert [i.label for i in figures.charts(roots)] == ["sklearn/svm"]


def bundle(files: dict[str, bytes], version: int = 3, flags: int = 1) -> bytes:
    """A bundle as Qt's rcc writes it; every second file is compressed."""
    folders: list[tuple[str, ...]] = [()]
    for name in files:
        parts = tuple(name.split("/"))
        folders += [parts[:i] for i in range(1, len(parts) + 1) if parts[:i] not in folders]
    folders.sort(key=lambda path: (len(path), path))  # an entry's children follow each other
    tree, contents, names = b"", b"", b""
    for number, path in enumerate(folders):
        children = [i for i, other in enumerate(folders) if other[:-1] == path and other]
        if children:
            entry = struct.pack(">IHII", len(names), 2, len(children), children[0])
        else:
            data, pressed = files["/".join(path)], flags if number % 2 else 0
            stored = struct.pack(">I", len(data)) + zlib.compress(data) if pressed else data
            entry = struct.pack(">IHII", len(names), pressed, 0, len(contents))
            contents += struct.pack(">I", len(stored)) + stored
        tree += entry + b"\0" * (8 if version > 1 else 0)
        name = path[-1] if path else ""
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    at = 24
    starts = (version, at, at + len(tree), at + len(tree) + len(contents))
    return b"qres" + struct.pack(">5I", *starts, 0) + tree + contents + names


@pytest.mark.parametrize("version", [1, 3])
def test_a_bundle_gives_its_files(version: int) -> None:
    files = {"a/b/c.svg": b"one", "a/b/d.svg": b"two" * 50, "a/e.webp": b"three", "f/gé.webp": b"", "h": b"five"}
    assert dict(lessons.unbundle(bundle(files, version))) == files


def test_what_is_no_bundle_or_compressed_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="not a bundle"):
        list(lessons.unbundle(b"PK" + bytes(40)))
    with pytest.raises(ValueError, match="a: compressed by zstd"):
        list(lessons.unbundle(bundle({"a": b"one"}, flags=4)))


def test_drawings_and_photographs_of_lessons_are_told_by_activity_and_folder(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/gcompris-qt/rcc"
    root.mkdir(parents=True)
    start = "gcompris/src/activities"
    names = [
        f"{start}/crane/resource/letters/a.svg", f"{start}/crane/resource/letters/a.ogg", f"{start}/erase/erase.svgz",
        f"{start}/erase/resource/cow.webp", f"{start}/geography/resource/asia/map.svg",
        "gcompris/src/core/resource/x.svg", f"{start}/lang/resource/words/apple.webp",
        f"{start}/paintings/resource/image/GreatWave_c2.webp", f"{start}/categorization/resource/images/fishes/1.webp",
    ]  # fmt: skip
    (root / "all.rcc").write_bytes(bundle(dict.fromkeys(names, SVG)))
    roots = {"gcompris-qt-data": tmp_path}
    assert {(i.label, i.name) for i in lessons.lessons(roots)} == {("crane/letters", names[0]), ("erase", names[2])}
    photos = {i.label for i in lessons.photos(roots)}
    assert photos == {"erase", "paintings/GreatWave", "categorization/fishes"}


@pytest.mark.parametrize(
    ("stem", "of"),
    [
        ("GreatWave_c2", "GreatWave"), ("renoir-filles_piano-3", "renoir-filles_piano"), ("Gogh4_11", "Gogh4"),
        ("TajMahal_background", "TajMahal"), ("Louvre_2007_02_24_c_0", "Louvre_2007_02_24_c"),
    ],
)  # fmt: skip
def test_a_piece_is_known_by_the_whole(stem: str, of: str) -> None:
    assert lessons.whole(stem) == of


def test_a_settlement_is_told_by_what_stands_there_and_an_action_gives_one_frame(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/unknown-horizons/content/gfx"
    files = [
        "buildings/sailors/as_hut2/idle/45/000.png", "buildings/sailors/as_hut2/idle/135/000.png",
        "buildings/sailors/as_hut2/idle/45/001.png", "buildings/placeholder/as_3x3/idle/45/000.png",
        "base/moderate/ts_beach0/straight/45/000.png", "misc/as_fire0/idle/45/000.png", "atlas/000.png",
        "terrain/as_mine5x50/idle/45/000.png",
    ]  # fmt: skip
    for i, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(i))
    found = games.town({"unknown-horizons": tmp_path})
    assert sorted((i.label, i.name) for i in found) == [
        ("base/beach", files[4]), ("buildings/hut", files[1]), ("buildings/hut", files[0]), ("terrain/mine", files[7]),
    ]  # fmt: skip


def test_a_surface_is_told_by_folder_and_first_word_and_its_shading_is_no_picture(tmp_path: Path) -> None:
    root = tmp_path / "usr/share/games/ufoai/base"
    root.mkdir(parents=True)
    names = [
        "textures/tex_nature/grass001.jpg", "textures/tex_nature/grass001_nm.png", "textures/tex_misc/e_box_red.png",
        "textures/tex_misc/001.png", "textures/readme.txt",
    ]  # fmt: skip
    with zipfile.ZipFile(root / "0textures.pk3", "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, picture(i))
    found = [(i.label, i.name) for i in games.surfaces({"ufoai-textures": tmp_path})]
    assert found == [("misc/box", names[2]), ("nature/grass", names[0])]


def test_a_thumbnail_is_the_whole_image_on_white() -> None:
    image = Image.new("RGBA", (64, 20), (0, 0, 0, 0))
    image.paste("red", (32, 0, 64, 20))
    small = arrays.thumbnail(encode(image, "png"))
    assert small.shape == (32, 32, 3)
    assert small.dtype == np.uint8
    assert (small[:, :12] == 255).all()
    assert (small[:, 20:] == (255, 0, 0)).all()


def test_the_readme_has_a_row_for_every_pool_with_its_packages() -> None:
    text = Path(MAIN).with_name("README.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(" `"): row for row in text.splitlines() if re.match(r"\| `", row)}
    assert rows.keys() == POOLS.keys()
    for name, pool in POOLS.items():
        assert all(p.name in rows[name] and p.version in rows[name] for p in pool.packages), name
        assert ("| yes |" in rows[name]) is pool.fresh, name


def test_a_ready_line_says_images_and_labels(tmp_path: Path) -> None:
    from scripts.pools.__main__ import say_ready

    say_ready(tmp_path, "a", 5, 2)
    say_ready(tmp_path, "b", 6, 3)
    say_ready(tmp_path, "a", 7, 2)
    assert (tmp_path / "READY").read_text() == "b 6 3\na 7 2\n"


def test_a_pool_is_judged_by_the_command_and_its_rows_replace_those_before(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    folder = tmp_path / "drawn"
    folder.mkdir()
    for network in arrays.ENCODERS:
        np.save(folder / f"{network}.npy", draw.standard_normal((240, 8)).astype(np.float32))
    np.save(folder / "labels.npy", np.array([f"label {i % 6}" for i in range(240)]))
    np.save(folder / "pixels.npy", draw.integers(0, 256, (240, 4, 4, 3), np.uint8))
    made = judged.judge(folder, seeds=2)
    stands = [path.stat().st_mtime_ns for path in made]
    assert [path.stat().st_mtime_ns for path in judged.judge(folder, seeds=2)] == stands
    found = json.loads(made[0].read_text())
    rows = judged.rows_of("drawn", "lite0", found)
    assert {row["method"] for row in rows} >= {"default", "random", "deduplicated", "facility_location"}
    assert all(row["target"] == 22 and len(row["figures"]["probe"]) == 2 for row in rows)
    path = tmp_path / "rows.jsonl"
    judged.write_rows(rows, path)
    judged.write_rows([{**row, "pool": "other"} for row in rows], path)
    judged.write_rows(rows, path)
    assert [row["pool"] for row in judged.read_rows(path)] == ["other"] * len(rows) + ["drawn"] * len(rows)
