"""The same bytes, whoever does the work; and no deadlock on one, two (as the run compared with) or four CPUs."""

from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, contents, digests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("workers", "cpus", "batch"), [(1, 1, 7), (0, 4, 0)], ids=["one worker", "as many as fit on four CPUs"]
)
def test_workers_change_no_byte(
    tiny: Tiny, undisturbed: Path, tmp_path: Path, workers: int, cpus: int, batch: int
) -> None:
    run = tmp_path / "run"
    settings = (f"runtime.workers={workers}", f"runtime.cpus={cpus}", f"embed.batch_size={batch}")
    tiny.run(run, *settings, runner="ray")
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
