"""What `siglino compare` is given, a run or the folder of one of its stages, and what of it has results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flows.stale import stale, warning
from siglino_core.errors import ConfigError, DamagedError
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.store import RESULTS, SAMPLE_FILES
from siglino_core.store import STAGES, Files, Run
from siglino_core.store.intact import damaged
from siglino_core.store.names import command_of
from siglino_core.store.records import MANIFEST, is_own

WITH_RESULTS = ("evaluate", "answers")  # in the order of their tables


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run, or the folder of one stage.

    Attributes:
        url: of either.
        folders: where results lie, by stage: all that a run has finished, or the one.
        alone: it is the folder of a stage, whatever else its run has.
        stale: sentences on results that are of what is no more, by stage.
    """

    url: str
    folders: Mapping[str, Files]
    alone: bool = False
    stale: Mapping[str, str] = field(default_factory=dict)


def open_place(url: str) -> Place:
    """Find what is finished there.

    Raises:
        StoreError: none of the run's stages that have results is finished, or there is no run.
        ConfigError: it is the folder of another stage.
        DamagedError: a record is not what was written.
    """
    files = Files(url.rstrip("/"))
    record = files.read_record(MANIFEST)
    if record is None:
        run = Run(files.url)
        folders = {name: run.stage(name).files for name in WITH_RESULTS if run.stage(name).manifest() is not None}
        if not folders:
            run.stage(WITH_RESULTS[0]).require()
        return Place(url=files.url, folders=folders, stale=_stale(run, list(folders)))
    name = next((stage for stage in WITH_RESULTS if is_own(MANIFEST, record, stage)), "")
    if not name:
        raise ConfigError(
            f"{files.url} is no evaluation. Give a run, or the folder {' or '.join(WITH_RESULTS)} of one."
        )
    in_run = files.url.rpartition("/")[2] == name  # else it is a copy, without a run around it
    former = _stale(Run(files.url.removesuffix(name) or "."), [name]) if in_run else {}
    return Place(url=files.url, folders={name: files}, alone=True, stale=former)


def _stale(run: Run, names: Sequence[str]) -> dict[str, str]:
    found = stale({name: run.stage(name).manifest() for name in STAGES})
    return {name: warning(run.url, name, found) for name in names if name in found}


def in_common(first: Place, second: Place) -> list[str]:
    """The stages that both have finished.

    Raises:
        ConfigError: there is none.
    """
    found = [name for name in WITH_RESULTS if name in first.folders and name in second.folders]
    if not found:
        one, other = ([*place.folders] for place in (first, second))
        raise ConfigError(
            f"{first.url} has finished {one[0]} and {second.url} {other[0]}: there is nothing in common to compare. "
            f"`siglino {command_of(other[0])}` makes the first's {other[0]}, `siglino {command_of(one[0])}` the "
            f"second's {one[0]}."
        )
    return found


def only_one(first: Place, second: Place) -> dict[str, Place]:
    """Stages that one of two runs alone has finished, and which; of none where a folder alone was asked for."""
    if first.alone or second.alone:
        return {}
    return {
        name: place
        for name in WITH_RESULTS
        for place, other in ((first, second), (second, first))
        if name in place.folders and name not in other.folders
    }


def evaluation(place: Place, stages: Sequence[str] = ()) -> Evaluation:
    """The results of some stages as one evaluation; their files are hashed against the manifest first.

    Args:
        stages: those that are wanted; none: all that are there.

    Raises:
        DamagedError: a file is gone, or holds other bytes than were written.
        DataError: a file is none of results.
    """
    parts = [_opened(place.folders[name], name) for name in stages or place.folders]
    return parts[0] if len(parts) == 1 else Evaluation.joined(place.url, parts)


def _opened(files: Files, name: str) -> Evaluation:
    stored = (files.read_record(MANIFEST) or {})["files"]
    read = {file: e for file, e in stored.items() if file.startswith((f"{RESULTS}/", f"{SAMPLE_FILES}/"))}
    if bad := sorted(damaged(files, read)):
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        mend = f"`siglino verify RUN {name} --mend` makes them again"
        raise DamagedError(
            f"{files.url}: {', '.join(bad[:3])}{more}: not the bytes that were written, or gone. {mend}."
        )
    return Evaluation.open(files)
