"""SIGKILLs in one run, in every stage: a plain re-run ends with the bytes of a run that nothing happened to."""

import random
import time
from pathlib import Path

import pytest

from siglino_core.store import Run
from tests.e2e.tiny import STAGES, Tiny, contents, count, digests, leftovers

pytestmark = pytest.mark.slow

KILLS = [  # stage, runner, what must be there in the stage's folder (a prefix), and how much more of it than before
    ("source", "local", "commits/part-", 1),
    ("source", "local", "commits/part-", 4),
    ("embed", "ray", "commits/part-", 2),  # on four CPUs: without room for decoders none would come
    ("embed", "local", "commits/part-", 1),
    ("cluster", "local", "state/level_1/", 1),
    ("cluster", "local", "state/level_2/", 1),
    ("cluster", "local", "commits/part-", 2),
    ("sample", "local", "exchange/exchange-", 2),
    ("sample", "local", "commits/part-", 3),
    ("report", "local", "plan.json", 1),
]


ONE_A_STAGE = [KILLS[i] for i in (1, 3, 5, 7, 9)]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(ONE_A_STAGE, id="one_a_stage"),
        pytest.param(KILLS, id="ten", marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_kills_leave_the_same_bytes(
    tiny: Tiny, undisturbed: Path, tmp_path: Path, kills: list[tuple[str, str, str, int]]
) -> None:
    run, rng = tmp_path / "run", random.Random(20)
    for i, (stage, runner, what, more) in enumerate(kills):
        attempts = 0
        while not _kill(tiny, run, stage, runner, what, more, rng.uniform(0, 0.03), tmp_path / f"{i}.log"):
            attempts += 1
            assert attempts < 4, f"{stage} was always faster than the kill"
    out = tiny.run(run)
    assert "Resumed" in out or "Computed" in out
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
    assert (run / "report/curation.html").is_file()
    assert leftovers(run) == leftovers(undisturbed) == []


def _kill(tiny: Tiny, run: Path, stage: str, runner: str, what: str, more: int, delay: float, log: Path) -> bool:
    """Start the run, kill it inside ``stage``; False if the stage was done before the kill came.

    A stage that an earlier attempt finished is begun anew, with --redo.
    """
    manifest = run / stage / "manifest.json"
    redo = ["--redo", stage] if manifest.exists() else []
    before = 0 if redo else count(run, f"{stage}/{what}")
    finished = [name for name in STAGES if (run / name / "manifest.json").exists() and name != stage]
    words = tiny.words(run, "runtime.cpus=4", runner=runner)
    with tiny.start("curate", *redo, *words, log=log) as started:
        emptied = not redo

        def inside() -> bool:
            nonlocal emptied
            emptied = emptied or not manifest.exists()
            return emptied and count(run, f"{stage}/{what}") >= before + more

        happened = started.until(inside)
        time.sleep(delay)
        started.kill()
        assert happened, f"it ended by itself:\n{log.read_text()[-3000:]}"
        assert started.family() == []
    assert all(Run(str(run)).stage(name).manifest() for name in finished), "a kill must not undo a finished stage"
    return not manifest.exists()
