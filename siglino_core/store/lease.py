"""Who changes a stage: one process at a time, and what became of one that is gone.

A lease is a numbered file in ``<run>/.lease/<stage>``, made by create-only writes, so that exactly one of many takes
it. Its owner writes it anew every few seconds. On the same machine an owner is alive as long as its process is; of one
on another machine that is believed while the file changes. Who takes over makes the next number.
"""

import _thread
import atexit
import os
import platform
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from siglino_core.errors import ConfigError, DamagedError, StoreError, UnreachableStoreError
from siglino_core.foreign import logger
from siglino_core.store import patience
from siglino_core.store.files import UNFINISHED, Files
from siglino_core.store.sealed import sealed

FOLDER = ".lease"
BEAT = 10.0  # seconds between two signs of life
RETRY = 2.0  # seconds until the next attempt, if one could not be given
EXPIRY = 60.0  # seconds without one, after which an owner on another machine is taken for dead
LOST = (
    f"another process took over, since the store had no sign of life of this one for {EXPIRY:.0f} seconds. What was "
    "committed stays."
)
GONE = "its lease is gone: its folder was deleted, or another process took over and is done. What was committed stays."
LOG = logger("siglino.store")

_held: dict[tuple[str, int], "Lease"] = {}  # by this process: of which stage, taken by which thread


class Lease:
    """The right to change a stage, from :meth:`take` to :meth:`release`."""

    def __init__(self, files: Files, what: str, number: int, record: dict[str, Any]) -> None:
        self._files, self._what, self._number, self._record = files, what, number, record
        self._hasty = Files(files.url, hasty=True)  # a sign of life that takes a minute is none
        self._key = files.url, threading.get_ident()
        self._over = threading.Event()
        self._lost = ""
        self._pid = os.getpid()
        threading.Thread(target=self._live, daemon=True, name=f"lease of {what}").start()

    @classmethod
    def take(cls, files: Files, what: str) -> "Lease":
        """Take it, or get the one that this thread holds already.

        Args:
            files: the lease's folder.
            what: the stage's URL, for people.

        Raises:
            StoreError: another process is at work there.
        """
        held = _held.get((files.url, threading.get_ident()))
        if held is not None:
            held.require()
            return held
        for attempt in range(10):
            number, record = _last(files)
            if record is not None and _alive(files, number, record, what):
                raise StoreError(_refusal(what, record))
            ours = _record()
            try:
                if files.create(_name(number + 1), sealed(ours)):
                    break  # else another was faster: it is looked at in its turn
            except StoreError as e:  # the folder went, with the one that gave its lease back
                if attempt == 9 or not isinstance(e.__cause__, FileNotFoundError):
                    raise
        else:
            raise StoreError(f"{what}: others take it and give it back all the time. Run again.")
        files.delete([_name(n) for n in _numbers(files) if n <= number])
        lease = cls(files, what, number + 1, ours)
        _held[lease._key] = lease
        return lease

    def require(self) -> None:
        """Refuse to go on without it.

        Raises:
            StoreError: it was lost: another process took over since no sign of life came through.
        """
        newest = max(_numbers(self._files), default=0)
        if self._lost or newest != self._number:
            self._lost = self._lost or _why_lost(newest)
            raise StoreError(f"{self._what}: {self._lost}")

    def release(self) -> None:
        """Give it back. Safe to repeat, and after it was lost."""
        if self._pid != os.getpid() or self._over.is_set():
            return
        self._over.set()
        _held.pop(self._key, None)
        with suppress(StoreError):  # it ends by itself then
            self._hasty.delete([_name(self._number)])
            if (local := self._files.local) is not None:
                for empty in (local / UNFINISHED, local, local.parent):
                    with suppress(OSError):  # another is in it
                        empty.rmdir()

    def _live(self) -> None:
        pause, last, newest = BEAT, time.monotonic(), self._number
        while not self._over.wait(pause):
            self._record["beat"] += 1
            try:
                newest = max(_numbers(self._hasty), default=0)
                if newest != self._number:
                    break
                self._hasty.put(_name(self._number), sealed(self._record))
                pause, last = BEAT, time.monotonic()
            except UnreachableStoreError as e:
                pause, silent = min(RETRY, BEAT), time.monotonic() - last
                if silent >= patience.NOTICE:
                    patience.tell(self._what, _silence(silent, e))
            except StoreError as e:
                LOG.warning("%s: no sign of life could be given: %s", self._what, e)
        if not self._over.is_set():
            self._lost = _why_lost(newest)
            LOG.error("%s: %s", self._what, self._lost)
            _thread.interrupt_main()


