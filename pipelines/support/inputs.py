"""What a stage reads is hashed against its commit records before it is read: once in an invocation."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipelines.support.runtime import map_shards
from siglino_core.config import Runner, RuntimeConfig
from siglino_core.errors import DamagedError
from siglino_core.foreign import word
from siglino_core.store import Shard, Stage
from siglino_core.store.intact import damaged

LARGE = 8 << 30  # bytes from which workers help
A_UNIT = 64  # files that one of them hashes

_checked: set[tuple[str, str]] = set()  # in this invocation: (URL, SHA-256)


def forget() -> None:
    """Begin a new invocation: everything is looked at again."""
    _checked.clear()


def check(runtime: RuntimeConfig, stage: Stage, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Hash what is about to be read of a finished stage.

    Args:
        wanted: which files are.

    Raises:
        DamagedError: a file is gone, or holds other bytes than were committed; it names all of them.
        StoreError: the stage is not finished, or the store cannot be reached.
    """
    files, url = stage.require().files, stage.files.url
    new = {n: e for n, e in files.items() if wanted(n) and (f"{url}/{n}", e[1]) not in _checked}
    if runtime.check_inputs < 1:  # others each time
        new = {n: new[n] for n in random.sample(sorted(new), round(len(new) * runtime.check_inputs))}
    bad: list[str] = []
    if sum(e[0] for e in new.values()) < LARGE or runtime.runner is Runner.LOCAL:
        bad = list(damaged(stage.files, new))
    else:
        names = list(new)
        units = [{"name": f"check-{i}", "files": names[i : i + A_UNIT]} for i in range(0, len(names), A_UNIT)]
        for found in map_shards(partial(_checked_unit, stage), units, runtime):
            bad += found["damaged"]
    if bad:
        raise DamagedError(_said(stage, sorted(bad)))
    _checked.update((f"{url}/{n}", e[1]) for n, e in new.items())


def _checked_unit(stage: Stage, unit: Shard) -> dict[str, Any]:
    files = stage.require().files
    return {"damaged": list(damaged(stage.files, {n: files[n] for n in unit["files"]}))}


def _said(stage: Stage, bad: Sequence[str]) -> str:
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return (
        f"{stage.files.url}: {', '.join(bad[:3])}{more}: not the bytes that were written, or gone. "
        f"`siglino verify {word(stage.run.url)} {stage.name} --mend` makes only their shards again."
    )
