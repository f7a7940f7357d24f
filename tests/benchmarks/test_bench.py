"""Every benchmark runs to its end at tiny sizes; what it times there says nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.record import PATH, ROOT


@pytest.mark.slow
@pytest.mark.soak
def test_all_to_the_end() -> None:
    before = PATH.read_bytes() if PATH.exists() else b""
    words = [sys.executable, "-m", "tests.benchmarks", "--tiny", "--no-record"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    for script in Path(__file__).parent.glob("bench_*.py"):
        said = done.stdout.partition(f"== {script.stem}\n")[2].partition("\n== ")[0]
        assert "pairs; " in said or "skipped: " in said, script.stem
    assert (PATH.read_bytes() if PATH.exists() else b"") == before
