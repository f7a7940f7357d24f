"""Compiled blocks: what is computed is the same, and packs of any number of images share a few graphs.

The compiler's last step is left out, since no C++ compiler need be here: graphs are captured, counted and run as such.
"""

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.distillation.training import parallel
from siglino_core.models import SigLinoConfig, attention
from siglino_core.teachers.dinov3 import PackedDinoV3
from siglino_core.teachers.siglip2 import PackedSigLip2
from tests.siglino_core.models.tiny import TINY, patches, student

DENSE_FIRST = SigLinoConfig(
    width=32, layers=2, heads=2, head_dim=16, hidden=48, experts=4, top_k=2, expert_hidden=16, dense_layers=1
)
CAPACITY = 320


@pytest.fixture(autouse=True)
def _forget() -> None:
    torch.compiler.reset()  # graphs of other tests count towards the limit of a function's


def packs(number: int = 5) -> list[list[tuple[int, int]]]:
    """Of one to nine images, all in another number and of other sizes than the pack before."""
    rng = random.Random(0)
    counts = rng.sample(range(1, 10), number)
    return [[(rng.randint(1, 5), rng.randint(1, 5)) for _ in range(count)] for count in counts]


def trained_over(model: Any, shapes: list[tuple[int, int]], seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    x_NV = torch.cat(patches(model.spec, shapes, seed=seed))
    out = model(x_NV, model.layout(shapes, CAPACITY)).patches["siglino"].float()
    out.square().mean().backward()
    return out.detach(), {n: p.grad.float() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("config", "kinds", "activation_checkpointing"),
    [(TINY, 1, False), (DENSE_FIRST, 2, True)],
    ids=["mixture", "dense first, recomputed"],
)
def test_a_student(
    monkeypatch: pytest.MonkeyPatch, config: SigLinoConfig, kinds: int, activation_checkpointing: bool
) -> None:
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    models = []
    for compiled in (False, True):
        model = student(config).to(torch.bfloat16).train()
        model.backend = "mask"  # that of GPUs has no gradient here; both read the pack in the same way
        options = {"activation_checkpointing": activation_checkpointing, "compiled": compiled}
        models.append(parallel.parallelize(model, device="cpu", dtype=torch.float32, **options))
    for seed, shapes in enumerate(packs()):
        (plain, plain_grads), (ours, our_grads) = (trained_over(model, shapes, seed) for model in models)
        torch.testing.assert_close(ours, plain, rtol=0.02, atol=0.02)
        assert our_grads.keys() == plain_grads.keys()
        for name, grad in plain_grads.items():
            torch.testing.assert_close(our_grads[name], grad, rtol=0.05, atol=0.02, msg=lambda m, n=name: f"{n}: {m}")
    assert kinds <= counter.frame_count <= 2 * kinds, "for the first pack, and once more with the sizes left open"


@pytest.mark.parametrize("activation_checkpointing", [False, True], ids=["kept", "recomputed"])
def test_a_sharded_student(monkeypatch: pytest.MonkeyPatch, activation_checkpointing: bool) -> None:
    """What stays fp32 in a block comes from outside of it, and does not cut its graph."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    with parallel.one_rank("cpu", 1):
        model = student().train()
        model.backend = "mask"
        options = {"activation_checkpointing": activation_checkpointing, "compiled": True}
        parallel.parallelize(model, device="cpu", dtype=torch.bfloat16, **options)
        for seed, shapes in enumerate(packs()):
            _, grads = trained_over(model, shapes, seed)
    assert grads["layers.0.moe.router.gate.weight"].abs().sum() > 0
    assert 1 <= counter.frame_count <= 2


def test_load_is_counted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=CompileCounter()))
    found = []
    for compiled in (False, True):
        model = student().to(torch.bfloat16).train()
        model.backend = "mask"
        parallel.parallelize(model, device="cpu", dtype=torch.float32, compiled=compiled)
        trained_over(model, [(2, 3), (4, 1)], seed=0)
        found.append(model.get_submodule("layers.0.moe").load)
    assert torch.equal(*found)
    assert found[0].sum() == TINY.top_k * (2 * TINY.prefix + 10)


@pytest.mark.parametrize(("config", "kinds"), [(TINY, 1), (DENSE_FIRST, 2)], ids=["mixture", "dense first"])
def test_passes_without_a_gradient_add_a_graph(
    monkeypatch: pytest.MonkeyPatch, config: SigLinoConfig, kinds: int
) -> None:
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    model = student(config).to(torch.bfloat16).train()
    model.backend = "mask"
    model = parallel.parallelize(model, device="cpu", dtype=torch.float32, compiled=True)
    *earlier, last = packs()
    for _ in range(2):
        for shapes in earlier:
            with torch.no_grad():
                model.features(torch.cat(patches(config, shapes)), model.layout(shapes, CAPACITY))
        for seed, shapes in enumerate([last, *earlier]):
            trained_over(model, shapes, seed)
    assert kinds <= counter.frame_count <= 3 * kinds < torch._dynamo.config.recompile_limit


def dinov3() -> PackedDinoV3:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    return PackedDinoV3(DINOv3ViTModel(DINOv3ViTConfig(**shape, num_register_tokens=4)), "id")


def siglip2() -> PackedSigLip2:
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    return PackedSigLip2(Siglip2VisionModel(Siglip2VisionConfig(**shape, num_patches=16)), "id")


@pytest.mark.parametrize("make", [dinov3, siglip2])
def test_a_teacher(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(attention, "_chosen", lambda *_: "mask")
    torch.manual_seed(0)
    plain = make()
    torch.manual_seed(0)
    ours = make()
    counter = CompileCounter()
    for layer in ours.model.model.layer if make is dinov3 else ours.model.encoder.layers:
        layer.compile(dynamic=True, backend=counter)
    for seed, shapes in enumerate(packs()):
        x_NV = torch.cat(patches(TINY, shapes, seed=seed))
        for a, b in zip(ours(x_NV, shapes), plain(x_NV, shapes), strict=True):
            if a is not None:
                torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert 1 <= counter.frame_count <= 3, "with sizes left open; some that coincide make another"
