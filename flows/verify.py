"""`siglino verify RUN [STAGE]`: is everything in a run what was written? `flows.mend` makes again what is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from flows.screen import say
from flows.stages import COMMANDS, NOTES, PATH
from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.report.numbers import size
from siglino_core.store import FEATURES, Files, Run, Stage
from siglino_core.store.intact import damaged
from siglino_core.store.records import is_own
from siglino_core.store.sealed import opened
from siglino_core.store.successor import MANIFEST, PLAN
from siglino_core.weights.marks import MARK
from siglino_core.weights.marks import entries as marked

RECORDS = (PLAN, MANIFEST)
COMMITS, CHECKPOINTS = "commits/", "checkpoints/"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found of a stage, or of the run's notes.

    Attributes:
        records: names of damaged ones.
        files: names of those that are gone or changed, by the shard that wrote each; an empty name: none did.
        gone: names of records that are not there, and were.
        finished: whether the stage once was.
    """

    name: str
    checked: int
    bytes: int
    records: list[str]
    files: dict[str, str]
    gone: list[str] = field(default_factory=list)
    finished: bool = True

    @property
    def good(self) -> bool:
        return not self.records and not self.files and not self.gone


def verdicts(run: Run, stages: Sequence[str]) -> Iterator[Verdict]:
    """Every stage that has begun, was used or was finished, in the path's order, and the notes of the run first.

    Raises:
        StoreError: there is no run, or the store cannot be reached.
    """
    path = _with_features(run)
    begun = [name for name in path if run.stage(name).files.sizes()]
    files = Files(run.url)
    there = [note for note in NOTES if files.exists(note)]
    good, bad = _records(files, there)
    bad += [note for note, record in good.items() if _is_misplaced(note, record)]
    finished = {name for stage in begun for name in _inputs(run.stage(stage))}  # others were made from them
    finished |= {name for note, record in good.items() if note not in bad for name in record.get("made", [])}
    looked_at = [name for name in path if stage_of(name) in stages and (name in begun or name in finished)]
    if not looked_at:
        raise StoreError(f"{run.url}: nothing of {', '.join(stages)} is here to verify.")
    gone = [note for note, of in NOTES.items() if note not in there and set(begun) & set(of)]
    yield Verdict(name="notes", checked=len(there) + len(gone), bytes=0, records=bad, files={}, gone=gone)
    for name in looked_at:
        yield _verdict(run.stage(name), finished=name in finished)


def _with_features(run: Run) -> list[str]:
    """The path's stages, and before the evaluation the features that it is made from."""
    at = PATH.index("evaluate")
    return [*PATH[:at], *run.features(), *PATH[at:]]


def stage_of(name: str) -> str:
    """The stage that makes a folder of a run: itself, or the evaluation for features."""
    return "evaluate" if name.startswith(f"{FEATURES}/") else name


def _inputs(stage: Stage) -> list[str]:
    """The stages of the run that a stage says it was made from."""
    good, _ = _records(stage.files, [name for name in RECORDS if stage.files.exists(name)])
    identity = next((record["identity"] for record in good.values() if "identity" in record), {"inputs": {}})
    return [name for name in identity["inputs"] if stage_of(name) in PATH]


def _is_misplaced(note: str, record: dict[str, Any]) -> bool:
    """Whether a note is another command's, or is none."""
    stages = COMMANDS.get(str(record.get("command", "")).removeprefix("siglino ").partition(" ")[0], ())
    return not set(stages) & set(NOTES[note])


def _verdict(stage: Stage, *, finished: bool) -> Verdict:
    """What is found of a stage.

    Args:
        finished: another stage was made from it, or the run's notes say so.
    """
    sizes = stage.files.sizes()
    names = [n for n in sizes if n in RECORDS or n.startswith(COMMITS) or _is_mark(n)]
    good, bad = _records(stage.files, names)
    for name in _of_others(stage.name, good):
        bad.append(name)
        del good[name]
    finished = finished or MANIFEST in sizes
    needed = [PLAN, MANIFEST, *(f"{COMMITS}{s['name']}.json" for s in good.get(PLAN, {"shards": []})["shards"])]
    commits = [record for name, record in good.items() if name.startswith(COMMITS)]
    owner = {file: record["shard"] for record in commits for file in record["files"]}
    if MANIFEST in good:
        manifest = stage.require()
        entries = {**manifest.files, **manifest.extras}
    else:  # what was swept when the stage was finished is in commit records still
        entries = {n: e for record in commits for n, e in record["files"].items() if n in sizes}
    for name, record in good.items():
        if _is_mark(name):
            entries |= marked(record, name.removesuffix(MARK))
    entries = {n: e for n, e in entries.items() if n not in bad}
    return Verdict(
        name=stage.name,
        checked=len({*names, *entries}),
        bytes=sum(e[0] for e in entries.values()),
        records=bad,
        files={name: owner.get(name, "") for name in damaged(stage.files, entries)},
        gone=[n for n in needed if n not in sizes] if finished else [],
        finished=finished,
    )


def _of_others(stage: str, good: dict[str, dict[str, Any]]) -> list[str]:
    """The records that are whole, and another stage's or another shard's."""
    plan = good.get(PLAN)
    others = [name for name in RECORDS if name in good and not is_own(name, good[name], stage)]
    for name, record in good.items():
        if name.startswith(COMMITS):
            of_plan = plan is None or PLAN in others or record.get("fingerprint") == plan["fingerprint"]
            others += [] if of_plan and name == f"{COMMITS}{record.get('shard')}.json" else [name]
        elif _is_mark(name) and "step" not in record:
            others.append(name)
    return others


def _is_mark(name: str) -> bool:
    return name.startswith(CHECKPOINTS) and name.endswith(f"/{MARK}")


def _records(files: Files, names: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The records that are what was written, by name, and the names of the others; each is read once."""
    good: dict[str, dict[str, Any]] = {}
    bad: list[str] = []
    for name, data in files.read_many(names).items():
        try:
            good[name] = opened(data, f"{files.url}/{name}")
        except DamagedError:
            bad.append(name)
    return good, bad


def show(verdict: Verdict, run: Run, console: Console) -> None:
    """A line a stage, and one for each thing that is damaged."""
    word = ("ok" if verdict.finished else "begun") if verdict.good else "damaged"
    files = f"{verdict.checked:,} files" + (f", {size(verdict.bytes)}" if verdict.bytes else "")
    console.print(f"{verdict.name:<8} {word:<8} {files}", highlight=False)
    folder = run.url if verdict.name == "notes" else f"{run.url}/{verdict.name}"
    for name in verdict.records:
        say(console, f"  {folder}/{name}: the record is damaged, or another's")
    for name in verdict.gone:
        once = ", and the stage was finished" if name == MANIFEST else ""
        say(console, f"  {folder}/{name}: the record is gone{once}")
    for name, shard in verdict.files.items():
        of = f" (shard {shard})" if shard else ""
        say(console, f"  {folder}/{name}{of}: gone, or not the bytes that were written")


def verify(run: Run, stage: str | None, console: Console) -> list[Verdict]:
    """Look at a run, or at one of its stages, and say what is found."""
    if stage is not None and stage not in PATH:
        raise ConfigError(f"no such stage: {stage}. The stages are {', '.join(PATH)}.")
    found = []
    for verdict in verdicts(run, [stage] if stage else PATH):
        show(verdict, run, console)
        found.append(verdict)
    return found
