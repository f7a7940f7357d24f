"""Ends what a process started when that process is gone, however it went: a second process that watches it.

A SIGKILL cannot be caught, and what a process started need not notice that it is gone: a server of Prefect's stays for
ever, others for seconds. What is to be ended is told by a mark in the environment that processes inherit, wherever they
go: not by descent, for a child that lost its parent has another, nor by session, for some begin one of their own.

The watcher is this file, run by a bare interpreter, so that it starts in an instant: it imports nothing of ours. Where
there is no /proc it finds nothing, and ends nothing.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

MARK = "SIGLINO_PROCESS"  # in the environment of all that the watched process starts
LOOK = 0.3  # seconds between two looks
TRACKER = b"multiprocessing.resource_tracker"  # ends by itself, after it cleaned up behind those that were killed

_watchers: list[subprocess.Popen[bytes]] = []  # kept, or Python would complain that they still run


def start(only: str = "") -> str:
    """Begin to watch over this process; all that it starts from now on ends within a second of its own end.

    Args:
        only: end only what has this word in its command line.

    Returns:
        The mark.
    """
    before, mark = dict(os.environ), f"{os.getpid()}-{os.urandom(8).hex()}"
    os.environ[MARK] = mark
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), mark, only]
    nothing = subprocess.DEVNULL
    with suppress(OSError):  # without it the command works as well
        # A session of its own: what is sent to the whole group, by a terminal or `kill`, is not for it.
        watcher = subprocess.Popen(  # noqa: S603
            command, env=before, cwd="/", stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
        _watchers.append(watcher)
    return mark


def alive(mark: str, only: str = "") -> dict[int, bytes]:
    """The live processes that inherited the mark, but for this one: their command lines."""
    wanted, found = f"{MARK}={mark}".encode(), {}
    with suppress(OSError):
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with suppress(OSError):  # it is gone, or another user's
                command = _read(pid, "cmdline")
                if pid != os.getpid() and only.encode() in command and wanted in _read(pid, "environ").split(b"\0"):
                    found[pid] = command
    return found


def end(mark: str, only: str = "", *, trackers: bool = False, seconds: float = 5.0) -> bool:
    """SIGKILL to all that inherited the mark, until there is nothing left; whether there is.

    Args:
        trackers: also to what would clean up and end by itself.
    """
    until = time.monotonic() + seconds
    while pids := [pid for pid, command in alive(mark, only).items() if trackers or TRACKER not in command]:
        if time.monotonic() > until:
            return False
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return True


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


def _watch(parent: int, mark: str, only: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the other does, and not before
    while os.getppid() == parent:
        time.sleep(LOOK)
    for _ in range(3):  # again: one may have been about to start another
        end(mark, only)
        time.sleep(LOOK)
    end(mark, only, trackers=True)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2], sys.argv[3])
