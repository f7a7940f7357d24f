"""Runs, stages and shards: what is done, what is missing, and whether it belongs together."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.hashing import fingerprint
from siglino_core.store.files import Files
from siglino_core.store.intact import entry, is_intact
from siglino_core.store.lease import Lease
from siglino_core.store.lease import folder as lease_folder
from siglino_core.store.names import FEATURES, STAGES, command_of, note_of
from siglino_core.store.records import MANIFEST, PLAN, Identity, Manifest, Shard, is_own
from siglino_core.store.sealed import MEND, opened, sealed
from siglino_core.store.successor import FOLDER, generation, is_settled, settle
from siglino_core.store.writer import ShardWriter


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What a stage still has to do."""

    state: str  # Reused, Resumed or Computed: what the stage will be able to say of itself
    shards: list[Shard]
    missing: list[Shard]
    stage: "Stage"  # where it is made: the stage itself, or its successor beside it
    manifest: Manifest | None = None
    before: Manifest | None = None  # of the artifact that was whole until files of it were lost
    lease: Lease | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """How many shards are committed."""
        return len(self.shards) - len(self.missing)


class Run:
    """One folder of artifacts, on any fsspec URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def stage(self, name: str) -> "Stage":
        return Stage(self, name)

    def features(self) -> list[str]:
        """The names of all features that were extracted, as :meth:`stage` takes them."""
        names = Files(f"{self.url}/{FEATURES}").sizes()
        return sorted({f"{FEATURES}/{name.partition('/')[0]}" for name in names if "/" in name})

    def about(self, stage: str = "source") -> dict[str, Any]:
        """What made a stage and its neighbours (in `curate.json` and its like, one a command).

        Raises:
            DamagedError: it is not what was written.
        """
        return Files(self.url).read_record(note_of(stage)) or {}

    def noted(self, stage: str) -> bool:
        """Whether :meth:`about` has something to say."""
        return Files(self.url).exists(note_of(stage))

    def note(self, about: dict[str, Any], stage: str = "source") -> None:
        """Write down what made a stage and its neighbours."""
        files = Files(self.url)
        files.put(note_of(stage), sealed(about))
        files.tidy_dead()

    def __reduce__(self) -> tuple[type["Run"], tuple[str]]:
        return Run, (self.url,)


class Stage:
    """One stage's folder: where it stands, or, ``beside`` that, where it is made anew."""

    def __init__(self, run: Run, name: str, beside: bool = False) -> None:
        self.run, self.name, self._beside = run, name, beside
        self.files = Files(f"{run.url}/{FOLDER}/{name}" if beside else f"{run.url}/{name}")

    def __reduce__(self) -> tuple[type["Stage"], tuple[Run, str, bool]]:
        return Stage, (self.run, self.name, self._beside)

    @property
    def successor(self) -> "Stage":
        """Where it is made anew."""
        assert not self._beside, "a successor has none"
        return Stage(self.run, self.name, True)

    def _record(self, name: str) -> dict[str, Any] | None:
        """The plan or the manifest, or None if there is none; no stage reads them in another way.

        Raises:
            DamagedError: it is not what was written, or it is another record under this name.
        """
        stored = self.files.read_record(name)
        if stored is not None and not is_own(name, stored, self.name):
            raise DamagedError(f"{self.files.url}/{name} is another record than that of {self.name}. {MEND}")
        return stored

    def manifest(self) -> Manifest | None:
        """The manifest, or None while the stage is not done.

        Raises:
            DamagedError: it is not what was written.
        """
        stored = self._record(MANIFEST)
        if stored is None:
            return None
        known = {f.name for f in dataclasses.fields(Manifest)}
        required = {f.name for f in dataclasses.fields(Manifest) if f.default_factory is dataclasses.MISSING}
        if lacking := required - {"software"} - stored.keys():
            raise StoreError(
                f"{self.files.url}/manifest.json lacks {', '.join(sorted(lacking))}: another version of this software "
                f"wrote it. Use --redo {self.name}, or another run=URL."
            )
        return Manifest(**{k: v for k, v in stored.items() if k in known})

    def require(self) -> Manifest:
        """The manifest of a stage that must be done.

        Raises:
            StoreError: it is not.
        """
        manifest = self.manifest()
        if manifest is None:
            why = "is not finished"
            if not self._beside and self.successor.files.exists(MANIFEST):
                why = f"was being replaced by {self.successor.files.url}, which is whole"
            command = f"siglino {command_of(self.name)} --from {self.name}"
            raise StoreError(f"{self.files.url} {why}: run `{command}` first.")
        return manifest

    def table(self, name: str, manifest: Manifest) -> pa.Table:
        """A small Parquet file of a finished stage, read whole.

        Raises:
            DamagedError: it is gone, or not what was written.
        """
        if not is_intact(self.files, name, manifest.files[name]):
            raise DamagedError(f"{self.files.url}/{name} is damaged or gone. {MEND}")
        with self.files.parquet(name) as file:
            return file.read()

    def shards(self, *kinds: str) -> list[Shard]:
        """The planned shards, in order; empty before the stage began.

        Args:
            kinds: those that are wanted; all, if none is named.
        """
        plan = self._record(PLAN)
        if not plan:
            return []
        return of_kind(plan["shards"], *kinds) if kinds else plan["shards"]

    def begin(self, identity: Identity, plan: Callable[[], Sequence[Shard]], *, redo: str = "no") -> Todo:
        """Look at storage and say what is missing, after checking that it belongs to ``identity``.

        Args:
            plan: lists the stage's shards; called only if storage holds no plan yet.
            redo: ``no`` refuses what another config made; ``stale`` makes it anew; ``always`` makes anew whatever
                is there. What is there stays until its successor is whole (`siglino_core.store.successor`).

        Raises:
            ConfigError: storage holds this stage as made by another config, code version or input.
        """
        if redo != "always" and (reused := self._reused(identity)) is not None:
            return reused
        taken = Lease.take(lease_folder(self.run.url, self.name), self.files.url)
        try:
            todo = replace(self._begun(identity, plan, redo), lease=taken)
        except BaseException:
            taken.release()
            raise
        if todo.manifest is not None:
            taken.release()
        return todo

    def _reused(self, identity: Identity) -> Todo | None:
        """What there is to do if that is nothing: to see it takes no lease."""
        try:
            manifest, shards = self.manifest(), self.shards()
        except (DamagedError, ConfigError):
            return None
        if not shards or manifest is None or manifest.fingerprint != identity.fingerprint:
            return None
        if not is_settled(self.successor.files):
            return None
        if not _there(manifest, self.files.sizes()):
            return None
        self.files.tidy_dead()  # of one that was killed when the manifest stood already
        return Todo(state="Reused", shards=shards, missing=[], stage=self, manifest=manifest)

    def _begun(self, identity: Identity, plan: Callable[[], Sequence[Shard]], redo: str) -> Todo:
        settle(self.files, self.successor.files)
        place, stored = self._place(identity, redo)
        place.files.tidy()
        if stored is None:
            body = {
                "generation": generation(self.files) + 1,
                "fingerprint": identity.fingerprint,
                "identity": dataclasses.asdict(identity),
                "shards": list(plan()),
            }
            place.files.create(PLAN, sealed(body))
            stored = place._record(PLAN)
            if stored is None or stored["fingerprint"] != identity.fingerprint:
                raise StoreError(f"{place.files.url}/{PLAN}: another process began this stage with another config.")
        return place._todo(stored["shards"], identity)

    def _place(self, identity: Identity, redo: str) -> tuple["Stage", dict[str, Any] | None]:
        """Where the stage is made, and the plan that lies there, if it is one of ``identity``."""
        try:
            stored = self._record(PLAN)
        except (DamagedError, ConfigError):  # an earlier version's
            if redo == "no":
                raise
            stored, redo = None, "always"
        same = stored is not None and stored["fingerprint"] == identity.fingerprint
        if redo != "always" and (same or stored is None):
            return self, stored
        if set(self.files.sizes()) <= {PLAN}:  # it came to nothing: there is nothing to keep
            self.files.delete([PLAN])
            return self, None
        successor = self.successor
        successor.drop_damaged()
        begun = successor._record(PLAN)
        if begun is not None and begun["fingerprint"] == identity.fingerprint:
            return successor, begun
        if redo == "no" and stored is not None:
            raise ConfigError(
                f"{self.files.url} was made by another config:",
                *(f"  {line}" for line in identity.differences(stored["identity"])),
                f"Use --redo {self.name} to make it again (and what follows from it), or another run=URL.",
            )
        successor.erase()
        return successor, None

    def drop_damaged(self) -> None:
        """Delete a damaged manifest or plan: the next run writes it again, from what is committed."""
        for name in (MANIFEST, PLAN):
            try:
                self._record(name)
            except DamagedError:
                self.files.delete([name])

    def _todo(self, shards: list[Shard], identity: Identity) -> Todo:
        manifest = self.manifest()
        sizes = self.files.sizes()
        if manifest is not None:
            if _there(manifest, sizes):
                return Todo(state="Reused", shards=shards, missing=[], stage=self, manifest=manifest)
            self.files.delete([MANIFEST])  # something was lost: only the damaged shards are done again
        commits = self.commits(sizes)
        done = {n for n, commit in commits.items() if commit["fingerprint"] == identity.fingerprint}
        state = "Resumed" if done or manifest else "Computed"
        missing = [s for s in shards if s["name"] not in done]
        return Todo(state=state, shards=shards, missing=missing, stage=self, before=manifest)

    def commits(self, sizes: dict[str, int] | None = None, *, whole: bool = True) -> dict[str, dict[str, Any]]:
        """The commit record of every shard whose files are as long as it says; not ``whole``: of every shard."""
        sizes = self.files.sizes() if sizes is None else sizes
        texts = self.files.read_many([n for n in sizes if n.startswith("commits/")])
        return {
            record["shard"]: record
            for name, record in ((name, _opened(text)) for name, text in texts.items())
            if record and name == f"commits/{record.get('shard')}.json"
            if not whole or all(sizes.get(n) == e[0] for n, e in record["files"].items())
        }

    def records(self, shards: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The commit records of shards that are known to be done, in the order asked for."""
        texts = self.files.read_many([f"commits/{shard}.json" for shard in shards])
        return {shard: opened(texts[n := f"commits/{shard}.json"], f"{self.files.url}/{n}") for shard in shards}

    def writer(self, shard: str, identity_fingerprint: str, *, worked: float = 0.0) -> "ShardWriter":
        """What writes and commits a shard. Get it when the work begins: it keeps the time.

        Args:
            worked: seconds of work that went before, elsewhere.
        """
        return ShardWriter(self.files, shard, identity_fingerprint, worked)

    def finish(
        self,
        identity: Identity,
        todo: Todo,
        *,
        shards: Sequence[Shard] | None = None,
        facts: dict[str, Any] | None = None,
        extras: Mapping[str, list[Any] | None] | None = None,
        check: Callable[[int, dict[str, int]], None] | None = None,
    ) -> Manifest:
        """Commit the manifest, once every shard is committed; a successor then takes its place.

        Args:
            todo: what :meth:`begin` returned.
            shards: those that make up the artifact, if not all that were planned; the work on all counts as its work.
            extras: files that tell times or paths, and are no part of the digest, with what is known of their bytes.
            check: called with (rows, rejects by reason) before the commit; it may refuse by raising.
        """
        shards = todo.shards if shards is None else shards
        made = todo.stage
        if todo.lease is not None:
            todo.lease.require()
        self._require_inputs(identity)
        commits = made.commits()
        files: dict[str, list[Any]] = {}
        rows = 0
        rejects: dict[str, int] = {}
        for shard in shards:
            record = commits.get(shard["name"])
            if record is None or record["fingerprint"] != identity.fingerprint:
                raise StoreError(f"{made.files.url}: shard {shard['name']} is not there. Run again: only it is redone.")
            files |= record["files"]
            rows += record["rows"]
            for reason, count in record["rejects"].items():
                rejects[reason] = rejects.get(reason, 0) + count
        if check is not None:
            check(rows, rejects)
        manifest = Manifest(
            stage=self.name,
            fingerprint=identity.fingerprint,
            identity=dataclasses.asdict(identity),
            digest=fingerprint({name: record[1] for name, record in files.items()}),
            shards=len(shards),
            rows=rows,
            rejects=dict(sorted(rejects.items())),
            seconds=round(sum(commits[s["name"]]["seconds"] for s in todo.shards if s["name"] in commits), 3),
            wall_seconds=round(time.monotonic() - todo.began, 3),
            state=todo.state,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            files=dict(sorted(files.items())),
            facts=facts or {},
            extras={name: known or entry(made.files, name) for name, known in (extras or {}).items()},
        )
        made.files.create(MANIFEST, sealed(dataclasses.asdict(manifest)))
        made.files.tidy()
        if made.files.url != self.files.url:
            settle(self.files, made.files)
        if todo.lease is not None:
            todo.lease.release()
        return manifest

    def _require_inputs(self, identity: Identity) -> None:
        """Refuse to finish what was made while an input of the same run was made anew.

        Raises:
            StoreError: it was.
        """
        for name, digest in identity.inputs.items():
            if name in STAGES and (now := self.run.stage(name).manifest()) is not None and now.digest != digest:
                raise StoreError(
                    f"{self.files.url}: {name} was made anew while this was made from it ({digest[:12]} then, "
                    f"{now.digest[:12]} now). Run again with --redo {self.name}."
                )

    def sweep(self, *prefixes: str) -> None:
        """Drop what only the work itself needed, once the manifest stands. Safe to repeat."""
        self.files.delete([n for prefix in prefixes for n in self.files.sizes(prefix)])
        self.files.tidy()

    def erase(self) -> None:
        """Delete the stage: the manifest and commits first and the plan last, so that a kill leaves no lie."""
        names = self.files.sizes()
        records = [n for n in names if n.startswith("commits/")]
        rest = [n for n in names if n not in {MANIFEST, *records, PLAN}]
        for some in ([MANIFEST], records, rest, [PLAN]):
            self.files.delete(some)
        self.files.tidy()


def of_kind(shards: Sequence[Shard], *kinds: str) -> list[Shard]:
    """The shards of some kinds, in their order."""
    return [shard for shard in shards if shard["kind"] in kinds]


def _there(manifest: Manifest, sizes: dict[str, int]) -> bool:
    """Whether every file is as long as the manifest says."""
    return all(sizes.get(name) == entry[0] for name, entry in manifest.files.items())


def _opened(commit: bytes) -> dict[str, Any] | None:
    """A commit record; None if it is damaged, so that its shard is done again."""
    try:
        return opened(commit, "")
    except (DamagedError, ConfigError):
        return None
