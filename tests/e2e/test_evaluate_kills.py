"""An evaluation that is killed while it extracts and while it scores: the bytes of one that nothing happened to.

The undisturbed one is of one process; those that are held against it go through Ray too.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from siglino_core.store import Run
from tests.e2e.tiny import Tiny, count, leftovers
from tests.pipelines import evaluating
from tests.pipelines.evaluating import contents, student

pytestmark = pytest.mark.slow

HERE = {"runtime__runner": "local"}
DATASETS = [
    {"layout": "run", "templates": ["a photo of a {}."]},
    {"layout": "composites", "scenes": 130, "tasks": ["segmentation", "patch_retrieval"]},
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody evaluated; not to be changed."""
    return evaluating.made(tmp_path_factory.mktemp("ground"))


def asked(ground: Path, run: Path, **changes: Any) -> dict[str, Any]:
    texts = [f"siglip2=siglip2:{ground.parent}/siglip2"]
    return {"evaluate__models": [student(run, texts=texts)], "evaluate__datasets": DATASETS, **changes}


def copied(ground: Path, to: Path) -> Path:
    shutil.copytree(ground, to / "run")
    return to / "run"


@pytest.fixture(scope="module")
def alone(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed evaluation by one process."""
    run = copied(ground, tmp_path_factory.mktemp("alone"))
    evaluating.evaluated(run, **asked(ground, run))
    return run


def by_itself(tiny: Tiny, log: Path, run: Path, **changes: Any) -> str:
    """An evaluation in a process of its own, which has not imported Ray before; what it said."""
    with tiny.start("evaluate", *evaluating.words(run, **changes), log=log) as started:
        code, text = started.wait(400)
    assert code == 0, text
    return text


def digests(run: Path) -> dict[str, str]:
    return {name: Run(str(run)).stage(name).require().digest for name in Run(str(run)).features()}


RAY_1 = {"runtime__runner": "ray", "runtime__workers": 1, "runtime__cpus": 2}
RAY_2 = {"runtime__runner": "ray", "runtime__workers": 2, "runtime__cpus": 2}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(HERE, HERE, id="local"),
        pytest.param(RAY_2, RAY_1, id="ray", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_killed_twice_it_is_the_same(
    tiny: Tiny, ground: Path, alone: Path, tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    run = copied(ground, tmp_path)
    kills = (  # in the middle of extraction, then in the middle of scoring
        (first, lambda: count(run, "features/*/commits/part-") >= 4, "features/*/manifest.json", 4),
        (then, lambda: count(run, "evaluate/commits/score-") >= 1, "evaluate/manifest.json", 1),
    )
    for i, (place, happened, whole, finished) in enumerate(kills):
        words = evaluating.words(run, **asked(ground, run, **place))
        with tiny.start("evaluate", *words, log=tmp_path / f"{i}.log") as started:
            assert started.kill_when(happened), (tmp_path / f"{i}.log").read_text()[-3000:]
            assert started.family() == []
        assert count(run, whole) < finished, "all was done before the kill"
    assert "Resumed" in by_itself(tiny, tmp_path / "last.log", run, **asked(ground, run, **first))
    assert digests(run) == digests(alone)
    assert contents(run) == contents(alone)
    # A kill between a manifest and the end of its lease leaves the lease, which is nobody's: the next one takes it.
    assert [name for name in leftovers(run) if not name.startswith(".lease/")] == []


@pytest.mark.soak
@pytest.mark.parametrize("place", [RAY_1, RAY_2], ids=["one_worker", "two_workers"])
def test_workers_of_ray_make_the_same_bytes(
    tiny: Tiny, ground: Path, alone: Path, tmp_path: Path, place: dict[str, Any]
) -> None:
    run = copied(ground, tmp_path)
    assert "Computed" in by_itself(tiny, tmp_path / "log", run, **asked(ground, run, **place))
    assert digests(run) == digests(alone)
    assert contents(run) == contents(alone)
