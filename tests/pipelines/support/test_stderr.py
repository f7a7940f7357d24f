"""The filter of stderr: the named lines go, all others stay, whoever writes them."""

import os
import subprocess
import sys

import pytest

from pipelines.support.stderr import without

SCRIPT = """
import os, sys
from pipelines.support.stderr import without
os.write(2, b"before noise\\n")
with without(b"noise", b"hum"):
    os.write(2, b"kept 1\\nsome noise here\\n")
    print("kept 2", file=sys.stderr, flush=True)
    os.system("echo a hum >&2; echo kept 3 >&2")
    os.write(2, b"kept without a newline")
os.write(2, b"\\nafter noise\\n")
"""


def test_lines_are_dropped_within_alone() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stderr
    assert said == "before noise\nkept 1\nkept 2\nkept 3\nkept without a newline\nafter noise\n"


def test_stderr_that_was_led_elsewhere_within_stays_there() -> None:
    script = SCRIPT.replace('os.system("echo', 'os.dup2(os.open(os.devnull, os.O_WRONLY), 2); os.system("echo')
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr
    assert said == "before noise\nkept 1\nkept 2\n"


def test_stderr_comes_back_and_nothing_leaks_when_it_raises(capfd: pytest.CaptureFixture[str]) -> None:
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), without(b"x"):
            raise ZeroDivisionError
    if opened:
        assert len(os.listdir("/proc/self/fd")) == opened
    os.write(2, b"x is here again\n")
    assert capfd.readouterr().err == "x is here again\n"
