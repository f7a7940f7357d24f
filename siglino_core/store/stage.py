"""Runs, stages and shards: what is done, what is missing, and whether it belongs together."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import siglino_core
from siglino_core.errors import ConfigError, StoreError
from siglino_core.hashing import fingerprint
from siglino_core.store.files import UNFINISHED, Files
from siglino_core.store.writer import ShardWriter, as_json

DISTILL = ("targets", "train", "export")  # stages that `siglino distill` makes, not `siglino curate`
FORMAT = 2  # of run folders; those of another are refused
Shard = dict[str, Any]  # {"name": ..., "kind": ..., and whatever its stage needs to do it}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What decides a stage's bytes: its code's version, its config, and its inputs' digests.

    Worker counts, batch sizes and paths of the run never belong here.
    """

    stage: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, str]

    @property
    def fingerprint(self) -> str:
        return fingerprint(dataclasses.asdict(self))

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What differs from a stored identity, as ``key: theirs there, ours here``."""
        ours, theirs = _flat(dataclasses.asdict(self)), _flat(other)
        return [
            f"{key.removeprefix('config.')}: {theirs.get(key, 'unset')!r} there, {ours.get(key, 'unset')!r} here"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished stage: what it holds, what made it, and how long that took."""

    stage: str
    fingerprint: str
    identity: dict[str, Any]
    digest: str
    shards: int
    rows: int
    rejects: dict[str, int]
    seconds: float  # of work, summed over shards
    wall_seconds: float  # by the clock, of the invocation that finished it
    state: str  # what that invocation found: Computed (nothing) or Resumed (a part)
    finished: str  # UTC
    files: dict[str, list[Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    software: str = f"siglino {siglino_core.__version__}"


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What a stage still has to do."""

    state: str  # Reused, Resumed or Computed: what the stage will be able to say of itself
    shards: list[Shard]
    missing: list[Shard]
    manifest: Manifest | None = None
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
        return Stage(Files(f"{self.url}/{name}"), name)

    def about(self) -> dict[str, Any]:
        """What the last curation of this run said of itself (`curate.json`): experiment, command, config."""
        return Files(self.url).read_json("curate.json") or {}

    def note(self, about: dict[str, Any], name: str = "curate") -> None:
        """Write down what this invocation is, in `NAME.json`: `curate` or `distill`."""
        files = Files(self.url)
        files.put(f"{name}.json", as_json(about))
        if files.local is not None:
            with suppress(OSError):  # not empty: another invocation is writing its own
                (files.local / UNFINISHED).rmdir()

    def __reduce__(self) -> tuple[type["Run"], tuple[str]]:
        return Run, (self.url,)


class Stage:
    """One stage's folder."""

    def __init__(self, files: Files, name: str) -> None:
        self.files = files
        self.name = name

    def __reduce__(self) -> tuple[type["Stage"], tuple[Files, str]]:
        return Stage, (self.files, self.name)

    def manifest(self) -> Manifest | None:
        """The manifest, or None while the stage is not done."""
        stored = self.files.read_json("manifest.json")
        if stored is None:
            return None
        self._require_format(stored)
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
            command = "distill" if self.name in DISTILL else "curate"
            raise StoreError(f"{self.files.url} is not finished: run `siglino {command} --from {self.name}` first.")
        return manifest

    def shards(self, *kinds: str) -> list[Shard]:
        """The planned shards, in order; empty before the stage began.

        Args:
            kinds: those that are wanted; all, if none is named.
        """
        plan = self.files.read_json("plan.json")
        if not plan:
            return []
        self._require_format(plan)
        return of_kind(plan["shards"], *kinds) if kinds else plan["shards"]

    def begin(self, identity: Identity, plan: Callable[[], Sequence[Shard]], *, redo: str = "no") -> Todo:
        """Look at storage and say what is missing, after checking that it belongs to ``identity``.

        Args:
            plan: lists the stage's shards; called only if storage holds no plan yet.
            redo: ``no`` refuses what another config made; ``stale`` deletes it; ``always`` deletes whatever is there.

        Raises:
            ConfigError: storage holds this stage as made by another config, code version or input.
        """
        stored = self.files.read_json("plan.json")
        if stored is not None and (
            redo == "always" or (redo == "stale" and stored["fingerprint"] != identity.fingerprint)
        ):
            self.erase()
            stored = None
        if stored is not None:
            self._require_format(stored)
        if stored is not None and stored["fingerprint"] != identity.fingerprint:
            raise ConfigError(
                f"{self.files.url} was made by another config:\n  "
                + "\n  ".join(identity.differences(stored["identity"]))
                + f"\nUse --redo {self.name} to make it again (and what follows from it), or another run=URL."
            )
        self.files.tidy()
        if stored is None:
            body = {
                "format": FORMAT,
                "fingerprint": identity.fingerprint,
                "identity": dataclasses.asdict(identity),
                "shards": list(plan()),
            }
            self.files.create("plan.json", as_json(body))
            stored = self.files.read_json("plan.json")
            if stored is None or stored["fingerprint"] != identity.fingerprint:
                raise StoreError(f"{self.files.url}/plan.json: another process began this stage with another config.")
        return self._todo(stored["shards"], identity)

    def _todo(self, shards: list[Shard], identity: Identity) -> Todo:
        manifest = self.manifest()
        sizes = self.files.sizes()
        if manifest is not None:
            if all(sizes.get(name) == entry[0] for name, entry in manifest.files.items()):
                return Todo(state="Reused", shards=shards, missing=[], manifest=manifest)
            self.files.delete(["manifest.json"])  # something was lost: only the damaged shards are done again
        commits = self.commits(sizes)
        done = {n for n, commit in commits.items() if commit["fingerprint"] == identity.fingerprint}
        state = "Resumed" if done or manifest else "Computed"
        return Todo(state=state, shards=shards, missing=[s for s in shards if s["name"] not in done])

    def commits(self, sizes: dict[str, int] | None = None) -> dict[str, dict[str, Any]]:
        """The commit record of every shard whose files are as long as it says."""
        sizes = self.files.sizes() if sizes is None else sizes
        texts = self.files.read_many([n for n in sizes if n.startswith("commits/")])
        return {
            record["shard"]: record
            for record in map(_parsed, texts.values())
            if record and all(sizes.get(name) == entry[0] for name, entry in record["files"].items())
        }

    def records(self, shards: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The commit records of shards that are known to be done, in the order asked for."""
        texts = self.files.read_many([f"commits/{shard}.json" for shard in shards])
        return {shard: json.loads(texts[f"commits/{shard}.json"]) for shard in shards}

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
        check: Callable[[int, dict[str, int]], None] | None = None,
    ) -> Manifest:
        """Commit the manifest, once every shard is committed.

        Args:
            todo: what :meth:`begin` returned.
            shards: those that make up the artifact, if not all that were planned; the work on all counts as its work.
            check: called with (rows, rejects by reason) before the commit; it may refuse by raising.
        """
        shards = todo.shards if shards is None else shards
        commits = self.commits()
        files: dict[str, list[Any]] = {}
        rows = 0
        rejects: dict[str, int] = {}
        for shard in shards:
            record = commits.get(shard["name"])
            if record is None or record["fingerprint"] != identity.fingerprint:
                raise StoreError(f"{self.files.url}: shard {shard['name']} is not there. Run again: only it is redone.")
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
            digest=fingerprint({name: entry[1] for name, entry in files.items()}),
            shards=len(shards),
            rows=rows,
            rejects=dict(sorted(rejects.items())),
            seconds=round(sum(commits[s["name"]]["seconds"] for s in todo.shards if s["name"] in commits), 3),
            wall_seconds=round(time.monotonic() - todo.began, 3),
            state=todo.state,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            files=dict(sorted(files.items())),
            facts=facts or {},
        )
        self.files.create("manifest.json", as_json({"format": FORMAT, **dataclasses.asdict(manifest)}))
        self.files.tidy()
        return manifest

    def _require_format(self, stored: dict[str, Any]) -> None:
        """Refuse what an earlier version wrote.

        Raises:
            ConfigError: it did.
        """
        if stored.get("format") != FORMAT:
            raise ConfigError(
                f"{self.files.url} was made by an earlier version of this software, whose run folders this version "
                f"does not read. Use another run=URL, or --redo {self.name} to make it again."
            )

    def sweep(self, *prefixes: str) -> None:
        """Drop what only the work itself needed, once the manifest stands. Safe to repeat."""
        self.files.delete([n for prefix in prefixes for n in self.files.sizes(prefix)])
        self.files.tidy()

    def erase(self) -> None:
        """Delete the stage: the manifest and commits first and the plan last, so that a kill leaves no lie."""
        names = self.files.sizes()
        first = [n for n in ("manifest.json",) if n in names] + [n for n in names if n.startswith("commits/")]
        rest = [n for n in names if n not in {*first, "plan.json"}]
        self.files.delete([*first, *rest, "plan.json"])
        self.files.tidy()


def of_kind(shards: Sequence[Shard], *kinds: str) -> list[Shard]:
    """The shards of some kinds, in their order."""
    return [shard for shard in shards if shard["kind"] in kinds]


def _parsed(commit: bytes) -> dict[str, Any] | None:
    """A commit record; None if the disk lost a part of it, so that its shard is done again."""
    try:
        return json.loads(commit)
    except ValueError:
        return None


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
    return flat
