"""Ray actors that hold a level's points: each loads its own blocks once and answers k-means from them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipelines.support.runtime import gpus, parallelism, start_ray, worker_device, worker_errors
from siglino_core.config import Runner, RuntimeConfig
from siglino_core.curation.clustering.points import Blocks, Divided
from siglino_core.device import choose, single_thread

Load = Callable[[int], tuple[np.ndarray, np.ndarray]]  # block index -> points [N, D], ids uint64 [N]


class Worker:
    """One actor's blocks."""

    def __init__(self, load: Load, blocks: Sequence[int], device: str) -> None:
        single_thread()
        self._blocks = Blocks(device)
        for index in blocks:
            self._blocks.add(index, *load(index))

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._blocks, method)(*args, **kwargs)


class RayPoints(Divided):
    """The points of all actors as one set."""

    def __init__(self, load: Load, blocks: int, config: RuntimeConfig) -> None:
        self._ray = start_ray(config)
        device = worker_device(config).device
        on_gpus = gpus(config) if device == "cuda" else 0
        n = min(blocks, on_gpus or parallelism(config))  # an actor more than there are GPUs would never start
        # No CPU is reserved: the actors compute only while the stage asks them, and it runs nothing beside them.
        options: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
        if on_gpus:
            options["num_gpus"] = 1
        actor = self._ray.remote(Worker).options(**options)
        self._actors = [actor.remote(load, list(range(i, blocks, n)), device) for i in range(n)]

    def _all(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        with worker_errors():
            args = tuple(self._ray.put(a) if isinstance(a, np.ndarray) else a for a in args)
            return self._ray.get([a.call.remote(method, *args, **kwargs) for a in self._actors])

    def close(self) -> None:
        """Let the actors and their disk go."""
        for actor in self._actors:
            self._ray.kill(actor)


class LocalPoints(Blocks):
    """The same in this process, for small pools and tests."""

    def __init__(self, load: Load, blocks: int, config: RuntimeConfig) -> None:
        single_thread()
        super().__init__(choose(config.device).device)
        for index in range(blocks):
            self.add(index, *load(index))

    def close(self) -> None:
        self._folder.cleanup()


def gather(load: Load, blocks: int, config: RuntimeConfig) -> RayPoints | LocalPoints:
    """Bring up the points of a level where the config says that work runs; a single block needs no actors."""
    here = config.runner is Runner.LOCAL or blocks == 1
    return (LocalPoints if here else RayPoints)(load, blocks, config)
