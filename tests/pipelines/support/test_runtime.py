"""Work over shards: in order, errors as data, and a dead worker in words."""

import json
import os
from typing import Any

import pytest

from pipelines.support.runtime import map_shards, pack, parallelism, unpack, worker_errors
from siglino_core.config import Runner, RuntimeConfig
from siglino_core.errors import ConfigError, DataError, SiglinoError, StoreError, WorkerError

LOCAL = RuntimeConfig(runner=Runner.LOCAL)


def shards(n: int) -> list[dict[str, Any]]:
    return [{"name": f"s{i}", "i": i} for i in range(n)]


def work(shard: dict[str, Any]) -> dict[str, Any]:
    if shard.get("fail"):
        raise DataError(f"{shard['name']} is bad")
    if shard.get("die"):
        os._exit(1)
    return {"shard": shard["name"], "i": shard["i"]}


def test_local_is_lazy_and_in_order() -> None:
    done: list[str] = []
    stream = map_shards(lambda s: (done.append(s["name"]), {"shard": s["name"]})[1], shards(3), LOCAL)
    assert done == []
    assert next(iter(stream)) == {"shard": "s0"}
    assert done == ["s0"]
    assert [r["shard"] for r in map_shards(work, shards(4), LOCAL)] == ["s0", "s1", "s2", "s3"]
    assert list(map_shards(work, [], RuntimeConfig())) == []  # and no Ray for nothing
    assert parallelism(LOCAL) == 1


def test_local_errors_are_raised_as_they_are() -> None:
    with pytest.raises(DataError, match="s1 is bad"):
        list(map_shards(work, [shards(1)[0], {"name": "s1", "fail": True}], LOCAL))


@pytest.mark.parametrize("kind", [ConfigError, DataError, StoreError, WorkerError, SiglinoError])
def test_our_errors_travel_as_data(kind: type[SiglinoError]) -> None:
    def fails(*_: Any) -> dict[str, Any]:
        raise kind("what and the mend: ä")

    packed = pack(fails, 1)
    assert json.loads(packed)["error"] == kind.__name__
    with pytest.raises(kind, match="what and the mend: ä") as caught:
        unpack(packed)
    assert type(caught.value) is kind
    assert unpack(pack(lambda a, b: {"sum": a + b}, 1, 2)) == {"sum": 3}


def test_foreign_errors_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        pack(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError), worker_errors():
        raise ZeroDivisionError
    with pytest.raises(DataError, match="ours"), worker_errors():
        raise DataError("ours")


def test_what_ray_raises_becomes_a_worker_error() -> None:
    died = type("ActorDiedError", (Exception,), {"__module__": "ray.exceptions"})
    for said in ("The actor died\nwith a long story", ""):
        with pytest.raises(WorkerError, match=r"failed .ActorDiedError: .*stays: run the same") as e, worker_errors():
            raise died(said)
        assert "long story" not in str(e.value)


def test_errors_have_the_exit_codes_of_the_command() -> None:
    assert [e.exit_code for e in (ConfigError, DataError, StoreError, WorkerError)] == [2, 1, 1, 1]


RAISED = """\x1b[36mray::MapWorker(MapBatches(ShardWorker)).submit()\x1b[39m (pid=1, ip=192.0.2.2)
  File "/somewhere/thread.py", line 58, in run
    result = self.fn(*self.args, **self.kwargs)
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/somewhere/nets.py", line 8, in encode
    raise RuntimeError("two lines")
RuntimeError: encode
blew up

The above exception was the direct cause of the following exception:

\x1b[36mray::MapWorker(MapBatches(ShardWorker)).submit()\x1b[39m (pid=1, ip=192.0.2.2)
ray.exceptions.UserCodeException: UDF failed to process a data block.
"""


def test_what_was_raised_in_a_worker_is_said_and_not_to_run_it_again() -> None:
    died = type("RayTaskError", (Exception,), {"__module__": "ray.exceptions"})
    with pytest.raises(WorkerError) as e, worker_errors():
        raise died(RAISED)
    said = "a worker failed: RuntimeError: encode blew up. --debug shows where. What was committed stays."
    assert str(e.value) == said
