"""Decode on CPUs, compute on whatever there is: the two steps of stages that put a pool's images through a network.

On a GPU decoders (tasks) feed actors that hold the network, through Ray's object store. Without one a core decodes what
it computes, so that pixels need not travel. Without Ray all happens in this process.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypedDict

import pyarrow as pa

from pipelines.support.runtime import (
    RETRIES,
    fitting,
    pack,
    parallelism,
    start_ray,
    unpack,
    worker_device,
    worker_errors,
)
from pipelines.support.runtime import gpus as gpus_of
from siglino_core.config import Runner, RuntimeConfig
from siglino_core.store import Shard

WORKER_MEMORY = 1 << 30  # bytes of a worker that computes, beside its images: the network and what it computes


class Decoded(TypedDict):
    """A shard's pixels as one buffer, and what belongs to them, as JSON has it."""

    meta: dict[str, Any]
    pixels: Any


class Decodes(Protocol):
    """The first step; small, since it is sent with every task: what belongs to one shard alone is in its plan."""

    def decoded(self, shard: Shard) -> Decoded: ...


class Commits(Protocol):
    """The second step, made once a worker: it computes, commits the shard and returns its commit record."""

    def commit(self, decoded: Decoded) -> dict[str, Any]: ...


def records(
    shards: Sequence[Shard],
    decodes: Decodes,
    make: Callable[[], Commits],
    runtime: RuntimeConfig,
    *,
    memory: int,
) -> Iterator[dict[str, Any]]:
    """Decode, compute and commit shards; their commit records, in the order in which they end.

    Args:
        make: makes the second step where it is to run; it and ``decodes`` must pickle.
        memory: bytes that decoding one shard may need.

    Raises:
        SiglinoError: as raised by either step.
        WorkerError: a worker died more often than Ray retries.
    """
    if not shards:
        return
    if runtime.runner is Runner.LOCAL:
        commits = make()
        yield from (commits.commit(decodes.decoded(shard)) for shard in shards)
        return
    ray = start_ray(runtime)
    gpus = gpus_of(runtime) if worker_device(runtime).device != "cpu" else 0
    memory, fit = fitting(memory + (0 if gpus else WORKER_MEMORY))
    actors = min(len(shards), runtime.workers or gpus or min(fit, parallelism(runtime)))
    pool: dict[str, Any] = {
        "batch_size": 1,
        "batch_format": "pyarrow",
        "compute": ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        "max_task_retries": RETRIES,
    }
    with worker_errors():
        items = [{"shard": json.dumps(shard)} for shard in shards]
        dataset = ray.data.from_items(items, override_num_blocks=len(items))
        if gpus:
            needs: dict[str, Any] = {"num_cpus": 1, "max_retries": RETRIES, "memory": memory}
            dataset = dataset.map_batches(Decoder(decodes), batch_size=1, batch_format="pyarrow", **needs).map_batches(
                Computer, fn_constructor_args=(make,), zero_copy_batch=True, num_gpus=1, num_cpus=0, **pool
            )
        else:
            arguments = (decodes, make)
            dataset = dataset.map_batches(Worker, fn_constructor_args=arguments, num_cpus=1, memory=memory, **pool)
        for row in dataset.iter_rows():
            yield unpack(row["record"])


class Decoder:
    """A task: the first step."""

    def __init__(self, decodes: Decodes) -> None:
        self._decodes = decodes

    def __call__(self, batch: pa.Table) -> pa.Table:
        shards = [self._guarded(json.loads(shard)) for shard in batch.column("shard").to_pylist()]
        columns = {
            "meta": [shard["meta"] for shard in shards],
            "pixels": pa.array([shard["pixels"] for shard in shards], pa.large_binary()),
        }
        return pa.table(columns)

    def _guarded(self, shard: Shard) -> dict[str, Any]:
        pixels: Any = b""

        def work() -> dict[str, Any]:
            nonlocal pixels
            decoded = self._decodes.decoded(shard)
            pixels = decoded["pixels"]
            return decoded["meta"]

        return {"meta": pack(work), "pixels": pixels}


class Computer:
    """An actor on a GPU: the second step."""

    def __init__(self, make: Callable[[], Commits]) -> None:
        self._commits = make()

    def __call__(self, batch: pa.Table) -> pa.Table:
        shards = zip(batch.column("meta").to_pylist(), batch.column("pixels"), strict=True)
        return pa.table({"record": [pack(self._commit, meta, pixels.as_buffer()) for meta, pixels in shards]})

    def _commit(self, meta: str, pixels: Any) -> dict[str, Any]:
        return self._commits.commit({"meta": unpack(meta), "pixels": pixels})


class Worker:
    """An actor on a CPU: both steps."""

    def __init__(self, decodes: Decodes, make: Callable[[], Commits]) -> None:
        self._decodes, self._commits = decodes, make()

    def __call__(self, batch: pa.Table) -> pa.Table:
        shards = [json.loads(shard) for shard in batch.column("shard").to_pylist()]
        return pa.table({"record": [pack(self._commit, shard) for shard in shards]})

    def _commit(self, shard: Shard) -> dict[str, Any]:
        return self._commits.commit(self._decodes.decoded(shard))
