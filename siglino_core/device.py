"""Which device computes, in which precision, and why."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
MMAP_MAX, TRIM_THRESHOLD, KEPT_BYTES = 65536, 128 << 10, 1 << 30  # two of its defaults; what a process keeps inside


@dataclass(frozen=True, kw_only=True)
class Device:
    """A choice and its reason, in words for `siglino doctor` and logs."""

    device: str
    dtype: "torch.dtype"
    batch_size: int
    reason: str


def choose(wanted: str = "auto", precision: str = "auto") -> Device:
    """The device to use: what was asked for, else CUDA, else the CPU.

    bf16 where a CUDA device multiplies it natively (SM80 and later), else fp32.

    Raises:
        ConfigError: the device or the precision that was asked for isn't there.
    """
    import torch  # here, since most processes of a run choose no device

    if wanted not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"runtime.device={wanted}: not one of auto, cpu, cuda, mps")
    cuda = torch.cuda.is_available()
    if wanted == "cuda" and not cuda:
        raise ConfigError(
            "runtime.device=cuda: torch sees no CUDA device. Check the driver, or use runtime.device=auto."
        )
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("runtime.device=mps: torch sees no Metal device. Use runtime.device=auto.")
    name = wanted if wanted != "auto" else "cuda" if cuda else "cpu"
    if name != "cuda":
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        why = "asked for" if wanted != "auto" else "no CUDA device"
        return Device(device=name, dtype=dtype, batch_size=8, reason=f"{name} ({why}), {_short(dtype)}")
    native = torch.cuda.get_device_capability() >= (8, 0)
    dtype = torch.float32 if precision == "fp32" or (precision == "auto" and not native) else torch.bfloat16
    memory = torch.cuda.get_device_properties(0).total_memory >> 30
    batch = 512 if memory >= 38 else 256 if memory >= 14 else 64
    return Device(
        device=name,
        dtype=dtype,
        batch_size=batch,
        reason=f"{torch.cuda.get_device_name()}, {memory} GB, {_short(dtype)}",
    )


def single_thread() -> None:
    """Compute in one thread from now on: workers are the parallelism, and a sum's order must not depend on threads."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for a library that is imported later
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)


@contextlib.contextmanager
def memory_reused() -> Iterator[None]:
    """Inside, what a network frees stays with the process, up to 1 GB, and its next layer finds it there.

    glibc asks the kernel for every array above 32 MB, and gives it back: a fifth to a third of a small convolutional
    network's time on a CPU is spent on pages that come zeroed. Elsewhere than under glibc this does nothing.
    """
    libc = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, MMAP_MAX)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
        libc.malloc_trim(0)


def _short(dtype: "torch.dtype") -> str:
    return str(dtype).removeprefix("torch.")
