"""Runs a stage's work over its shards: in this process, or as a stream of Ray Data tasks.

What is done is recorded in storage by the work itself (see `siglino_core.store`); nothing here decides it.
"""

import contextlib
import importlib
import json
import logging
import os
import re
import secrets
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pipelines.support.stderr import without
from siglino_core import errors
from siglino_core.config import Precision, Runner, RuntimeConfig
from siglino_core.device import Device, choose
from siglino_core.errors import ConfigError, SiglinoError, WorkerError
from siglino_core.store import Manifest, Shard, Stage

RETRIES = 3  # of a unit whose worker died; Ray would begin it again for ever
ANSI = re.compile(r"\x1b\[[0-9;]*m")
QUIET_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class Progress(Protocol):
    """Told of every unit of work that ends: ``done`` of ``total`` units of ``stage``.

    A note that begins with `siglino_core.errors.WARNING` is shown for itself, the moment it comes.
    """

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None: ...


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """A :class:`Progress` that shows nothing."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a stage says of itself: Computed, Resumed or Reused, and its manifest."""

    state: str
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a stage would do, priced, and what the stages after it need to know to be priced.

    Attributes:
        rows: of the artifact.
        bytes: to write.
        device: whose hours ``device_hours`` are, e.g. ``CPU core`` or ``A100``.
        image_bytes: of the mean encoded image of the pool (source).
        dim: of an embedding (embed).
        train: of the rows, those to train on (expressions).
        memory: bytes that one process of it must hold, where they grow with what is asked for.
    """

    stage: str
    shards: int
    rows: int
    bytes: int
    device: str
    device_hours: float
    note: str = ""
    image_bytes: float = 0.0
    dim: int = 0
    train: int = 0
    memory: int = 0


def require_token() -> None:
    """Let nobody use a Ray that this process starts who does not know its token, which is in the environment alone.

    Whoever reaches one of its ports may run code here otherwise.
    """
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        raylet = importlib.import_module("ray._raylet")  # no other name for it; the version of Ray is bounded
        raylet.Config.initialize("")  # Ray read the mode when it was imported,
        raylet.AuthenticationTokenLoader.instance().reset_cache()  # and the token when another Ray was started here


def start_ray(config: RuntimeConfig) -> Any:
    """Join or start Ray, quietly and without telemetry; returns the ray module."""
    for key, value in QUIET_ENV.items():
        os.environ.setdefault(key, value)
    if config.address == "local":
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # clouds take nodes back; a process for that
    import ray
    import ray.data

    if not ray.is_initialized():
        _reachable(config.address)
        if config.address == "local":
            require_token()
        local = {"num_cpus": config.cpus or None, "include_dashboard": False} if config.address == "local" else {}
        try:
            with _sigterm_kept():
                ray.init(address=config.address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except ConnectionError as e:
            raise WorkerError(f"runtime.address={config.address}: no Ray cluster answers there ({e})") from e
    # Deprecated, but retries have no other name yet; the version of Ray is bounded.
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = None  # one block is one shard, and stays one
    context.execution_options.verbose_progress = False
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it raises is said by us, once
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself, to exit with a code of its own; after it, it is heeded as before."""
    heeded = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if heeded is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, heeded)


def _reachable(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # local, auto: Ray knows at once
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as e:
        raise WorkerError(f"runtime.address={address}: no Ray cluster answers there ({e})") from e


def parallelism(config: RuntimeConfig) -> int:
    """How many units of work may run at once."""
    if config.runner is Runner.LOCAL:
        return 1
    ray = start_ray(config)
    return config.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))


