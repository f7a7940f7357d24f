"""SIGTERM and SIGINT: one way out, with one sentence and 128 + the signal's number, and nothing left behind.

The first signal is raised in the main thread as :class:`Stopped`, so that every `finally` on its way runs: Ray is left,
leases are given back, Prefect is told. Whoever swallows it, turns it into an exception of another kind, or stands where
no Python runs, has ``PATIENCE``: a thread that is told by the system itself ends the process then. Later signals change
nothing. This module is imported before all others, and imports little.
"""

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

from flows import guard
from siglino_core.errors import StoreError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 4.0  # seconds from a signal to the end, if those who should clean up don't
LEASES = 2.0  # seconds to give them back in: a store may not answer
ASK = b"\0"  # no signal has this number
SENTENCE = "Stopped by {}: what was committed stays, and the same command goes on from there.\n"


class Stopped(KeyboardInterrupt):
    """This process was asked to end, by SIGTERM or SIGINT."""


class _State:
    mark = ""  # of what this process starts
    received = 0  # the first signal
    raised = False  # the main thread knows
    deprived = False  # it knows of a lease that was lost
    over = True  # nothing is there to be cleaned up: not yet, or no more
    seen = threading.Event()  # `_wait` has seen all signals that there were
    stderr = 2  # where the sentence goes, wherever others lead stderr
    writer = -1  # end of the pipe that wakes `_wait`
    hurry = threading.Event()  # the main thread has nothing more to clean up


def install() -> None:
    """Heed both signals from now on, and see that nothing outlives this process.

    They are heeded also where the parent ignores SIGINT, as shells do for what they start in the background.
    """
    _State.stderr = os.dup(2)
    # Registered first, it runs last: from there on the work is done, and no signal changes its exit code.
    atexit.register(signal.pthread_sigmask, signal.SIG_BLOCK, SIGNALS)
    sys.excepthook = _uncaught
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _State.writer = writer
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reader,), daemon=True, name="signals").start()
    for number in SIGNALS:
        signal.signal(number, _heed)
    _State.mark = guard.start()


def received() -> bool:
    """Whether this process was asked to end: what goes wrong from then on is of no interest."""
    if _State.writer >= 0 and not _State.received:  # maybe one that another handler heeded a moment ago
        _State.seen.clear()
        while not _State.received and not _State.seen.is_set():
            with suppress(OSError):
                os.write(_State.writer, ASK)
            _State.seen.wait(0.01)
    return _State.received != 0


def begin() -> None:
    """From now on there is something to be cleaned up, and who does it."""
    _State.over = False


def over() -> None:
    """The command is done; if it was asked to end, this is the end, else the next signal will be."""
    _State.over = True
    if received():
        finish()


def finish() -> NoReturn:
    """End: everything that this process started, then itself, with the sentence; for the main thread."""
    _State.raised = True  # a signal that comes now changes nothing
    with suppress(Exception):  # within the same patience, for it waits for whoever reads
        sys.stdout.flush()
    _State.hurry.set()
    while True:  # others' handlers of signals run here, and may raise: that a process of theirs was killed
        with suppress(BaseException):
            time.sleep(1)


def _heed(number: int, frame: FrameType | None) -> None:
    if _State.raised:
        return
    if not _State.deprived and _ours(number):
        _State.deprived = True
        raise StoreError(_lost())
    _State.raised = True
    _State.received = _State.received or number
    with suppress(OSError):  # a library's loop may have taken the pipe's place
        os.write(_State.writer, bytes([number]))
    _quiet()
    # Modules in C++ that are interrupted while they are imported may abort, or be there by half.
    if _State.over or _importing(frame):
        finish()
    raise Stopped


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _wait(reader: int) -> None:
    """The system writes each signal's number into the pipe, whoever handles it and whatever the main thread does."""
    while number := os.read(reader, 1):
        if number == ASK:
            _State.seen.set()
        elif number[0] in SIGNALS and (_State.received or not _ours(number[0])):
            _State.received = _State.received or number[0]
            _State.hurry.wait(PATIENCE)
            _end()


def _end() -> NoReturn:
    try:
        _quiet()
        if _State.mark:
            guard.end(_State.mark, seconds=2.0)
        _release()
        if os.isatty(1):
            os.write(1, b"\x1b[?25h")  # a moving display hides the cursor
        newline = "\n" if os.isatty(_State.stderr) else ""  # after the ^C
        os.write(_State.stderr, (newline + SENTENCE.format(signal.Signals(_State.received).name)).encode())
    finally:
        os._exit(128 + _State.received)


def _ours(number: int) -> bool:
    """Whether it is this process that interrupts itself, since its lease is lost."""
    return number == signal.SIGINT and _lost() != ""


def _lost() -> str:
    lease: Any = sys.modules.get("siglino_core.store.lease")
    return lease.lost() if hasattr(lease, "lost") else ""  # it may be under way


def _quiet() -> None:
    """What others say from now on, of workers that die and threads that fail, is no news."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)


def _release() -> None:
    """Give back the leases, so that another machine need not wait until they are old."""
    lease: Any = sys.modules.get("siglino_core.store.lease")
    if hasattr(lease, "release_all"):
        releasing = threading.Thread(target=lease.release_all, daemon=True)
        releasing.start()
        releasing.join(LEASES)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if received():  # maybe in a moment when nobody was there to catch it
        finish()
    sys.__excepthook__(kind, error, trace)
