"""Which text belongs to which image: files, or members of a tar, by their names alone, in any order."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from siglino_core.pools.record import CAPTION_NAMES, is_image, suffix

KINDS = {"txt": "txt", "text": "txt", "caption": "txt", "json": "json", "cls": "cls"}
"""The suffixes of texts, and what is in them: a caption, an object of values, a class."""
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_FIELDS = 4  # parts of a name that may say what a file of a sample is, as `seg` in scene.seg.png

OTHER_IMAGE = "other_image_of_a_sample"
NO_IMAGE = "text_without_image"


@dataclass(frozen=True)
class Joined:
    """What belongs together.

    Attributes:
        images: of every image the texts, by kind (txt, json, cls).
        passed: names that are left out, and why: :data:`OTHER_IMAGE`, :data:`NO_IMAGE`, or what kind of file it is.
    """

    images: dict[str, dict[str, str]] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)


def join(names: Iterable[str], member: str = "") -> Joined:
    """Give every image its texts.

    A text belongs to the images of its own name up to the suffix: 22.05.txt to 22.05.png. Where there is none, it
    belongs to those whose names go on after it: scene.txt to scene.left.jpg and scene.right.jpg. An image whose name
    goes on after another's, and that has no text, is a mask or the like of that one, and is left out.

    Args:
        member: the images' names must end like this, as ``jpg`` or ``seg.png``; empty: any image.
    """
    names = list(names)
    wanted = f".{member.lower()}" if member else ""
    images: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    passed: dict[str, str] = {}
    for name in names:
        if is_image(name):
            if name.lower().endswith(wanted):
                images[stem(name)].append(name)
            else:
                passed[name] = OTHER_IMAGE
        elif suffix(name) in KINDS:
            texts[stem(name)].setdefault(KINDS[suffix(name)], name)
        else:
            passed[name] = f"{suffix(name) or 'other'}_file"
    _move_named_captions(images, texts)
    joined, used = {}, set()
    for own, of_stem in images.items():
        above = list(_shorter(own))
        if not texts.get(own) and any(short in images for short in above):
            passed |= dict.fromkeys(of_stem, OTHER_IMAGE)
            continue
        found = dict(texts.get(own, {}))
        for short in above:
            if short not in images:
                found = {**texts.get(short, {}), **found}
        used |= set(found.values())
        joined |= dict.fromkeys(of_stem, found)
    passed |= {n: NO_IMAGE for found in texts.values() for n in found.values() if n not in used}
    return Joined({n: joined[n] for n in names if n in joined}, passed)


def stem(name: str) -> str:
    """A name without its last suffix."""
    return name.rpartition(".")[0] if suffix(name) else name


def _shorter(own: str) -> Iterator[str]:
    """A stem without its last words: scene.left, then scene; a number after a dot is no word."""
    for _ in range(_FIELDS):
        folder, slash, base = own.rpartition("/")
        rest, dot, word = base.rpartition(".")
        if not dot or not rest or not _WORD.fullmatch(word):
            return
        own = folder + slash + rest
        yield own


def _move_named_captions(images: dict[str, list[str]], texts: dict[str, dict[str, str]]) -> None:
    """Give 0001.caption.txt to 0001.jpg: what stands before the suffix only says what is in it."""
    for own in [t for t in texts if t not in images]:
        short = next(_shorter(own), "")
        if short in images and own.rpartition(".")[2].lower() in CAPTION_NAMES and "txt" in texts[own]:
            texts[short].setdefault("txt", texts[own]["txt"])
