"""`siglino verify RUN [STAGE] [--mend]`: is everything in a run what was written, and if not, make just that again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from flows.screen import say
from flows.stages import COMMANDS, CURATE, DISTILL, PATH, Asked, Choice, run_stages
from pipelines.support.runtime import Progress
from siglino_core.config import Config, build
from siglino_core.distillation.training.metrics import NAME as METRICS
from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.report.numbers import size
from siglino_core.store import Files, Run, Stage
from siglino_core.store.intact import damaged
from siglino_core.store.lease import Lease
from siglino_core.store.lease import folder as lease_folder
from siglino_core.store.successor import MANIFEST, PLAN
from siglino_core.weights.marks import MARK
from siglino_core.weights.marks import entries as marked

RECORDS = (PLAN, MANIFEST)
CARD = "images/README.md"  # of a sample: no shard's, and made again
CHECKPOINTS = "checkpoints/"  # of a training
ANEW = "only a new training (--redo train) writes another"
NOTES = {"curate.json": CURATE, "distill.json": DISTILL}


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
    """Every stage that has begun, in the path's order, and the notes of the run first.

    Raises:
        StoreError: there is no run, or the store cannot be reached.
    """
    begun = [name for name in PATH if run.stage(name).files.sizes()]
    used = {name for stage in begun for name in _inputs(run.stage(stage))}
    looked_at = [name for name in PATH if name in stages and (name in begun or name in used)]
    if not looked_at:
        raise StoreError(f"{run.url}: nothing of {', '.join(stages)} is here to verify.")
    notes = [note for note, of in NOTES.items() if set(begun) & set(of)]
    gone = [name for name in notes if not Files(run.url).exists(name)]
    bad = _bad(Files(run.url), [name for name in notes if name not in gone])
    bad += [name for name in notes if name not in (*gone, *bad) and _misplaced(run, name)]
    yield Verdict(name="notes", checked=len(notes), bytes=0, records=bad, files={}, gone=gone)
    for name in looked_at:
        yield _verdict(run.stage(name), finished=name in used)


def _inputs(stage: Stage) -> list[str]:
    """The stages of the run that a stage says it was made from."""
    for name in RECORDS:
        try:
            record = stage.files.read_record(name)
        except (DamagedError, ConfigError):
            continue
        if record is not None:
            return [name for name in record.get("identity", {}).get("inputs", {}) if name in PATH]
    return []


def _misplaced(run: Run, note: str) -> bool:
    """Whether a note is another command's."""
    command = (Files(run.url).read_record(note) or {}).get("command", "").split()
    return len(command) > 1 and command[1] in COMMANDS and not set(COMMANDS[command[1]]) & set(NOTES[note])


def _verdict(stage: Stage, *, finished: bool) -> Verdict:
    """What is found of a stage.

    Args:
        finished: another stage was made from it.
    """
    sizes = stage.files.sizes()
    records = [n for n in sizes if n in RECORDS or n.startswith("commits/") or _is_mark(n)]
    bad = _bad(stage.files, records)
    plan = stage.files.read_record(PLAN) if PLAN in records and PLAN not in bad else None
    if plan is not None and plan.get("identity", {}).get("stage", stage.name) != stage.name:
        bad, plan = [*bad, PLAN], None
    for name in records:
        if name.startswith("commits/") and name not in bad:
            record = stage.files.read_record(name) or {}
            theirs = plan is not None and record["fingerprint"] != plan["fingerprint"]
            bad += [name] if theirs or name != f"commits/{record['shard']}.json" else []
    if MANIFEST in records and MANIFEST not in bad and (stage.files.read_record(MANIFEST) or {})["stage"] != stage.name:
        bad.append(MANIFEST)
    finished = finished or MANIFEST in sizes
    needed = [PLAN, MANIFEST, *(f"commits/{shard['name']}.json" for shard in (plan or {"shards": []})["shards"])]
    gone = [n for n in needed if n not in sizes] if finished else []
    commits = {n: r for n, r in stage.commits(whole=False).items() if f"commits/{n}.json" not in bad}
    owner = {file: shard for shard, record in commits.items() for file in record["files"]}
    if MANIFEST in sizes and MANIFEST not in bad:
        manifest = stage.require()
        entries = {**manifest.files, **manifest.extras}
    else:  # what was swept when the stage was finished is in commit records still
        entries = {n: e for record in commits.values() for n, e in record["files"].items() if n in sizes}
    for name in records:
        if _is_mark(name) and name not in bad:
            entries |= marked(stage.files.read_record(name) or {}, name.removesuffix(MARK))
    entries = {n: e for n, e in entries.items() if n not in bad}
    return Verdict(
        name=stage.name,
        checked=len({*records, *entries}),
        bytes=sum(e[0] for e in entries.values()),
        records=bad,
        files={name: owner.get(name, "") for name in damaged(stage.files, entries)},
        gone=gone,
        finished=finished,
    )


def _is_mark(name: str) -> bool:
    return name.startswith(CHECKPOINTS) and name.endswith(f"/{MARK}")


def _bad(files: Files, names: Sequence[str]) -> list[str]:
    bad = []
    for name in names:
        try:
            files.read_record(name)
        except DamagedError:
            bad.append(name)
    return bad


