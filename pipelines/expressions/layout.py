"""How the work is cut: units of the sets to test on, then units of those to train on."""

from collections.abc import Mapping, Sequence

from siglino_core.config import Config
from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data.sets import ReferringSet, sets_of
from siglino_core.store import Shard

TEST, TRAIN = "test", "train"
Sets = Mapping[str, Sequence[ReferringSet]]
"""By kind, in the config's order."""


def sets_by_kind(config: Config) -> Sets:
    """The sets to test on and to train on.

    Raises:
        ConfigError: there are none to train on, a data set that there is not, or two test sets of one name.
    """
    expressions = config.expressions
    if not expressions.train:
        raise ConfigError(
            "expressions.train is empty: there is nothing to ground on. Take experiment=openlvd-ground, or name a set: "
            "'expressions.train=[{layout: synthetic}]'"
        )
    return {
        TEST: sets_of(expressions.test, train=False, seed=config.seed),
        TRAIN: sets_of(expressions.train, train=True, seed=config.seed),
    }


def setting_of(kind: str, number: int, one: ReferringSet) -> str:
    """A set in a message."""
    return f"expressions.{kind}[{number}] ({one.name})"


def plan_units(config: Config, sets: Sets) -> list[Shard]:
    """All units: ``test-S-N`` and ``train-S-N``, unit N of set S, each with the rows that it is of.

    Raises:
        ConfigError, DataError, StoreError: a set cannot be opened, or has no image.
    """
    shards: list[Shard] = []
    for kind, of_kind in sets.items():
        for i, one in enumerate(of_kind):
            units = one.open().units(config.expressions.rows_per_shard, one.config.limit)
            if not units:
                raise DataError(f"{setting_of(kind, i, one)}: there is no image in it. Leave the set out.")
            digits = max(5, len(str(len(units))))  # so that the names sort as the units do
            shards += [
                {"name": f"{kind}-{i}-{n:0{digits}d}", "kind": kind, "set": i, **unit} for n, unit in enumerate(units)
            ]
    return shards
