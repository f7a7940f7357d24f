"""The device: what was asked for or a reason, and bf16 only where it is native."""

import types

import pytest
import torch

from siglino_core.device import choose
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
