"""The same bytes, whoever does the work: one worker, two workers, Ray or this process."""

from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, contents, digests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("runner", "workers", "batch"), [("ray", 1, 7), ("ray", 2, 0), ("local", 0, 0)], ids=["one", "two", "local"]
)
def test_workers_change_no_byte(
    tiny: Tiny, undisturbed: Path, tmp_path: Path, runner: str, workers: int, batch: int
) -> None:
    run = tmp_path / "run"
    tiny.run(run, f"runtime.workers={workers}", f"embed.batch_size={batch}", runner=runner)
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
