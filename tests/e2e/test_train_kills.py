"""Training that is killed: the same curve, weights and clusters' losses to the last bit, on one process and on Ray."""

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch.distributed as dist

from pipelines import train
from pipelines.support.ray_train import ProgressActor, _watched
from pipelines.support.runtime import start_ray
from pipelines.support.work import Work
from pipelines.train.job import identity_of, job_of
from siglino_core.config import Config, RuntimeConfig
from siglino_core.device import choose
from siglino_core.distillation.training.rank import run_rank
from siglino_core.errors import WARNING
from siglino_core.store import Manifest, Run
from tests.e2e.marked_ray import marked_ray
from tests.e2e.tiny import Started, Tiny, leftovers, marked
from tests.pipelines import distilling
from tests.pipelines.curated import curated
from tests.pipelines.distilling import STEPS, curve
from tests.ranks import on_ranks

pytestmark = pytest.mark.slow

LOCAL = {"runtime__runner": "local", "train__ranks": 1}
RAY = {"runtime__runner": "ray", "runtime__cpus": 3, "train__ranks": 2}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A curated run with targets, teachers and a student's shape."""

    folder: Path
    specs: list[str]
    student: str

    def run(self, name: str) -> Path:
        """A run of its own on it, ready to train."""
        for stage in ("cluster", "sample", "targets"):
            shutil.copytree(self.folder / "ready" / stage, self.folder / name / stage)
        return self.folder / name

    def config(self, run: Path, **changes: Any) -> Config:
        return distilling.config(run, self.specs, self.student, **changes)

    def train(self, run: Path, **changes: Any) -> Manifest:
        """Train to the end, in this process or from it."""
        return train.run(self.config(run, **changes), Run(str(run))).manifest

    def words(self, run: Path, **changes: Any) -> list[str]:
        return ["distill", "--only", "train", *distilling.words(run, self.specs, self.student, **changes)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground")
    curated(folder / "curated")
    found = Ground(folder=folder, specs=distilling.teachers(folder), student=distilling.student(folder))
    distilling.ready(folder / "curated" / "run", folder / "ready", found.config(folder / "ready"))
    return found


@pytest.fixture(scope="module")
def alone(ground: Ground) -> Path:
    """An undisturbed training by one process."""
    run = ground.run("alone")
    ground.train(run, **LOCAL)
    return run


@pytest.fixture(scope="module")
def ray() -> Iterator[str]:
    """A Ray of three CPUs whose processes bear the mark."""
    with marked_ray() as mark:
        yield mark


@pytest.fixture(scope="module")
def pair(ground: Ground) -> Path:
    """An undisturbed training by two ranks: plain processes, which no one watches or starts again."""
    run = ground.run("pair")
    cfg = ground.config(run, **RAY, train__keep_every=4)
    on_ranks(train_beside, cfg, timeout=300)
    train.run(cfg, Run(str(run)))  # all steps are done: it makes the artifact of them
    return run


def train_beside(config: Config) -> None:
    """One rank's training, from the job that Ray Train's workers get."""
    run = Run(config.run)
    sample, targets = (run.stage(name).require() for name in ("sample", "targets"))
    fingerprint = identity_of(config, "float32", sample, targets).fingerprint
    work = Work(run=run, stage=run.stage("train"), fingerprint=fingerprint, config=config)
    device = choose("cpu", "fp32")
    run_rank(job_of(work, sample, targets), device, rank=dist.get_rank(), world=dist.get_world_size())


def steps_done(run: Path) -> int:
    path = run / "train" / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def bytes_of(run: Path) -> dict[str, bytes]:
    """The student's weights and the clusters' losses."""
    folder = run / "train"
    files = [folder / "student" / "model.safetensors", *sorted((folder / "clusters").glob("*.parquet"))]
    assert len(files) == 2
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def assert_the_same(run: Path, wanted: Path) -> None:
    assert len(curve(wanted)) == STEPS
    assert curve(run) == curve(wanted)
    assert bytes_of(run) == bytes_of(wanted)
    assert Run(str(run)).stage("train").require().digest == Run(str(wanted)).stage("train").require().digest
    assert leftovers(run) == []


def test_killed_again_and_again_it_is_the_same(tiny: Tiny, ground: Ground, alone: Path, tmp_path: Path) -> None:
    run, rng = ground.run("killed"), random.Random(5)
    begun: list[int] = []
    with tiny.start(*ground.words(run, **LOCAL, train__num_workers=1), log=tmp_path / "loader.log") as started:
        assert started.until(lambda: steps_done(run) >= 1 and loaders_of(started) != [])
        loaders_of(started)[0].kill()
        code, text = started.wait()
    assert (code, "a process that reads images died" in text, "Traceback" in text) == (1, True, False), text
    for i, wanted in enumerate((rng.randint(5, 8), rng.randint(10, 14))):
        with tiny.start(*ground.words(run, **LOCAL, train__num_workers=i % 2), log=tmp_path / f"{i}.log") as started:
            assert started.until(lambda wanted=wanted: steps_done(run) >= wanted)
            time.sleep(rng.uniform(0, 0.2))
            started.kill()
        assert not (run / "train" / "manifest.json").exists()
        begun.append(len(list((run / "train" / "checkpoints").glob("*/checkpoint.json"))))
    assert begun[-1] > 0, "it would have begun from nothing every time"
    assert train.run(ground.config(run, **LOCAL), Run(str(run))).state == "Resumed"
    assert_the_same(run, alone)


def test_two_ranks_learn(pair: Path, alone: Path) -> None:
    ours, theirs = curve(pair), curve(alone)
    assert [line["images"] for line in ours] == [line["images"] for line in theirs]
    assert ours[0]["siglip2.summary"] == pytest.approx(theirs[0]["siglip2.summary"], rel=1e-4)
    assert ours[-1]["loss"] < 0.97 * ours[0]["loss"]
    assert Run(str(pair)).stage("train").require().facts["ranks"] == 2


def test_every_warning_of_ranks_is_passed_on(ray: str) -> None:
    module = start_ray(RuntimeConfig(cpus=3, device="cpu"))
    actor, said = module.remote(num_cpus=0)(ProgressActor).remote(), []
    with _watched(module, actor, "train", lambda *progress: said.append(progress)):
        for step, note in ((3, f"{WARNING}left out"), (4, f"{WARNING}left out, too"), (5, "loss 2.0")):
            module.get(actor.report.remote(step, 8, note))
    assert said == [
        ("train", 3, 8, f"{WARNING}left out"),
        ("train", 4, 8, f"{WARNING}left out, too"),
        ("train", 5, 8, "loss 2.0"),
    ]


def test_of_progress_the_newest_is_told_where_it_was_said() -> None:
    actor, left = ProgressActor(), f"{WARNING}left out"
    for step, note in ((3, "loss 3.0"), (4, left), (4, left), (5, "loss 2.0"), (6, left)):
        actor.report(step, 8, note)
    assert actor.news() == [(4, 8, left), (4, 8, left), (5, 8, "loss 2.0"), (6, 8, left)]
    assert actor.news() == []
    actor.report(7, 8, "loss 1.0")
    actor.report(7, 8, left)
    actor.forget()
    assert actor.news() == [(7, 8, left)], "a warning outlives the ranks that gave it"


def test_a_rank_dies(ground: Ground, pair: Path, ray: str) -> None:
    run = ground.run("bereft")
    assert_it_outlives_a_rank(ground, run, ray)
    assert_the_same(run, pair)


@pytest.mark.soak
def test_the_driver_dies_and_then_a_rank(tiny: Tiny, ground: Ground, pair: Path, ray: str, tmp_path: Path) -> None:
    run = ground.run("bereft-twice")
    with tiny.start(*ground.words(run, **RAY), log=tmp_path / "log") as started:
        assert started.until(lambda: steps_done(run) >= 6)
        started.kill()
        assert started.family() == []
    assert not (run / "train" / "manifest.json").exists()
    assert assert_it_outlives_a_rank(ground, run, ray) == "Resumed"
    assert_the_same(run, pair)


def assert_it_outlives_a_rank(ground: Ground, run: Path, ray: str) -> str:
    """Train on Ray while one of the ranks is killed; what the stage says of itself."""
    killed: list[int] = []
    said: list[tuple[int, str]] = []

    def kill() -> None:
        until(lambda: any(step >= 6 for step, _ in said))
        victim = rank_processes(ray)[-1]
        killed.append(steps_done(run))
        victim.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    cfg = ground.config(run, **RAY)
    result = train.run(cfg, Run(str(run)), lambda stage, done, total, note="": said.append((done, note)))
    killer.join()
    assert 4 < sum(killed) < STEPS, "all was done before the kill"
    again = [note for _, note in said].index(f"{WARNING}a worker died: from the newest checkpoint, on 2 ranks")
    assert said[again + 1][0] <= killed[0] + 4, "what the dead had said was said again"
    return result.state


@pytest.mark.parametrize("ranks", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_other_numbers_of_ranks_go_on_with_the_same_batches(
    ground: Ground, pair: Path, ranks: int, request: pytest.FixtureRequest
) -> None:
    run = ground.run(f"from-two-on-{ranks}")
    shutil.copytree(pair / "train", run / "train")
    for name in ("commits", "student", "clusters", "checkpoints/step_00000012", "checkpoints/step_00000016"):
        shutil.rmtree(run / "train" / name)
    (run / "train" / "manifest.json").unlink()
    if ranks > 1:
        request.getfixturevalue("ray")
    place = LOCAL if ranks == 1 else RAY
    manifest = ground.train(run, **{**place, "train__ranks": ranks})
    assert manifest.facts["ranks"] == ranks
    ours, theirs = curve(run), curve(pair)
    assert ours[:8] == theirs[:8]
    assert ours[8:] != theirs[8:], "nothing was computed anew"
    for name in ("step", "images", "tokens", "padding", "lr"):
        assert [line[name] for line in ours] == [line[name] for line in theirs]
    for name in ("loss", "siglip2.summary", "dinov3.patch", "dinov3.register", "dinov3.relation", "grad_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=1e-4)


def loaders_of(started: Started) -> list[psutil.Process]:
    """The processes in which a training reads its images."""
    found = []
    for process in started.family():
        with suppress(psutil.Error):
            found += [process] if any("spawn_main" in word for word in process.cmdline()) else []
    return found


def rank_processes(mark: str) -> list[psutil.Process]:
    """Ray Train's workers, those that train."""
    found = []
    for process in marked(mark):
        with suppress(psutil.Error):
            if any("RayTrainWorker" in word for word in process.cmdline()):
                found.append(process)
    assert len(found) == 2, [p.cmdline() for p in marked(mark)]
    return found


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen in {seconds} s"
        time.sleep(0.01)
