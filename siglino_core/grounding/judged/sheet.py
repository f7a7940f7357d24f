"""Some answers side by side in one picture, each over its expression: what a fine-tuning came to, at a glance."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from siglino_core.foreign import printable

SIDE, GAP, LINE, COLUMNS = 256, 12, 22, 4  # pixels of a picture, between them, of a line of text; pictures a row
TEXT = 40  # characters of a line
INK, PAPER, RIGHT, WRONG = (29, 36, 51), (255, 255, 255), (46, 125, 80), (176, 60, 48)


def sheet(tiles: Sequence[tuple[bytes, str, str, bool]]) -> bytes:
    """The picture, as JPEG.

    Args:
        tiles: at least one: an encoded picture with the answer drawn, the expression, what is said of the answer, and
            whether it is right.
    """
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step = SIDE + GAP, SIDE + 2 * LINE + GAP
    canvas = Image.new("RGB", (columns * step[0] + GAP, rows * step[1] + GAP), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    for i, (data, text, said, right) in enumerate(tiles):
        x, y = GAP + (i % columns) * step[0], GAP + (i // columns) * step[1]
        with Image.open(io.BytesIO(data)) as picture:
            picture.thumbnail((SIDE, SIDE))
            canvas.paste(picture, (x + (SIDE - picture.width) // 2, y + (SIDE - picture.height) // 2))
        pen.text((x, y + SIDE + 2), printable(text, TEXT), font=font, fill=INK)
        pen.text((x, y + SIDE + LINE), printable(said, TEXT), font=font, fill=RIGHT if right else WRONG)
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=90, subsampling=0)
    return out.getvalue()
