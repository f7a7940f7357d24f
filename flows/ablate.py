"""`siglino ablate NAME`: a grid of trainings and evaluations, and a table of what their differences show."""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from rich.console import Console

from flows.ablation import GROUNDED, Grid, Metric, grids, load_grid, unknown
from flows.cells import Cell, cells_of, is_begun, is_done, make
from flows.screen import say
from siglino_core.config import Config, did_you_mean
from siglino_core.errors import ConfigError, DataError, SiglinoError
from siglino_core.evaluation.results import ablation_text
from siglino_core.evaluation.results.ablation import FAILED, UNMEASURED, WAITING, Row, lines, read_rows, write_rows
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.result import Result
from siglino_core.foreign import word
from siglino_core.store import Files, Run
from siglino_core.store.lease import Lease
from siglino_core.store.lease import folder as lease_folder
from siglino_core.store.records import MANIFEST

ROWS, TABLE, RECORD = "rows.jsonl", "ablation.md", "ablation.json"
GRID = "grid"  # the lease of its folder
LEAST = 2  # seeds
MADE = ("targets", "train", "export", "evaluate", "ground", "answers")  # stages whose time is a training's
JUDGED = ("evaluate", "answers")  # those that leave results


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for.

    Attributes:
        folder: where the runs and the table go.
        only: this arm alone; empty: all.
        jobs: runs side by side.
        more: settings for all arms.
    """

    grid: Grid
    folder: str
    seeds: int
    only: str
    jobs: int
    more: Sequence[str]


def asked(arguments: argparse.Namespace) -> Asked:
    """From the command's words.

    Raises:
        ConfigError: no grid or two, no such arm, fewer than two seeds, or the grid does not hold.
    """
    names = [text for text in arguments.settings if "=" not in text]
    if len(names) != 1:
        raise ConfigError(f"ablate: {' and '.join(map(word, names)) or 'nothing'} is named; name one grid")
    grid = load_grid(names[0])
    seeds = grid.seeds if arguments.seeds is None else arguments.seeds
    if seeds < LEAST:
        raise ConfigError(f"ablate {grid.name}: seeds={seeds}: an interval over seeds needs {LEAST} at least")
    if arguments.jobs < 1:
        raise ConfigError(f"ablate {grid.name}: jobs={arguments.jobs}: one at least")
    only = arguments.only or ""
    if only and only not in grid.arms:
        arms = list(grid.arms)
        raise ConfigError(f"ablate {grid.name}: no arm {only}{did_you_mean(only, arms)}: {', '.join(arms)}")
    more = [text for text in arguments.settings if "=" in text and not text.startswith("run=")]
    if any(text.startswith("seed=") for text in more):
        raise ConfigError(f"ablate {grid.name}: seed= is each run's own; say how many with --seeds")
    if named := unknown(more, list(grid.arms)):
        raise ConfigError(f"ablate {grid.name}: {named}")
    folder = next((text[4:] for text in arguments.settings if text.startswith("run=")), f"runs/ablate-{grid.name}")
    return Asked(grid=grid, folder=folder.rstrip("/"), seeds=seeds, only=only, jobs=arguments.jobs, more=more)


def ablate(wanted: Asked, console: Console, *, table_only: bool = False) -> int:
    """Make what is missing, write the table and print it; the exit code: 1 if a training failed or is missing.

    Args:
        table_only: make nothing; of what is there the table alone, which may be looked at while another process makes
            the rest.

    Raises:
        ConfigError: settings of an arm do not hold, or of a grid whose table is asked for there is nothing.
        DataError, StoreError: what is there cannot be read, or another process makes it.
    """
    cells = cells_of(wanted.grid, wanted.folder, seeds=wanted.seeds, only=wanted.only, more=wanted.more)
    if table_only:
        failed = _failures_of_what_is_there(wanted, console)
        return _table(wanted, cells, failed, console)
    configs = {cell.run: cell.config() for cell in cells}  # all are judged before any is begun
    lease = Lease.take(lease_folder(wanted.folder, GRID), wanted.folder)
    try:
        failed = _told_failures(Files(wanted.folder), [cell.run for cell in cells])
        _make_missing(wanted, cells, configs, failed, console)
        return _table(wanted, cells, failed, console)
    finally:
        lease.release()


def _table(wanted: Asked, cells: Sequence[Cell], failed: Mapping[str, str], console: Console) -> int:
    """Write and print it; the exit code."""
    everything = cells_of(wanted.grid, wanted.folder, seeds=wanted.seeds, more=wanted.more)
    rows = [row for cell in everything if cell.arm for row in rows_of(wanted.grid, cell, failed.get(cell.run, ""))]
    _write(wanted, rows, console)
    asked_for = {(cell.arm, cell.seed) for cell in cells}
    return int(any(row.state in (FAILED, WAITING) for row in rows if (row.arm, row.seed) in asked_for))


def _failures_of_what_is_there(wanted: Asked, console: Console) -> dict[str, str]:
    """As :func:`_told_failures`; rows that are damaged are made anew, without what only they knew.

    Raises:
        ConfigError: the folder holds nothing of the grid.
    """
    files, told = Files(wanted.folder), dict[str, str]()
    try:
        told = _told_failures(files, [])
        rows = read_rows(files.read(ROWS), ROWS) if files.exists(ROWS) else []
        known = any(row.arm in wanted.grid.arms for row in rows)
    except DataError as e:
        known = False
        say(console, f"{e}. They are made anew from the runs; why a run failed is known no more.")
    if not known and not any(is_begun(cell) for cell in cells_of(wanted.grid, wanted.folder, seeds=wanted.seeds)):
        raise ConfigError(
            f"ablate {wanted.grid.name} --table-only: {wanted.folder} holds no run of this grid. Say where they are: "
            "run=FOLDER"
        )
    return told


def _make_missing(
    wanted: Asked, cells: Sequence[Cell], configs: Mapping[str, Config], failed: dict[str, str], console: Console
) -> None:
    """Run the commands of what is not finished, and note in ``failed`` why what could not be made was not."""
    missing = [cell for cell in cells if not is_done(cell, configs[cell.run])]
    done = len(cells) - len(missing)
    say(console, f"{wanted.grid.name}: {len(cells)} runs, {done} finished, in {wanted.folder}")

    def tell(text: str) -> None:
        say(console, f"  {text}")

    for outcome in make(missing, configs, wanted.folder, wanted.jobs, tell):
        done += 1
        state = f"failed: {outcome.why}" if outcome.why else "done"
        say(console, f"  {done}/{len(cells)}  {outcome.cell.name}: {state}, {outcome.seconds:,.0f} s")
        if outcome.why:
            failed[outcome.cell.run] = outcome.why
        if outcome.cell.arm:
            rows = rows_of(wanted.grid, outcome.cell, outcome.why)
            _append(Files(wanted.folder), rows)


def rows_of(grid: Grid, cell: Cell, why: str = "") -> list[Row]:
    """What a run says: a row a measure; of one that is not finished one row that says so.

    Args:
        why: it failed.
    """
    run = Run(cell.run)
    row = Row(arm=cell.arm, seed=cell.seed, settings=tuple(cell.settings))
    try:
        manifests = {stage: run.stage(stage).manifest() for stage in MADE}
        train = manifests["ground" if grid.last == GROUNDED else "train"]
        if why or train is None or manifests[grid.last] is None:
            return [replace(row, state=FAILED if why else WAITING, why=why)]
        of = [Evaluation.open(run.stage(stage).files) for stage in JUDGED if manifests[stage] is not None]
        results = [result for evaluation in of for result in evaluation.results]
    except SiglinoError as e:
        return [replace(row, state=FAILED, why=" ".join(str(e).split()))]
    seconds = round(sum(m.wall_seconds for m in manifests.values() if m is not None), 1)
    row = replace(row, digest=train.digest, seconds=seconds)
    return [_measured(replace(row, metric=name), m, results, train.facts) for name, m in grid.metrics.items()]


def _measured(row: Row, metric: Metric, results: Sequence[Result], facts: Mapping[str, Any]) -> Row:
    """The row with its number, or why there is none."""
    if metric.fact:
        value: Any = facts
        for key in _path(metric.fact, facts):
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, int | float):
            return replace(row, state=UNMEASURED, why=f"the training tells no {metric.fact}")
        return replace(row, value=float(value))
    found = [
        r
        for r in results
        if not r.sanity and (r.task, r.network, r.view) == (metric.task, metric.network, metric.view)
        if metric.dataset in ("", r.dataset)
    ]
    if len(found) != 1:
        where = f" on {metric.dataset}" if metric.dataset else ""
        how = "no result" if not found else f"{len(found)} results"
        return replace(row, state=UNMEASURED, why=f"{how} of {metric.task}{where} by the view {metric.view}")
    measured = found[0].metrics.get(metric.metric) if metric.metric else found[0].headline[1]
    if measured is None:
        return replace(row, state=UNMEASURED, why=f"{metric.task} tells no {metric.metric}")
    return replace(row, value=measured.value, low=measured.low, high=measured.high, n=measured.n)


def _path(fact: str, facts: Mapping[str, Any]) -> list[str]:
    """The keys of a fact; a loss's name has dots of its own."""
    head, _, rest = fact.partition(".")
    if head == "losses":
        when, _, name = rest.partition(".")
        return [head, when, name]
    return [fact] if fact in facts else fact.split(".")


