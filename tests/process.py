"""A process of a test's own, which ends with its block and takes its descendants along."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def running(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, log: Path, patience: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, with its output in ``log``.

    At the end it is asked with SIGTERM, and killed after ``patience`` seconds (0: at once). Descendants may have
    sessions of their own, as the flow runs of a Prefect worker: they are listed while their parent lives.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        descendants: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            descendants = psutil.Process(process.pid).children(recursive=True)
        if patience:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=patience)
        with suppress(ProcessLookupError):  # what outlived the leader, or did not heed SIGTERM
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for survivor in psutil.wait_procs(descendants, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                survivor.kill()
