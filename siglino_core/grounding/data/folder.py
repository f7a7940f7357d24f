"""A folder of images that a file of annotations names: each is found by its path or name, and read within bounds."""

from collections.abc import Sequence

from siglino_core.errors import DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.foreign import printable
from siglino_core.grounding.data.encoded import MAX_BYTES
from siglino_core.hashing import fingerprint
from siglino_core.pools.location import find


class Folder:
    """The files under a folder or URL."""

    def __init__(self, uri: str) -> None:
        """List it.

        Raises:
            ConfigError, DataError: it is no folder that can be read, or nothing is there.
            StoreError: the store does not answer.
        """
        with named("images"):
            self._location, listing = find(uri)
        self._there = listing.sizes
        self._by_name: dict[str, list[str]] = {}
        for path in listing.sizes:
            self._by_name.setdefault(path.rpartition("/")[2], []).append(path)

    @property
    def listing(self) -> str:
        """What the folder consists of, in a line that changes with any name or size."""
        return f"{len(self._there)} files, listing {fingerprint(list(self._there.items()))}"

    def require(self, files: Sequence[str]) -> None:
        """Raises DataError, with how many and which first, unless all the files are there."""
        missing = [file for file in files if self._place(file) is None]
        if missing:
            raise DataError(
                f"images={self._location.public}: {len(missing)} of the {len(files)} images are not there, the first "
                f"is {printable(missing[0], 200)}. Give the folder that holds them all (COCO's train2014 for RefCOCO)."
            )

    def read(self, file: str) -> bytes:
        """The file's bytes.

        Raises:
            DataError: it is not there, or has more than `encoded.MAX_BYTES` bytes.
            UnreadableError, StoreError: it cannot be read.
        """
        place = self._place(file)
        if place is None:
            self.require([file])
            raise AssertionError
        data = self._location.read(place, MAX_BYTES)
        if len(data) > MAX_BYTES:
            raise DataError(f"{self._location.url(place)} has more than {MAX_BYTES} bytes. Leave it out.")
        return data

    def _place(self, file: str) -> str | None:
        """Its own path, or anywhere below, where one file alone has its name."""
        if file in self._there:
            return file
        same = self._by_name.get(file.rpartition("/")[2], [])
        return same[0] if len(same) == 1 else None
