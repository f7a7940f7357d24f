"""A fine-tuning that is killed, and one by two ranks: the same curve and the same model to the last bit."""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from pipelines import ground
from pipelines.ground.job import identity_of, job_of, student_of
from pipelines.support.work import Work
from siglino_core.config import Config
from siglino_core.device import choose
from siglino_core.grounding.training.rank import run_rank
from siglino_core.store import Run
from tests.e2e.marked_ray import marked_ray
from tests.e2e.tiny import Tiny, leftovers
from tests.pipelines import grounding
from tests.pipelines.grounding import begun, curve
from tests.ranks import on_ranks

pytestmark = pytest.mark.slow

STEPS = 16
SLOWER = {"ground__optim__steps": STEPS, "ground__checkpoint_steps": 4}
PAIR = {**SLOWER, "ground__ranks": 2, "runtime__runner": "ray", "runtime__cpus": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with images and expressions, and a student beside it."""
    folder = tmp_path_factory.mktemp("ground")
    grounding.with_expressions(folder / "run")
    grounding.student(folder / "student")
    return folder


@pytest.fixture(scope="module")
def alone(made: Path) -> Run:
    """An undisturbed fine-tuning by one process."""
    run = begun(made / "run", made / "alone")
    grounding.trained(run, str(made / "student"), **SLOWER)
    return run


@pytest.fixture(scope="module")
def pair(made: Path) -> Run:
    """One by two ranks: plain processes, which no one watches or starts again."""
    run = begun(made / "run", made / "pair")
    cfg = grounding.config(run.url, str(made / "student"), **PAIR)
    on_ranks(train_beside, cfg, timeout=300)
    ground.run(cfg, run)  # all steps are done: it makes the artifact of them
    return run


@pytest.fixture(scope="module")
def ray() -> Iterator[str]:
    with marked_ray() as mark:
        yield mark


def train_beside(config: Config) -> None:
    """One rank's training, from the job that Ray Train's workers get."""
    run = Run(config.run)
    student = student_of(config, run)
    fingerprint = identity_of(config, "float32", run.stage("expressions").require(), student).fingerprint
    work = Work(run=run, stage=run.stage("ground"), fingerprint=fingerprint, config=config)
    run_rank(job_of(work, student), choose("cpu", "fp32"), rank=dist.get_rank(), world=dist.get_world_size())


def bytes_of(run: Run) -> dict[str, bytes]:
    """The model's folder."""
    return {path.name: path.read_bytes() for path in Path(run.url, "ground/model").iterdir()}


def assert_the_same(run: Run, wanted: Run) -> None:
    assert len(curve(wanted)) == STEPS
    assert curve(run) == curve(wanted)
    assert bytes_of(run) == bytes_of(wanted)
    assert run.stage("ground").require().digest == wanted.stage("ground").require().digest
    assert leftovers(Path(run.url)) == []


def steps_done(run: Run) -> int:
    path = Path(run.url, "ground", "metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.soak
def test_killed_again_and_again_it_is_the_same(tiny: Tiny, made: Path, alone: Run, tmp_path: Path) -> None:
    run, rng = begun(made / "run", tmp_path / "run"), random.Random(5)
    words = grounding.words(run.url, str(made / "student"), **SLOWER)
    for i, wanted in enumerate((2, rng.randint(5, 7), rng.randint(9, 12))):
        with tiny.start("ground", "--only", "ground", *words, log=tmp_path / f"{i}.log") as started:
            assert started.until(lambda wanted=wanted: steps_done(run) >= wanted)
            time.sleep(rng.uniform(0, 0.05))
            started.kill()
        assert not Path(run.url, "ground", "manifest.json").exists(), "all was done before the kill"
    assert list(Path(run.url, "ground/checkpoints").glob("*/checkpoint.json")), "it would begin from nothing"
    with tiny.start("ground", *words, log=tmp_path / "last.log") as started:
        code, text = started.wait()
    assert code == 0, text
    assert "Resumed" in text
    assert run.stage("answers").manifest() is not None
    assert_the_same(run, alone)


def test_two_ranks_are_one(pair: Run, alone: Run) -> None:
    ours, theirs = curve(pair), curve(alone)
    assert pair.stage("ground").require().facts["ranks"] == 2
    for name in ("step", "images", "tokens", "instances", "lr"):
        assert [line[name] for line in ours] == [line[name] for line in theirs]
    for name in ("loss", "answer", "coordinate", "size", "focal", "dice", "grad_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=2e-3)


@pytest.mark.soak
def test_two_ranks_on_ray_are_two_processes(made: Path, pair: Run, ray: str, tmp_path: Path) -> None:
    run = begun(made / "run", tmp_path / "run")
    said: list[Any] = []
    cfg = grounding.config(run.url, str(made / "student"), **PAIR)
    ground.run(cfg, run, lambda *progress: said.append(progress))
    assert {progress[0] for progress in said} == {"ground"}
    assert said[-1][1:3] == (STEPS, STEPS)
    assert_the_same(run, pair)


def test_one_goes_on_where_two_were(made: Path, pair: Run, tmp_path: Path) -> None:
    run = begun(made / "run", tmp_path / "run")
    shutil.copytree(Path(pair.url, "ground"), Path(run.url, "ground"))
    for name in ("commits", "model", *(f"checkpoints/step_{step:08d}" for step in (16,))):
        shutil.rmtree(Path(run.url, "ground", name))
    Path(run.url, "ground/manifest.json").unlink()
    manifest = grounding.trained(run, str(made / "student"), **SLOWER).manifest
    assert manifest.facts["ranks"] == 1
    ours, theirs = curve(run), curve(pair)
    assert ours[:12] == theirs[:12]
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=2e-3)
