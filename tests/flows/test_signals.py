"""SIGTERM and SIGINT: one sentence, 128 + the number, nothing left, wherever the process stands."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from siglino_core.store import Run
from siglino_core.store.lease import folder, require_free

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}

SLEEP = f"sleep {os.getpid()}.64"  # of no other process of tests
READY = "print('ready', flush=True)\n"
WITHIN = "print('ready', flush=True); time.sleep(60)"
HERE = {
    "asleep": READY + "time.sleep(60)",
    "swallowed": f"while True:\n    try: {WITHIN}\n    except BaseException: pass",
    "turned into another": f"try: {WITHIN}\nexcept KeyboardInterrupt: raise ValueError('of a library')",
    "where no Python runs": READY + "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2 ** 30)",
    "heeded by another": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + READY + "time.sleep(60)",
    "imported": "sys.path.insert(0, {tmp!r})\nimport takes_time",
    "at its end": "atexit.register(lambda: (print('ready', flush=True), time.sleep(60)))\nsys.exit(0)",
    "with noise": f"try: {WITHIN}\nfinally: os.write(2, b'a library has failed')",
}
SCRIPT = """
import atexit, os, signal, subprocess, sys, time
from flows import signals
signals.PATIENCE = 0.3
signals.install()
subprocess.Popen({sleep!r}.split(), start_new_session=True)
try:
    signals.begin()
    exec({code!r})
finally:
    signals.over()
"""


def script(code: str, tmp: Path) -> subprocess.Popen[str]:
    (tmp / "takes_time.py").write_text("import time\n" + READY + "time.sleep(60)\n")
    words = [sys.executable, "-c", SCRIPT.format(sleep=SLEEP, code=code.replace("{tmp!r}", repr(str(tmp))))]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=ENV, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def left() -> list[str]:
    """What such a script started, and is alive."""
    out = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if line == SLEEP]


def stopped(process: subprocess.Popen[str], number: int) -> None:
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert len(err.splitlines()) == 1, err
    assert err.startswith(f"Stopped by {signal.Signals(number).name}: ")
    assert left() == []


@pytest.mark.parametrize("where", list(HERE))
def test_one_way_out(where: str, tmp_path: Path) -> None:
    process = script(HERE[where], tmp_path)
    process.send_signal(signal.SIGTERM)
    stopped(process, signal.SIGTERM)


@pytest.mark.parametrize("where", ["asleep", "imported"])
def test_ctrl_c_is_the_same(where: str, tmp_path: Path) -> None:
    process = script(HERE[where], tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    stopped(process, signal.SIGINT)


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    cleaning = "\nfinally:\n    print('cleaning', flush=True); time.sleep(0.2); print('clean')"
    process = script(f"signals.PATIENCE = 60\ntry: {WITHIN}{cleaning}", tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "clean\n"
    stopped(process, signal.SIGINT)


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_leases_are_given_back(patience: float, tmp_path: Path) -> None:
    url = str(tmp_path / "run")
    take = (
        f"from siglino_core.store.lease import Lease, folder\nsignals.PATIENCE = {patience}\n"
        f"lease = Lease.take(folder({url!r}, 'embed'), 'embed')\n"
    )
    swallowed = "while True:\n    try: time.sleep(60)\n    except BaseException: pass"
    process = script(take + READY + (swallowed if not patience else "time.sleep(60)"), tmp_path)
    files = folder(url, "embed")
    assert len(files.sizes()) == 1
    process.send_signal(signal.SIGTERM)
    stopped(process, signal.SIGTERM)
    assert files.sizes() == {}
    require_free(url, ["embed"])
    assert Run(url).stage("embed").manifest() is None


def test_a_lost_lease_is_no_signal(tmp_path: Path) -> None:
    url = str(tmp_path / "run")
    code = (
        "from siglino_core.errors import StoreError\nfrom siglino_core.store import lease\nlease.BEAT = 0.05\n"
        f"files = lease.folder({url!r}, 'embed')\nheld = lease.Lease.take(files, 'embed')\n"
        + READY
        + "try:\n    files.create('00000002.json', b'another')\n    while True: time.sleep(0.01)\n"
        "except StoreError as e: print(e)\nsys.exit(7)"
    )
    process = script(code, tmp_path)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 7
    assert "another process took over" in out


def test_the_command_says_it_from_the_first_import_on(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        command = [sys.executable, "-m", "flows.cli", "plan", "experiment=demo"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENV, cwd=tmp_path)
        status = Path(f"/proc/{process.pid}/status")
        while not heeds(status, signal.SIGTERM):
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (128 + number, "")
        assert err == f"Stopped by {number.name}: what was committed stays, and the same command goes on from there.\n"


def heeds(status: Path, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    mask = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask.split()[1], 16) & 1 << (number - 1))


def test_without_a_signal_nothing_is_different(tmp_path: Path) -> None:
    process = script(READY + "sys.exit(3)", tmp_path)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 3
    process = script(READY + "raise ValueError('of ours')", tmp_path)
    assert "ValueError: of ours" in process.communicate(timeout=30)[1]
    assert process.returncode == 1
