"""The trainings of a grid as ordinary runs: their words, what they share, and the processes that make them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

from flows.ablation import HERE, RUN, SPLIT, Grid, placed
from flows.config import compose_config
from siglino_core.config import Config, to_dict
from siglino_core.errors import SiglinoError
from siglino_core.foreign import word
from siglino_core.hashing import fingerprint
from siglino_core.store import STAGES, Files, Run
from siglino_core.store.adopted import adopt
from siglino_core.store.names import GROUND
from siglino_core.store.records import MANIFEST
from siglino_core.store.successor import PLAN

SHARED = ("source", "embed", "cluster", "sample")  # stages that runs of equal settings have in common
SPLITS = ("source", "embed", "cluster", "sample")  # stages of the run that parts a pool, all that others need of it
SEEDLESS = ("source", "embed")  # of these, those that no seed changes; they are made once at a time, as they take time
LOOK = 0.5  # seconds between two looks at what is under way
ROOT = Path(__file__).resolve().parents[1]
_ERROR = re.compile(r"\w+Error: ")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a grid: an arm with a seed, or, without an arm, the one that parts the pool.

    Attributes:
        words: of its command, run and seed among them.
        settings: what the arm changes, as the grid has it.
        needs: runs that must be finished before.
        stages: that its command makes, in their order.
    """

    arm: str
    seed: int
    run: str
    words: Sequence[str]
    settings: Sequence[str] = ()
    needs: Sequence[str] = ()
    stages: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"{self.arm} seed {self.seed}" if self.arm else "split"

    @property
    def last(self) -> str:
        """The stage that ends it."""
        return self.stages[-1]

    @property
    def command(self) -> list[str]:
        """Words of `siglino` that make it."""
        made_by = {SPLITS: "curate", tuple(GROUND): "ground"}
        return [made_by.get(tuple(self.stages), "run"), *self.words]

    def config(self) -> Config:
        """What its words ask for, whatever the run was made by so far.

        Raises:
            ConfigError: they do not hold.
        """
        return replace(compose_config([*self.words, f"run={self.run}/none"]), run=self.run)


def cells_of(grid: Grid, folder: str, *, seeds: int, only: str = "", more: Sequence[str] = ()) -> list[Cell]:
    """The runs of a grid, all arms of a seed before the next seed; first the one that parts the pool.

    Args:
        only: this arm alone, and those whose runs it names; empty: all.
        more: settings for all arms, over those of the grid.
    """
    split = f"{folder}/split"
    base = list(grid.base)
    if any(text.startswith("experiment=") for text in more):
        base = [text for text in base if not text.startswith("experiment=")]
    wanted = list(grid.arms)
    if only:
        wanted = [arm for arm in wanted if arm == only or arm in grid.stands_on(only)]
    found: list[Cell] = []
    if grid.split:
        found.append(Cell(arm="", seed=0, run=split, words=[*grid.split, f"run={split}"], stages=SPLITS))
    path = STAGES[: STAGES.index(grid.last) + 1]
    for seed in range(seeds):
        runs = {arm: f"{folder}/{arm}/seed-{seed}" for arm in grid.arms}
        for arm in wanted:
            words = [*base, *grid.arms[arm], *more, f"run={runs[arm]}", f"seed={seed}"]
            places = {RUN: runs[arm], SPLIT: split, HERE: grid.here, **{f"@{name}": run for name, run in runs.items()}}
            needs = [runs[name] for name in grid.arms if name in grid.stands_on(arm)]
            found.append(
                Cell(
                    arm=arm,
                    seed=seed,
                    run=runs[arm],
                    words=placed(words, places),
                    settings=list(grid.arms[arm]),
                    needs=[*([split] if grid.split else []), *needs],
                    stages=GROUND if arm in grid.grounds else path,
                )
            )
    return found


def is_begun(cell: Cell) -> bool:
    """Whether its run has anything."""
    return any(Run(cell.run).stage(stage).files.exists(name) for stage in STAGES for name in (PLAN, MANIFEST))


def is_done(cell: Cell, config: Config) -> bool:
    """Whether its last stage is finished, and its stages were made by these very settings.

    What a setting leaves open is noted as it was asked for, or, of a stage that was taken over, as it came to be.
    """
    run = Run(cell.run)
    try:
        if run.stage(cell.last).manifest() is None:
            return False
        asked, made = to_dict(config), to_dict(compose_config(list(cell.words)))
        for section in cell.stages:
            noted = run.about(section).get("config", {})
            for key, value in asked[section].items():
                if noted.get(section, {}).get(key, ()) not in (value, made[section][key]):
                    return False
            if noted.get("seed") != config.seed:
                return False
    except SiglinoError:  # its command says what is wrong with it
        return False
    return True


