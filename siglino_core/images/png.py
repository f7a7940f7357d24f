"""A PNG's picture without what is written beside it: profiles, comments and other chunks that viewers pass over."""

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"}
_LONGEST_TEXT = 1 << 20


def picture_alone(data: bytes) -> bytes | None:
    """The same PNG with the chunks alone that decide its picture; None: there is nothing to leave out.

    Pillow refuses a whole image for a text chunk or a colour profile that is long or damaged.
    """
    if not data.startswith(SIGNATURE):
        return None
    kept, at, left_out = [SIGNATURE], len(SIGNATURE), False
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunk, name = data[at:end], data[at + 4 : at + 8]
        if name in _PICTURE or (_tells_orientation(name, chunk) and _whole(chunk)):
            kept.append(chunk)
        else:
            left_out = True
        at = end
    kept.append(data[at:])
    return b"".join(kept) if left_out else None


def _tells_orientation(name: bytes, chunk: bytes) -> bool:
    xmp = name == b"iTXt" and chunk[8:27].startswith(b"XML:com.adobe.xmp\0\0") and len(chunk) <= _LONGEST_TEXT
    return xmp or name == b"eXIf"


def _whole(chunk: bytes) -> bool:
    return int.from_bytes(chunk[-4:], "big") == zlib.crc32(chunk[4:-4])
