"""The device: what was asked for or a reason, and bf16 only where it is native."""

import ctypes
import resource
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from siglino_core.device import choose, memory_reused
from siglino_core.errors import ConfigError


def fake_cuda(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None, memory: int = 80) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    properties = types.SimpleNamespace(total_memory=memory << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")


@pytest.mark.parametrize(
    ("capability", "memory", "precision", "dtype", "batch"),
    [
        ((9, 0), 80, "auto", torch.bfloat16, 512),
        ((8, 0), 40, "auto", torch.bfloat16, 512),
        ((8, 6), 40, "fp32", torch.float32, 512),
        ((7, 5), 16, "auto", torch.float32, 256),
        ((7, 5), 8, "bf16", torch.bfloat16, 64),
    ],
)
def test_cuda(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    memory: int,
    precision: str,
    dtype: torch.dtype,
    batch: int,
) -> None:
    fake_cuda(monkeypatch, capability, memory)
    found = choose("auto", precision)
    assert (found.device, found.dtype, found.batch_size) == ("cuda", dtype, batch)
    assert found.reason == f"Card, {memory} GB, {str(dtype)[6:]}"
    assert choose("cpu", precision).device == "cpu"


def test_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda(monkeypatch, None)
    assert choose().reason == "cpu (no CUDA device), float32"
    assert choose("cpu", "bf16").dtype is torch.bfloat16
    assert choose("cpu").reason == "cpu (asked for), float32"
    with pytest.raises(ConfigError, match=r"runtime\.device=cuda: torch sees no CUDA device"):
        choose("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"runtime\.device=mps: torch sees no Metal device"):
        choose("mps")
    with pytest.raises(ConfigError, match=r"runtime\.device=tpu: not one of auto, cpu, cuda, mps"):
        choose("tpu")


@pytest.mark.parametrize("before", ["", "import torch, faiss; "])
def test_one_thread_whenever_a_library_comes(before: str) -> None:
    """In a process of its own, as a worker's: a library that is imported later keeps to one thread as well."""
    code = f"{before}from siglino_core.device import single_thread; single_thread(); import torch, faiss"
    code += "; assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (1, 1)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_is_reused() -> None:
    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    ctypes.CDLL(None).malloc_trim(0)  # what other tests left is not counted
    before = megabytes()
    with memory_reused():
        np.ones(1 << 23)  # 67 MB, twice what glibc keeps by itself
        assert megabytes() > before + 60, "inside, it is kept"
        asked = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(1 << 23)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt < asked + 1000, "and taken again"
    assert megabytes() < before + 20, "outside, it goes back"
