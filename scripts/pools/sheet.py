"""A contact sheet: a few images of every label, to see that pictures and labels make sense."""

from pathlib import Path

from PIL import Image, ImageDraw

from scripts.demo.planted import flatten

TILE, COLUMNS, A_LABEL, MOST_LABELS = 72, 20, 5, 88


def draw(images: Path, out: Path) -> None:
    """Up to five images, evenly spaced in the order of names, of up to 88 labels, evenly spaced too."""
    folders = sorted(p for p in images.iterdir() if p.is_dir())
    folders = folders[:: -(-len(folders) // MOST_LABELS)]
    a_row = COLUMNS // A_LABEL
    sheet = Image.new("RGB", (COLUMNS * TILE, -(-len(folders) // a_row) * (TILE + 12)), "lightgrey")
    pen = ImageDraw.Draw(sheet)
    for number, folder in enumerate(folders):
        x, y = number % a_row * A_LABEL * TILE, number // a_row * (TILE + 12)
        files = sorted(folder.iterdir())
        pen.text((x + 2, y), f"{folder.name} ({len(files)})", fill="black")
        for place, path in enumerate(files[:: -(-len(files) // A_LABEL)]):
            with Image.open(path) as file:
                tile = flatten(file.convert("RGBA"))
            tile.thumbnail((TILE - 4, TILE - 4))
            sheet.paste(tile, (x + place * TILE, y + 12))
    sheet.save(out)