def _told_failures(files: Files, but: Collection[str]) -> dict[str, str]:
    """Why runs failed that are still not finished, by their folders, as the rows that stand have it.

    Args:
        but: of these runs nothing is asked.
    """
    if not files.exists(ROWS):
        return {}
    rows = read_rows(files.read(ROWS), f"{files.url}/{ROWS}")
    told = {f"{files.url}/{row.arm}/seed-{row.seed}": row.why for row in rows if row.state == FAILED}
    return {run: why for run, why in told.items() if run not in but and not _is_over(run)}


def _is_over(run: str) -> bool:
    """Whether the run has come to an evaluation since."""
    return any(Files(run).exists(f"{stage}/{MANIFEST}") for stage in JUDGED)


def _append(files: Files, new: Sequence[Row]) -> None:
    """Add a run's rows to those that stand, in place of its own of before."""
    stored = read_rows(files.read(ROWS), f"{files.url}/{ROWS}") if files.exists(ROWS) else []
    mine = {(row.arm, row.seed) for row in new}
    files.put(ROWS, write_rows([*(row for row in stored if (row.arm, row.seed) not in mine), *new]))


def _write(wanted: Asked, rows: Sequence[Row], console: Console) -> None:
    grid, files = wanted.grid, Files(wanted.folder)
    table = lines(rows, grid.measures, list(grid.arms), grid.baseline)
    for made in ablation_text.terminal(table, grid.measures):
        console.print()
        console.print(made)
    say(console, "", *ablation_text.notes(table), "")
    title = f"{grid.name}: {len(grid.arms)} arms, {wanted.seeds} seeds"
    record = {"grid": grid.name, "baseline": grid.baseline, "lines": [asdict(line) for line in table]}
    files.put(ROWS, write_rows(rows))
    files.put(TABLE, ablation_text.markdown(table, grid.measures, title=title).encode())
    files.put(RECORD, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
    files.tidy_dead()
    say(console, f"Written          {files.url}/{TABLE}, {RECORD} and {ROWS}")


def plan(wanted: Asked, console: Console) -> None:
    """Say what the grid would take, by the price of each arm's training and the seconds that a run was measured at.

    Raises:
        ConfigError: settings of an arm do not hold, or a teacher cannot be had.
    """
    grid = wanted.grid
    cells = [c for c in cells_of(grid, wanted.folder, seeds=1, more=wanted.more) if c.arm]
    configs = {cell.arm: cell.config() for cell in cells}
    priced = {arm: _training_seconds(grid, arm, config) for arm, config in configs.items()}
    as_it_is = next(c for c in cells_of(grid, wanted.folder, seeds=1, only=grid.baseline) if c.arm == grid.baseline)
    beside = max(0.0, grid.seconds - _training_seconds(grid, grid.baseline, as_it_is.config()))
    chosen = [arm for arm in configs if wanted.only in ("", arm)]
    for arm in chosen:
        steps = f"{configs[arm].train.optim.steps:,} steps" if arm not in grid.grounds else ""
        grounds = f"{configs[arm].ground.optim.steps:,} steps of grounding" if grid.last == GROUNDED else ""
        told = ", ".join(filter(None, (steps, grounds)))
        say(console, f"  {arm}: {told}, {priced[arm] + beside:,.0f} s a run")
    hours = wanted.seeds * sum(priced[arm] + beside for arm in chosen) / 3600
    told = f"{beside:,.0f} s of a run are beside its training" if beside else "what is beside the trainings is not told"
    say(
        console,
        f"{grid.name}: {len(chosen)} arms x {wanted.seeds} seeds = {wanted.seeds * len(chosen)} runs, {hours:.1f} "
        f"device-hours, {hours / wanted.jobs:.1f} by the clock with --jobs {wanted.jobs}; {told}.",
    )


def _training_seconds(grid: Grid, arm: str, config: Config) -> float:
    """Of a student's training, if the arm makes one, and of its fine-tuning, if the grid ends with one."""
    hours = 0.0 if arm in grid.grounds else import_module("pipelines.train").plan(config, {}).device_hours
    if grid.last == GROUNDED:  # another arm's student is not there yet: its shape is the settings'
        alone = replace(config, ground=replace(config.ground, checkpoint=""))
        hours += import_module("pipelines.ground").plan(alone, {}).device_hours
    return 3600 * hours


def show(console: Console) -> None:
    """Print every grid: its arms and its measures."""
    for name in grids():
        grid = load_grid(name)
        say(console, f"{name}: {', '.join(grid.arms)} (baseline: {grid.baseline})")
        say(console, f"  by {', '.join(m.name for m in grid.measures)}")
    say(console, "", "Next: siglino ablate NAME [run=FOLDER] [--plan] [--seeds N] [--only ARM] [--jobs J]")
