"""The same bytes, whoever does the work; the run compared with has two workers on two CPUs.

On four CPUs, where a pool of encoders that held all of them would wait for pixels for ever, one of the kills runs.
"""

from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, contents, digests

pytestmark = pytest.mark.slow


def test_one_worker_leaves_the_same_bytes(tiny: Tiny, undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny.run(run, "runtime.workers=1", "runtime.cpus=1", "embed.batch_size=7", runner="ray")
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