def _why_lost(newest: int) -> str:
    """In words, from the number of the newest lease that is there; 0: there is none."""
    return LOST if newest else GONE


def _silence(seconds: float, error: StoreError) -> str:
    then = " Another process may take over by now." if seconds > EXPIRY else ""
    return f"no sign of life of this process could be given for {seconds:.0f} s ({error.__cause__}).{then}"


def release_mine() -> None:
    """Give back what this thread holds: its work is over, however it ended."""
    for (_, thread), lease in list(_held.items()):
        if thread == threading.get_ident():
            lease.release()


def lost() -> str:
    """What is to be said of a lease of this process that another took over; empty: there is none."""
    return next((f"{lease._what}: {lease._lost}" for lease in list(_held.values()) if lease._lost), "")


@atexit.register
def release_all() -> None:
    """Give back what this process holds: it ends."""
    for lease in list(_held.values()):
        lease.release()


def folder(run_url: str, stage: str) -> Files:
    """Where the leases of a stage lie."""
    return Files(f"{run_url}/{FOLDER}/{stage}")


def require_free(run_url: str, stages: Sequence[str]) -> None:
    """Refuse to begin what another process is at.

    Raises:
        StoreError: a live process holds one of the stages.
    """
    for stage in stages:
        files = folder(run_url, stage)
        number, record = _last(files)
        if record is not None and (files.url, threading.get_ident()) not in _held:
            what = f"{run_url}/{stage}"
            if _alive(files, number, record, what):
                raise StoreError(_refusal(what, record))


def _last(files: Files) -> tuple[int, dict[str, Any] | None]:
    """The newest number, and its record; None: nobody holds it."""
    while True:
        number = max(_numbers(files), default=0)
        if number == 0:
            return 0, None
        try:
            record = files.read_record(_name(number))
        except (DamagedError, ConfigError):
            return number, {}  # it has an owner, whoever that is
        if record is not None:
            return number, record


def _numbers(files: Files) -> list[int]:
    return [int(n.removesuffix(".json")) for n in files.sizes() if n.removesuffix(".json").isdigit()]


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _record() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "thread": threading.get_ident(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "machine": _machine(),
        "started": _started(os.getpid()),
        "beat": 0,
    }


def _alive(files: Files, number: int, record: dict[str, Any], what: str) -> bool:
    """Whether its owner lives: seen at once on the same machine, else by waiting for its next sign of life."""
    if record.get("machine") == _machine():
        return record.get("started") is not None and _started(record["pid"]) == record["started"]
    LOG.warning("%s: looking for up to %.0f s whether %s is still at work", what, EXPIRY, _owner(record))
    until = time.monotonic() + EXPIRY
    while time.monotonic() < until:
        time.sleep(min(BEAT / 2, EXPIRY / 10))
        asked = time.monotonic()
        newest, now = _last(files)
        until += time.monotonic() - asked  # while the store was away, its owner could give no sign of life either
        if newest != number or now is None:
            return now is not None
        if now != record:
            return True
    return False


def _owner(record: dict[str, Any]) -> str:
    return f"process {record.get('pid', '?')} on {record.get('host', '?')} (since {record.get('since', '?')})"


def _refusal(what: str, record: dict[str, Any]) -> str:
    return f"{what} is being made by {_owner(record)}. Wait for it or stop it, then run again; or use another run=URL."


def _machine() -> str:
    """The boot and the process namespace within which a process's number means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {platform.system()}"


def _started(pid: int) -> str | None:
    """When a process began, as its system says it; None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
        return "unknown"
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
