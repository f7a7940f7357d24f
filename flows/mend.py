"""`siglino verify RUN --mend`: what is damaged or gone is made again, by the stage that made it, and nothing else."""

from collections.abc import Sequence

from flows.stages import NOTES, Asked, Choice, run_stages
from flows.verify import CHECKPOINTS, COMMITS, RECORDS, Verdict, stage_of
from pipelines.support.runtime import Progress
from siglino_core.config import Config, build
from siglino_core.distillation.training.metrics import NAME as METRICS
from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.store import Files, Run, Stage
from siglino_core.store.lease import Lease
from siglino_core.store.lease import folder as lease_folder
from siglino_core.store.successor import MANIFEST

CARD = "README.md"  # of a sample: no shard's, and made again
ANEW = "only a new training (--redo train) writes another"


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
    damage = {v.name: len(v.records) + len(v.gone) + len(v.files) for v in found if v.name != "notes"}
    bad = [name for name, count in damage.items() if count > len(hopeless[name])]
    configs = {name: _config(run, name) for name in bad}
    for verdict in found:
        if verdict.name in bad:
            _drop(run.stage(verdict.name), verdict)
    for name in bad:
        before = run.stage(name).manifest()
        about = run.about(name)
        asked = Asked(experiment=about["experiment"], command=about["command"])
        run_stages([Choice(stage=stage_of(name), redo="no")], configs[name], asked, progress)
        after = run.stage(name).require()
        if name != "report" and before is not None and before.digest != after.digest:  # a page tells times
            raise StoreError(
                f"{run.url}/{name} was made again and is another artifact now ({before.digest[:12]} before, "
                f"{after.digest[:12]} now): its code or its machine changed. What follows from it wants --redo."
            )
    return [line for lines in hopeless.values() for line in lines]


def _config(run: Run, stage: str) -> Config:
    note = next(note for note, of in NOTES.items() if stage_of(stage) in of)
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
        commits = [n for n in (*verdict.records, *verdict.gone) if n.startswith(COMMITS)]
        others = [n for n in verdict.records if n in RECORDS]
        stage.files.delete([*commits, *others])  # before the files that they alone tell of
        if commits and MANIFEST not in (*verdict.records, *verdict.gone):
            # Of such commits the files are those that are no other shard's.
            kept = {f for record in stage.commits(whole=False).values() for f in record["files"]}
            stage.files.delete([n for n in stage.require().files if n not in kept])
        made = {file: shard for file, shard in verdict.files.items() if shard or file == CARD}
        if made.get(CARD) == "":  # an export's is a shard's
            stage.files.delete([MANIFEST])  # it is written when the stage is finished
        stage.files.delete([*made, *(f"{COMMITS}{shard}.json" for shard in made.values() if shard), *commits])
        stage.drop_damaged()
    finally:
        lease.release()
