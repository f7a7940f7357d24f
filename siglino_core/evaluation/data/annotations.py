"""Files that tell of images: where they are, their text, and what to say of one that is not there."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.pools.location import Location, find, public_url
from siglino_core.store.files import reported

MOST = 4 << 30  # bytes; the largest in use, COCO's instances of its training images, has 450 MB


@dataclass(frozen=True, kw_only=True)
class Text:
    """A file's text.

    Attributes:
        digest: SHA-256 of its bytes.
        location: the folder that it lies in.
    """

    url: str
    text: str
    digest: str
    location: Location


@contextlib.contextmanager
def named(setting: str) -> Iterator[None]:
    """What the pools' readers say of their own settings inside, they say of a data set's: ``setting`` is its uri."""
    try:
        yield
    except (ConfigError, DataError, StoreError) as e:
        e.args = tuple(str(a).replace("source.uri", setting).replace("source.", "") for a in e.args)
        raise


def read_text(uri: str, setting: str = "annotations") -> Text:
    """A text file on any fsspec URL, read whole; UTF-8, with or without a mark at its beginning.

    Args:
        setting: that names it, for messages.

    Raises:
        DataError: it is not there, a folder, too long, or no text.
        StoreError: the store does not answer.
    """
    with named(setting):
        location, listing = find(uri)
    if len(listing.sizes) != 1 or next(iter(listing.sizes)) != public_url(uri).rstrip("/").rpartition("/")[2]:
        raise DataError(f"{setting}={public_url(uri)}: it is a folder or several files. Give one file.")
    name, size = next(iter(listing.sizes.items()))
    url = location.url(name)
    if size > MOST:
        raise DataError(f"{setting}={url}: {size} bytes are more than {MOST}. Give the file of one split.")
    with reported(url):
        data = location.read(name, MOST)
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError(f"{setting}={url} is no text in UTF-8 ({e.reason} at byte {e.start}). Convert it.") from e
    return Text(url=url, text=text, digest=hashlib.sha256(data).hexdigest(), location=location)


def json_of(text: Text, without: frozenset[str] = frozenset()) -> Any:
    """The text's JSON.

    Args:
        without: keys of objects that are dropped as they are read, so that memory never holds them all.

    Raises:
        DataError: it is none.
    """

    def thin(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in without}

    try:
        return json.loads(text.text, object_pairs_hook=thin if without else None)
    except (ValueError, RecursionError) as e:
        raise DataError(f"annotations={text.url} is no JSON ({str(e)[:100]}). Fetch it again.") from e