@dataclass
class _Running:
    """A cell's process.

    Attributes:
        makes: key of the pool's embedding that it makes; None: that was there.
    """

    cell: Cell
    process: "subprocess.Popen[bytes]"
    log: Path
    makes: str | None
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell's process ended: ``why`` it failed, or empty."""

    cell: Cell
    why: str
    seconds: float


def make(
    cells: Sequence[Cell], configs: Mapping[str, Config], folder: str, jobs: int, tell: Callable[[str], None]
) -> Iterator[Outcome]:
    """Run the cells' commands, ``jobs`` at a time, each when what it needs is there; outcomes as they come.

    What another run of the grid made by equal settings is taken over, not made again. A cell whose need failed fails
    too.

    Args:
        configs: of these and of all other runs of the grid, by run.
        tell: what begins, and where its log is.
    """
    keys = {run: _keys(config) for run, config in configs.items()}
    waiting, running, failed = list(cells), list[_Running](), set[str]()
    try:
        while waiting or running:
            for cell in [c for c in waiting if any(need in failed for need in c.needs)]:
                waiting.remove(cell)
                failed.add(cell.run)
                lost = next(need for need in cell.needs if need in failed)
                yield Outcome(cell=cell, why=f"{lost} failed", seconds=0.0)
            while len(running) < jobs and (cell := next(_startable(waiting, running, keys), None)) is not None:
                waiting.remove(cell)
                running.append(_started(cell, keys, folder))
                tell(f"{cell.name}: begun; {running[-1].log} is its log")
            for one in [r for r in running if r.process.poll() is not None]:
                running.remove(one)
                why = _why(one)
                if why:
                    failed.add(one.cell.run)
                yield Outcome(cell=one.cell, why=why, seconds=time.monotonic() - one.began)
            time.sleep(LOOK if running else 0.0)
    finally:
        for one in running:
            with suppress(OSError):
                one.process.terminate()


def _startable(waiting: Sequence[Cell], running: Sequence[_Running], keys: dict[str, dict[str, str]]) -> Iterator[Cell]:
    """Cells whose needs are finished, and whose embedding no other process is making at this moment."""
    unfinished = {cell.run for cell in waiting} | {one.cell.run for one in running}
    making = {one.makes for one in running if one.makes and not _has(one.cell.run, "embed")}
    for cell in waiting:
        alone = "embed" not in cell.stages or keys[cell.run]["embed"] not in making or _has(cell.run, "embed")
        if alone and not unfinished & set(cell.needs):
            yield cell


def _started(cell: Cell, keys: dict[str, dict[str, str]], folder: str) -> _Running:
    embeds = "embed" in cell.stages
    if embeds:
        take_over(cell.run, keys)
    files = Files(folder)
    name = f"logs/{cell.name.replace(' ', '-')}.log"
    log = files.local / name if files.local is not None else Path(mkdtemp(prefix="siglino-")) / Path(name).name
    log.parent.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("PYTHONPATH")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{before}" if before else str(ROOT), "COLUMNS": "120"}
    with log.open("wb") as out:
        out.write(f"siglino {' '.join(map(word, cell.command))}\n".encode())
        out.flush()
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "flows.cli", *cell.command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    makes = None if not embeds or _has(cell.run, "embed") else keys[cell.run]["embed"]
    return _Running(cell, process, log, makes)


def take_over(run: str, keys: dict[str, dict[str, str]]) -> list[str]:
    """Take over the first stages that another run made by equal settings; their names."""
    taken: list[str] = []
    for stage in SHARED:
        if _has(run, stage):
            continue
        others = (other for other in keys if other != run and keys[other][stage] == keys[run][stage])
        of = next((other for other in others if _has(other, stage)), None)
        if of is None or not adopt(Run(run).stage(stage), Run(of).stage(stage)):
            break
        taken.append(stage)
    return taken


def _keys(config: Config) -> dict[str, str]:
    """Of each shared stage a hash of all settings that it stands on."""
    values, found, above = to_dict(config), {}, ""
    for stage in SHARED:
        above = fingerprint([above, values[stage], None if stage in SEEDLESS else config.seed])
        found[stage] = above
    return found


def _has(run: str, stage: str) -> bool:
    try:
        return Run(run).stage(stage).files.exists(MANIFEST)
    except SiglinoError:
        return False


def _why(one: _Running) -> str:
    """The last error that the process told, where it failed."""
    code = one.process.returncode
    if code == 0 and _has(one.cell.run, one.cell.last):
        return ""
    lines = one.log.read_text(encoding="utf-8", errors="replace").splitlines()
    if errors := [line for line in lines if _ERROR.match(line)]:
        return " ".join(errors[-1].split())
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "nothing")
    return f"its process ended with {code}, and the last it said was: {last}"
