"""A finished stage of one run taken over by another: the same files under the same records, not made again."""

import os
from collections.abc import Iterable

from siglino_core.errors import StoreError
from siglino_core.store.files import Files, reported
from siglino_core.store.lease import Lease, folder
from siglino_core.store.records import MANIFEST, PLAN
from siglino_core.store.stage import Stage


def adopt(stage: Stage, of: Stage) -> bool:
    """Take over a finished stage where nothing was begun; whether it was.

    On one local disk files are linked, so that they take no room: a stage never changes a file, it puts another in its
    place. On one object store they are copied by the store. Plan and manifest come last: a kill leaves files that the
    next attempt takes for its own, or the stage itself, by their commits. Whether it is what the run asks for is judged
    by the stage when it begins, by its fingerprint, and its files are hashed before they are read.

    Args:
        stage: where it is to be.
        of: the finished one, in another run of the same kind of store.

    Raises:
        StoreError: the stores are of two kinds, another process is at work there, or a file cannot be copied.
    """
    if (stage.files.local is None) != (of.files.local is None):
        raise StoreError(f"{stage.files.url} cannot take over {of.files.url}: one of the two is on this machine's disk")
    if of.manifest() is None or _begun(stage):
        return False
    taken = Lease.take(folder(stage.run.url, stage.name), stage.files.url)
    try:
        if _begun(stage):
            return False
        names = list(of.files.sizes())
        for some in ([name for name in names if name not in (MANIFEST, PLAN)], [PLAN], [MANIFEST]):
            _copy(stage.files, of.files, some)
        return True
    finally:
        taken.release()


def _begun(stage: Stage) -> bool:
    return stage.files.exists(PLAN) or stage.files.exists(MANIFEST)


def _copy(to: Files, of: Files, names: Iterable[str]) -> None:
    if to.local is None or of.local is None:
        to.copy_from(of, names)
        return
    for name in names:
        target = to.local / name
        with reported(f"{to.url}/{name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(of.local / name, target)
            except FileExistsError:  # of an attempt that was killed
                continue
            except OSError:  # another disk, or one without links
                to.put(name, of.read(name))