def fitting(memory: int) -> tuple[int, int]:
    """What to tell Ray of the memory that a unit of work needs, and how many units fit its nodes at once.

    A node that has less than a unit may need gets one all the same: most images are smaller than the largest.
    """
    import ray

    nodes = [int(n["Resources"].get("memory", 0)) for n in ray.nodes() if n["Alive"]]
    memory = min(memory, max(nodes, default=memory))
    return memory, max(1, sum(node // memory for node in nodes)) if memory else len(nodes)


def gpus(config: RuntimeConfig) -> int:
    """How many GPUs Ray has to give."""
    return 0 if config.runner is Runner.LOCAL else int(start_ray(config).cluster_resources().get("GPU", 0))


def worker_device(config: RuntimeConfig, precision: str = "auto") -> Device:
    """The device that workers compute on: a head without GPUs drives workers that have them, so one is asked."""
    if config.device == "cpu" or not gpus(config):
        return choose(config.device, precision)
    ray = start_ray(config)
    with worker_errors():
        return ray.get(ray.remote(num_cpus=0, num_gpus=1)(choose).remote(config.device, precision))


def precision_of(stage: Stage, config: RuntimeConfig, precision: Precision, redo: str) -> str:
    """The precision that decides a stage's bytes, e.g. ``float32``.

    Where the config leaves it to the device (auto), a finished stage keeps the one that it was made in: no worker is
    asked, and no Ray started, to find that all is done.
    """
    if precision is not Precision.AUTO:
        return {Precision.FP32: "float32", Precision.BF16: "bfloat16"}[precision]
    manifest = stage.manifest() if redo != "always" else None
    if manifest is not None and "precision" in manifest.identity["config"]:
        return manifest.identity["config"]["precision"]
    return _name(worker_device(config, precision.value))


def computing_device(stage: Stage, config: RuntimeConfig, precision: Precision, expected: str) -> Device:
    """The device that workers compute a stage on.

    Raises:
        ConfigError: it would compute in another precision than the stage was begun in.
    """
    device = worker_device(config, precision.value)
    if _name(device) != expected:
        raise ConfigError(
            f"{stage.files.url} was made in {expected}, and the device here ({device.reason}) computes in "
            f"{_name(device)}. Set {stage.name}.precision, or make it again with --redo {stage.name}."
        )
    return device


def _name(device: Device) -> str:
    return str(device.dtype).removeprefix("torch.")


def map_shards(
    work: Callable[[Shard], dict[str, Any]],
    shards: Sequence[Shard],
    config: RuntimeConfig,
    *,
    memory: int | None = None,
    on_gpu: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield ``work(shard)`` for every shard, in the order in which they end.

    Args:
        work: commits the shard in storage and returns its commit record; must pickle.
        memory: bytes that one unit of work may need, so that Ray starts no more of them than fit.
        on_gpu: give each unit a GPU, where the config and the cluster have them.

    Raises:
        SiglinoError: as raised by ``work``.
        WorkerError: a worker died more often than Ray retries.
    """
    if not shards:
        return
    if config.runner is Runner.LOCAL:
        yield from map(work, shards)
        return
    ray = start_ray(config)
    memory = fitting(memory)[0] if memory else None
    devices = gpus(config) if on_gpu and worker_device(config).device == "cuda" else 0
    needs: dict[str, Any] = {"num_gpus": 1} if devices else {"num_cpus": 1}
    with worker_errors():
        items = [{"shard": json.dumps(shard)} for shard in shards]
        dataset = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            partial(_call, work),
            batch_size=1,
            memory=memory,
            concurrency=min(devices or parallelism(config), len(items)),
            max_retries=RETRIES,
            **needs,
        )
        for row in dataset.iter_rows():
            yield unpack(row["record"])


def _call(work: Callable[[Shard], dict[str, Any]], batch: dict[str, Any]) -> dict[str, list[str]]:
    return {"record": [pack(work, json.loads(shard)) for shard in batch["shard"]]}


def pack(work: Callable[..., dict[str, Any]], *args: Any) -> str:
    """What ``work`` returns or raises, as JSON: our own errors travel as data, without Ray's wrapping and retries."""
    try:
        return json.dumps(work(*args))
    except SiglinoError as e:
        return json.dumps({"error": type(e).__name__, "lines": e.args})


def unpack(record: str) -> dict[str, Any]:
    """The inverse of :func:`pack`; raises what was raised."""
    outcome = json.loads(record)
    if "error" in outcome:
        raise getattr(errors, outcome["error"])(*outcome["lines"])
    return outcome


@contextlib.contextmanager
def worker_errors() -> Iterator[None]:
    """What Ray raises of itself (a dead worker, a lost node) becomes a :class:`WorkerError`."""
    try:
        with without(b"constructor arguments in the object store"):  # said of Ray Data's own actors, by Ray
            yield
    except SiglinoError:
        raise
    except Exception as e:
        if type(e).__module__.startswith("ray.") or "Ray" in type(e).__name__:
            raise WorkerError(failure(e)) from e
        raise


def failure(e: Exception) -> str:
    """What Ray raised, in a sentence: of an exception in a worker that exception, which would come again."""
    why = raised(str(e))
    if why:
        return f"a worker failed: {why}. --debug shows where. What was committed stays."
    first = (str(e).strip().splitlines() or [""])[0]
    return (
        f"a Ray worker failed ({type(e).__name__}: {first[:300]}). What was committed stays: run the same command "
        "again. If workers run out of memory, set runtime.workers lower."
    )


def raised(text: str) -> str:
    """The exception at the end of the first traceback in what Ray says, on one line; empty: there is none."""
    first = ANSI.sub("", text).partition("\n\nThe above exception was the direct cause")[0]
    lines = first.splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith("  ")]
    if not frames or not lines[frames[0]].startswith("  File "):
        return ""
    return " ".join(" ".join(lines[frames[-1] + 1 :]).split())[:300]
