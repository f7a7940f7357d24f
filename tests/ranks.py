"""A function on several ranks: processes of one gloo group, each with its result or its traceback."""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PRELOADED = ["torch.distributed.fsdp", "torch.distributed.checkpoint", "siglino_core.distillation.training.rank"]
GRACE = 5.0  # seconds that the others have after one failed: most fail as well, and may say why


def on_ranks(function: Callable[..., Any], *args: Any, ranks: int = 2, timeout: float = 120) -> list[Any]:
    """What ``function(*args)`` returned on every rank, in their order.

    It and its arguments must be importable from a fresh process: a function of a module, no lambda. Each rank computes
    in one thread, and `torch.distributed` is up around the call, over a file, so that no port is taken.

    Raises:
        AssertionError: a rank failed or took more than ``timeout`` seconds; the message has every rank's traceback.
    """
    with TemporaryDirectory() as folder:
        context = mp.get_context("forkserver")  # its server imports torch once, and computes nothing
        context.set_forkserver_preload(PRELOADED)
        processes = [
            context.Process(target=_rank, args=(rank, ranks, folder, timeout, function, args), daemon=True)
            for rank in range(ranks)
        ]
        for process in processes:
            process.start()
        _await(processes, timeout)
        outcomes = [_outcome(Path(folder, str(rank)), processes[rank].exitcode) for rank in range(ranks)]
    failures = [f"rank {rank}: {error}" for rank, (_, error) in enumerate(outcomes) if error]
    assert not failures, "\n".join(failures)
    return [result for result, _ in outcomes]


def _rank(rank: int, ranks: int, folder: str, timeout: float, function: Callable[..., Any], args: Any) -> None:
    torch.set_num_threads(1)
    failed = False
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/rendezvous",
            rank=rank,
            world_size=ranks,
            timeout=timedelta(seconds=timeout),
        )
        outcome = pickle.dumps((function(*args), None))
        dist.destroy_process_group()
    except BaseException:  # pytest's own failures are no Exception
        outcome = pickle.dumps((None, traceback.format_exc()))
        failed = True
    Path(folder, str(rank)).write_bytes(outcome)
    raise SystemExit(failed)


def _await(processes: Sequence[BaseProcess], timeout: float) -> None:
    """Until all have ended; those that outlast the timeout, or a failure elsewhere by ``GRACE``, are killed."""
    deadline = time.monotonic() + timeout
    while running := [process for process in processes if process.exitcode is None]:
        wait([process.sentinel for process in running], max(0.0, deadline - time.monotonic()))
        if any(process.exitcode for process in processes):
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() >= deadline:
            for process in running:
                process.kill()
                process.join()


def _outcome(path: Path, exitcode: int | None) -> tuple[Any, str | None]:
    if not path.exists():
        return None, f"ended with {exitcode} and without a word; killed, if that is -9, since it took too long"
    return pickle.loads(path.read_bytes())
