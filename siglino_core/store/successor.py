"""A stage that is made anew beside the one that stands, and put in its place once it is whole.

Its successor lies in ``<run>/.redo/<stage>`` and is a stage like any other; its plan says of which generation it is,
one more than the one that stands. At every moment one of the two is whole: on a local disk folders change places in one
step where the system can, on an object store the successor's manifest goes last.
"""

import ctypes
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.store.files import Files, reported
from siglino_core.store.records import MANIFEST, PLAN

FOLDER = ".redo"
REPLACED = ".replaced"  # after a folder's name: on its way out


def settle(home: Files, successor: Files) -> None:
    """Put a whole successor in its place, or drop what is left of one that was. After a kill, safe to repeat.

    Only the owner of the stage may do it. A successor that is not whole stays as it is.
    """
    with reported(home.url):
        if successor.local is not None:
            _drop(_replaced(successor.local))
        begun = successor.sizes()
        if not begun:
            return
        ahead = generation(successor) - generation(home)
        stands = home.exists(MANIFEST)
        if MANIFEST in begun and (ahead > 0 or (ahead == 0 and not stands)):  # equal: a copy that did not end
            _exchange(home, successor)
        elif PLAN not in begun or ahead < 0 or (ahead == 0 and stands):
            _clear(successor)


def is_settled(successor: Files) -> bool:
    """Whether :func:`settle` would find nothing to do: there is nothing, or what is not whole."""
    if successor.local is not None and _replaced(successor.local).exists():
        return False
    begun = successor.sizes()
    return not begun or (PLAN in begun and MANIFEST not in begun)


def generation(files: Files) -> int:
    """How many times a stage was made anew before this; -1: there is no plan. A damaged one comes after all others."""
    try:
        plan = files.read_record(PLAN)
    except DamagedError:
        return 1 << 62
    except ConfigError:  # an earlier version's, which knew none
        return 0
    return -1 if plan is None else int(plan.get("generation", 0))


def _exchange(home: Files, successor: Files) -> None:
    if home.local is not None and successor.local is not None:
        if not home.local.exists():
            home.local.parent.mkdir(parents=True, exist_ok=True)
            os.rename(successor.local, home.local)
        elif not _swapped(home.local, successor.local):
            replaced = _replaced(successor.local)
            os.rename(home.local, replaced)
            os.rename(successor.local, home.local)
            _drop(replaced)
        _clear(successor)
        return
    home.delete([MANIFEST])
    home.delete(home.sizes())
    names = successor.sizes()
    home.copy_from(successor, [n for n in names if n != MANIFEST])
    arrived = home.sizes()
    if lacking := [n for n, size in names.items() if n != MANIFEST and arrived.get(n) != size]:
        raise StoreError(
            f"{home.url}/{lacking[0]} did not arrive whole from {successor.url}. Run again: it is copied anew."
        )
    home.copy_from(successor, [MANIFEST])
    _clear(successor)


def _clear(successor: Files) -> None:
    """Delete it, the plan first: what is left after a kill is no stage."""
    if successor.local is not None:
        replaced = _replaced(successor.local)
        if successor.local.exists():
            os.rename(successor.local, replaced)
        _drop(replaced)
        return
    for names in ([PLAN], [MANIFEST], successor.sizes()):
        successor.delete(names)


def _replaced(folder: Path) -> Path:
    return folder.with_name(folder.name + REPLACED)


def _drop(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # not there, or another stage's successor is in it
        folder.parent.rmdir()


def _swapped(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot (macOS, NFS)."""
    if sys.platform != "linux":
        return False
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0
