"""Commands that are told to end, or killed: their code, one sentence, nothing left alive, and then the same bytes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from siglino_core.store.lease import FOLDER
from tests.e2e.tiny import MARK, STAGES, Started, Tiny, count, digests, kill_marked, marked
from tests.pipelines import distilling
from tests.pipelines.curated import curated
from tests.prefect_server import prefect_server

pytestmark = pytest.mark.slow

WAYS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
LOCAL = {"train__num_workers": 1}
RAY = {"runtime__runner": "ray", "runtime__cpus": 3, "train__ranks": 2, **LOCAL}


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """What a distillation needs."""

    folder: Path
    specs: list[str]
    student: str

    def run(self, run: Path) -> Path:
        """A curated run of its own."""
        for stage in ("cluster", "sample"):
            shutil.copytree(self.folder / "curated" / "run" / stage, run / stage, copy_function=os.link)
        return run

    def words(self, run: Path, **changes: object) -> list[str]:
        return ["distill", *distilling.words(run, self.specs, self.student, **changes)]


@pytest.fixture(scope="module")
def distil(tmp_path_factory: pytest.TempPathFactory) -> Distilling:
    folder = tmp_path_factory.mktemp("distilling")
    curated(folder / "curated")
    return Distilling(folder=folder, specs=distilling.teachers(folder), student=distilling.student(folder))


@pytest.fixture(scope="module")
def distilled(tiny: Tiny, distil: Distilling) -> Path:
    """An undisturbed distillation by one process."""
    run = distil.run(distil.folder / "undisturbed")
    done = tiny.siglino(*distil.words(run))
    assert done.returncode == 0, done.stderr
    return run


def send(started: Started, number: int, *, group: bool = False) -> None:
    """A signal to the command alone, or to its group, as a terminal sends it."""
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(started.process.pid, number)


def ended(started: Started, number: int, err: Path) -> None:
    """It ended as it should; AssertionError if not, or if anything of it is alive ten seconds afterwards."""
    code, said = started.wait()[0], err.read_text()
    if number == signal.SIGKILL:
        assert code == -number
    else:
        assert code == 128 + number, said
        name = signal.Signals(number).name
        assert said == f"Stopped by {name}: what was committed stays, and the same command goes on from there.\n"
    deadline = time.monotonic() + 10
    while family := started.family():
        assert time.monotonic() < deadline, [p.cmdline() for p in family]
        time.sleep(0.1)


def running(started: Started, word: str) -> bool:
    """Whether a process of the command has a word in its command line."""
    for process in started.family():
        with suppress(psutil.Error):
            if word in " ".join(process.cmdline()):
                return True
    return False


def test_in_mid_stage_and_again_while_it_cleans_up(tiny: Tiny, undisturbed: Path, tmp_path: Path) -> None:
    run, err = tmp_path / "run", tmp_path / "err"
    with tiny.start("curate", *tiny.words(run), log=tmp_path / "log", err=err) as started:
        assert started.until(lambda: count(run, "embed/commits/part-") >= 1)
        for _ in range(3):
            send(started, signal.SIGTERM)
            time.sleep(0.05)
        ended(started, signal.SIGTERM, err)
    assert not list((run / FOLDER).rglob("*.json")), "the lease is given back"
    tiny.run(run)
    assert digests(run) == digests(undisturbed)


@pytest.mark.parametrize("number", WAYS, ids=lambda n: n.name)
def test_while_ray_starts(tiny: Tiny, tmp_path: Path, number: int) -> None:
    err = tmp_path / "err"
    words = tiny.words(tmp_path / "run", runner="ray")
    with tiny.start("curate", *words, log=tmp_path / "log", err=err) as started:
        assert started.until(lambda: running(started, "gcs_server"))
        send(started, number)
        ended(started, number, err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_while_loaders_read(tiny: Tiny, distil: Distilling, distilled: Path, tmp_path: Path, number: int) -> None:
    run, err = distil.run(tmp_path / "run"), tmp_path / "err"
    words = distil.words(run, **LOCAL)
    semaphores = set(Path("/dev/shm").glob("sem.mp-*"))
    with tiny.start(*words, log=tmp_path / "log", err=err) as started:
        assert started.until(lambda: running(started, "spawn_main"))
        send(started, number, group=number == signal.SIGINT)
        ended(started, number, err)
    end = time.monotonic() + 60  # those of tests beside this one go by then; what is left behind stays
    while set(Path("/dev/shm").glob("sem.mp-*")) - semaphores and time.monotonic() < end:
        time.sleep(0.5)
    assert not set(Path("/dev/shm").glob("sem.mp-*")) - semaphores
    assert tiny.siglino(*words).returncode == 0
    assert digests(run, "targets", "train") == digests(distilled, "targets", "train")


FLOW = """
import os
from flows.curate import curate
curate(experiment="", overrides={words!r})
"""


def test_an_embedded_server_of_prefects_ends_with_a_killed_flow(tiny: Tiny, tmp_path: Path) -> None:
    run, mark = tmp_path / "run", f"flow of {tmp_path}"
    code = FLOW.format(words=tiny.words(run))
    env = {**tiny.env(PREFECT_API_URL=""), MARK: mark}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tiny.home, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 180
        while not count(run, "source/commits/part-"):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert any("prefect.server" in " ".join(p.cmdline()) for p in marked(mark))
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while marked(mark):
            assert time.monotonic() < deadline, [p.cmdline() for p in marked(mark)]
            time.sleep(0.1)
    finally:
        process.kill()
        kill_marked(mark)


@pytest.mark.soak
def test_prefect_hears_of_it(tiny: Tiny, tmp_path: Path) -> None:
    err = tmp_path / "err"
    with prefect_server(tmp_path) as server:
        env = {"PREFECT_API_URL": server.url}
        words = ["curate", *tiny.words(tmp_path / "run")]
        with tiny.start(*words, log=tmp_path / "log", err=err, env=env) as started:
            assert started.until(lambda: count(tmp_path / "run", "source/commits/part-") >= 1)
            send(started, signal.SIGTERM)
            ended(started, signal.SIGTERM, err)
        (run,) = server.api("/flow_runs/filter", {})
        assert run["state_type"] == "CRASHED"


@pytest.mark.storm
@pytest.mark.timeout(3600)
def test_a_storm(tiny: Tiny, undisturbed: Path, distil: Distilling, tmp_path: Path) -> None:
    rng = random.Random(143)
    wanted = {"curate": digests(undisturbed)}
    lasts: dict[str, float] = {}
    commands: dict[str, Callable[[Path], list[str]]] = {
        "curate": lambda run: ["curate", *tiny.words(run, runner="ray")],
        "distill": lambda run: distil.words(run, **RAY),
    }
    for name, words in commands.items():
        run = tmp_path / f"{name}-undisturbed"
        if name == "distill":
            distil.run(run)
        began = time.monotonic()
        with tiny.start(*words(run), log=tmp_path / "log", err=tmp_path / "err") as started:
            code, said = started.wait(600)
        assert (code, (tmp_path / "err").read_text()) == (0, ""), said
        lasts[name] = time.monotonic() - began
        found = digests(run, *(STAGES if name == "curate" else ("targets", "train")))
        assert wanted.setdefault(name, found) == found
    for i in range(20):
        name, number = ("curate", "distill")[i % 2], WAYS[i % 3]
        run, err = tmp_path / f"{i}", tmp_path / f"{i}.err"
        if name == "distill":
            distil.run(run)
        while True:
            moment, group = rng.uniform(0, 0.9 * lasts[name]), number == signal.SIGINT and rng.random() < 0.5
            err.unlink(missing_ok=True)
            with tiny.start(*commands[name](run), log=tmp_path / f"{i}.log", err=err) as started:
                assert started.until(lambda started=started: heeds(started.process.pid))
                with suppress(subprocess.TimeoutExpired):
                    started.process.wait(moment)
                if started.process.poll() is None:
                    send(started, number, group=group)
                    sent = time.monotonic()
                    ended(started, number, err)
                    break
            shutil.rmtree(run)
            if name == "distill":
                distil.run(run)
        where = [m.parent.name for m in run.glob("*/manifest.json")]
        print(f"{i:2} {name:<8} {signal.Signals(number).name:<8} after {moment:5.1f} s, done {where}", end=" ")
        print(f"gone in {time.monotonic() - sent:.1f} s", flush=True)
        with tiny.start(*commands[name](run), log=tmp_path / f"{i}.log", err=err) as started:
            code, said = started.wait(600)
        assert code == 0, said + err.read_text()
        assert digests(run, *wanted[name]) == wanted[name]


def heeds(pid: int) -> bool:
    """Whether the command heeds signals by now: before that there is no code of ours."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        mask = int(next(line.split()[1] for line in lines if line.startswith("SigCgt:")), 16)
        return bool(mask & 1 << (signal.SIGTERM - 1))
    return False