def show(verdict: Verdict, run: Run, console: Console) -> None:
    """A line a stage, and one for each thing that is damaged."""
    word = ("ok" if verdict.finished else "begun") if verdict.good else "damaged"
    files = f"{verdict.checked:,} files" + (f", {size(verdict.bytes)}" if verdict.bytes else "")
    console.print(f"{verdict.name:<8} {word:<8} {files}", highlight=False)
    folder = run.url if verdict.name == "notes" else f"{run.url}/{verdict.name}"
    for name in verdict.records:
        say(console, f"  {folder}/{name}: the record is damaged, or another's")
    for name in verdict.gone:
        say(console, f"  {folder}/{name}: the record is gone")
    for name, shard in verdict.files.items():
        of = f" (shard {shard})" if shard else ""
        say(console, f"  {folder}/{name}{of}: gone, or not the bytes that were written")


def lost(run: Run, verdict: Verdict) -> list[str]:
    """What of the damage cannot be made again, a line each: what it is, and what can be done."""
    lines = []
    for name in [*verdict.records, *verdict.gone, *verdict.files]:
        shard, url = verdict.files.get(name), f"{run.url}/{verdict.name}/{name}"
        if verdict.name == "notes":
            lines.append(f"{run.url}/{name} is not mended: the command that made the run writes it anew, so run that.")
        elif name.startswith(CHECKPOINTS):
            lines.append(
                f"{url} cannot be made again: it is part of a checkpoint, and {ANEW}. {_without(run, verdict)}"
            )
        elif name == METRICS:
            lines.append(f"{url} cannot be made again: it told how the training went, and {ANEW}.")
        elif not shard and name in verdict.files and name != CARD:
            lines.append(f"{url} cannot be made again: no stage writes it by itself.")
    return lines


def _without(run: Run, verdict: Verdict) -> str:
    """What a training is without one of its checkpoints."""
    finished = MANIFEST not in verdict.records and run.stage(verdict.name).manifest() is not None
    return "The student is made already." if finished else "Training goes on from the checkpoint before it."


def mend(run: Run, found: Sequence[Verdict], progress: Progress) -> list[str]:
    """Make what is damaged again, with the settings that the run was made by; what could not be, a line each.

    Raises:
        ConfigError: a stage was made by other settings than the run's note has.
        StoreError: the note itself is damaged, or another process is at work.
    """
    hopeless = {v.name: lost(run, v) for v in found}
    bad = [
        v.name
        for v in found
        if v.name != "notes" and len(v.records) + len(v.gone) + len(v.files) > len(hopeless[v.name])
    ]
    configs = {name: _config(run, name) for name in bad}
    for verdict in found:
        if verdict.name in bad:
            _drop(run.stage(verdict.name), verdict)
    for name in bad:
        before = run.stage(name).manifest()
        about = run.about(name)
        asked = Asked(experiment=about["experiment"], command=about["command"])
        run_stages([Choice(stage=name, redo="no")], configs[name], asked, progress)
        after = run.stage(name).require()
        if name != "report" and before is not None and before.digest != after.digest:  # a page tells times
            raise StoreError(
                f"{run.url}/{name} was made again and is another artifact now ({before.digest[:12]} before, "
                f"{after.digest[:12]} now): its code or its machine changed. What follows from it wants --redo."
            )
    return [line for lines in hopeless.values() for line in lines]


def _config(run: Run, stage: str) -> Config:
    note = "curate.json" if stage in CURATE else "distill.json"
    try:
        about = Files(run.url).read_record(note)
    except DamagedError as e:
        raise StoreError(
            f"{run.url}/{note} is damaged, so that the settings are not known. Run the command again that made this "
            "run: it writes them anew; then mend."
        ) from e
    if about is None:
        raise ConfigError(f"{run.url}/{note} is not there, so that the settings are not known.")
    return build(Config, {**about["config"], "run": run.url})


def _drop(stage: Stage, verdict: Verdict) -> None:
    """Take away what is damaged and can be made again, so that the stage finds it missing."""
    lease = Lease.take(lease_folder(stage.run.url, stage.name), stage.files.url)
    try:
        commits = [n for n in (*verdict.records, *verdict.gone) if n.startswith("commits/")]
        others = [n for n in verdict.records if n in RECORDS]
        stage.files.delete([*commits, *others])  # before the files that they alone tell of
        if commits and MANIFEST not in (
            *verdict.records,
            *verdict.gone,
        ):  # theirs are the files that are no other shard's
            kept = {f for record in stage.commits(whole=False).values() for f in record["files"]}
            stage.files.delete([n for n in stage.require().files if n not in kept])
        made = {file: shard for file, shard in verdict.files.items() if shard or file == CARD}
        if CARD in made:
            stage.files.delete([MANIFEST])  # it is written when the stage is finished
        stage.files.delete([*made, *(f"commits/{shard}.json" for shard in made.values() if shard), *commits])
        stage.drop_damaged()
    finally:
        lease.release()


def verify(run: Run, stage: str | None, console: Console) -> list[Verdict]:
    """Look at a run, or at one of its stages, and say what is found."""
    if stage is not None and stage not in PATH:
        raise ConfigError(f"no such stage: {stage}. The stages are {', '.join(PATH)}.")
    found = []
    for verdict in verdicts(run, [stage] if stage else PATH):
        show(verdict, run, console)
        found.append(verdict)
    return found
