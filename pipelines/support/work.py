"""What every unit of a stage's work knows: the run, the stage that it writes, the config, and what made it."""

from dataclasses import dataclass

from siglino_core.config import Config
from siglino_core.store import Run, ShardWriter, Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """One stage's work in one run. It may be pickled: units of work take it along to their workers.

    Two are equal if they make the same bytes in the same place, so that workers can cache by it.

    Attributes:
        stage: the one that is written.
        fingerprint: of what decides its bytes (`siglino_core.store.Identity`).
    """

    run: Run
    stage: Stage
    fingerprint: str
    config: Config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Work) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self.stage.files.url, self.fingerprint

    def writer(self, shard: str, *, worked: float = 0.0) -> ShardWriter:
        """What writes and commits a shard; arguments as of `Stage.writer`."""
        return self.stage.writer(shard, self.fingerprint, worked=worked)
