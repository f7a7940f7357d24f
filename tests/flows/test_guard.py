"""What a killed process started ends with it, wherever it went; what another started does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import guard

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the watch is told by /proc")

PARENT = """
import subprocess, sys, time
from flows import guard
before = subprocess.Popen(["sleep", "61"])
mark = guard.start({only!r})
lost = "sleep 62 & sleep 0.1"  # its parent ends, so that it has another
subprocess.Popen(["sh", "-c", lost], start_new_session=True)
child = subprocess.Popen(["sleep", "63"])
time.sleep(0.3)
print(mark, before.pid, flush=True)
time.sleep({stays})
"""


def until(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(only: str = "", stays: float = 60) -> tuple[subprocess.Popen[str], str, int]:
    """A process under watch, its mark, and a child of before the watch."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = PARENT.format(only=only, stays=stays)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    mark, before = parent.stdout.readline().split()
    return parent, mark, int(before)


@pytest.fixture
def orphan() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("stays", [60, 0])
def test_all_that_it_started_ends_with_it(stays: float, orphan: list[int]) -> None:
    parent, mark, before = started(stays=stays)
    orphan.append(before)
    if stays:
        assert sorted(guard.alive(mark).values()) == [b"sleep\x0062\x00", b"sleep\x0063\x00"]
        parent.kill()
    parent.wait()
    until(lambda: not guard.alive(mark))
    assert Path(f"/proc/{before}").exists(), "it is no one's of this watch"


def test_only_what_it_is_told_ends(orphan: list[int]) -> None:
    parent, mark, before = started(only="62")
    parent.kill()
    parent.wait()
    until(lambda: len(guard.alive(mark)) == 1)
    time.sleep(4 * guard.LOOK)  # the last look of the watch is past
    left = guard.alive(mark)
    orphan += [before, *left]
    assert list(left.values()) == [b"sleep\x0063\x00"]


def test_what_cleans_up_behind_others_may_end_by_itself() -> None:
    mark = "of-this-test"
    env = {**os.environ, guard.MARK: mark}
    tracker = "import sys, time; sys.argv; time.sleep(60)  # multiprocessing.resource_tracker"
    child = subprocess.Popen([sys.executable, "-c", tracker], env=env)
    until(lambda: any(guard.TRACKER in command for command in guard.alive(mark).values()))
    assert guard.end(mark)
    assert child.poll() is None
    assert guard.end(mark, trackers=True)
    assert child.wait() == -signal.SIGKILL
