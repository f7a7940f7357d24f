"""Files of a store as a folder of this machine."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from siglino_core.store.files import Files, reported


@contextmanager
def fetched(files: Files, names: Sequence[str]) -> Iterator[Path]:
    """The folder in which ``names`` lie: their own, or a copy for the time of use.

    Raises:
        StoreError: one of them is gone, or the store failed.
    """
    if files.local is not None:
        yield files.local
        return
    with tempfile.TemporaryDirectory(prefix="siglino-") as scratch:
        for name in names:
            target = Path(scratch, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with reported(f"{files.url}/{name}"), files.open(name) as remote, target.open("wb") as local:
                shutil.copyfileobj(remote, local, 1 << 24)
        yield Path(scratch)
