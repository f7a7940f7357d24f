"""Training in bf16: what is fp32 all the same, inside the forward pass, and how far the exported student is from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from siglino_core.distillation.training.parallel import one_rank, parallelize
from siglino_core.models import SigLino, SigLinoConfig
from siglino_core.models.encoder import Attention
from siglino_core.models.hf import SigLinoModel
from siglino_core.models.moe import Experts
from siglino_core.models.patches import pad
from siglino_core.models.precision import Fp32Linear, LayerNorm, RMSNorm
from tests.ranks import on_ranks
from tests.rounded import RoundedSums
from tests.siglino_core.models.tiny import TEACHERS, exported, patches, student

MANY = SigLinoConfig(
    width=64, layers=4, heads=4, head_dim=16, experts=8, top_k=2, expert_hidden=32, teachers=TEACHERS
)  # fmt: skip
SHAPES = [(12, 14), (9, 9), (16, 10), (3, 5)]
PACKS = [[(4, 5), (3, 3)], [(6, 2)]]  # one of each rank
EXACT = ("router.gate.weight", "attention.sinks", "norm.weight", "norm.bias", "layernorm.weight", "layernorm.bias")


def bf16(model: SigLino, world: int = 1, fsdp_size: int = 0) -> SigLino:
    return parallelize(model.train(), device="cpu", dtype=torch.bfloat16, world=world, fsdp_size=fsdp_size)


@contextmanager
def watched(model: nn.Module) -> Iterator[dict[str, Any]]:
    """The precision of each module's own parameters while it computes, and the experts that tokens go to."""
    found: dict[str, Any] = {"chosen": [], "dtypes": {}}

    def look(name: str, module: nn.Module, args: Any) -> None:
        for key, p in module.named_parameters(recurse=False):
            assert not isinstance(p, DTensor), f"{name}.{key} is a shard"
            found["dtypes"][f"{name}.{key}"] = p.dtype
        if isinstance(module, Experts):
            found["chosen"].append(args[2].sort(-1).values)
        if isinstance(module, Fp32Linear | RMSNorm | LayerNorm | Attention):
            found["dtypes"][f"{name}(x)"] = args[0].dtype

    hooks = [
        m.register_forward_pre_hook(lambda m, args, name=name: look(name, m, args)) for name, m in model.named_modules()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def dtypes_inside(fsdp_size: int, world: int = 1, rank: int = 0) -> dict[str, Tensor]:
    """Asserts them; gives the gradients of one step, whole."""
    model = bf16(student(MANY), world, fsdp_size)
    x_NV = torch.cat(patches(MANY, PACKS[rank], seed=rank))
    with watched(model) as seen, RoundedSums() as sums:
        features = model(x_NV, model.layout(PACKS[rank]))
    assert sums.summed == {torch.float32}, "of experts' outputs and of images' tokens"
    inside = {n: t for n, t in seen["dtypes"].items() if not n.endswith("(x)")}
    used = {n for n, _ in model.named_parameters() if not n.startswith("layer_norm_dinov3")}
    assert {n.lstrip(".") for n in inside} >= used
    for name, dtype in inside.items():
        exact = name.endswith(EXACT) or name in (".cls_token", ".storage_tokens")
        assert dtype == (torch.float32 if exact else torch.bfloat16), name
    assert {t for n, t in seen["dtypes"].items() if n.endswith("(x)")} == {torch.bfloat16}
    assert {x.dtype for part in features for x in part.values()} == {torch.bfloat16}
    loss = sum(x.float().square().mean() for part in features for x in part.values())
    assert isinstance(loss, Tensor)
    loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {n: g.full_tensor() if isinstance(g, DTensor) else g for n, g in grads.items()}


def on_rank(sizes: list[int]) -> list[dict[str, Tensor]]:
    return [dtypes_inside(size, dist.get_world_size(), dist.get_rank()) for size in sizes]


def test_gates_sinks_norms_and_sums_are_fp32_on_one_rank() -> None:
    with one_rank("cpu", 1):
        grads = dtypes_inside(0)
    assert {g.dtype for g in grads.values()} == {torch.float32}


@pytest.mark.slow
def test_and_on_two_whose_gradients_are_averaged_in_fp32() -> None:
    with one_rank("cpu", 1):
        alone = [dtypes_inside(0, rank=rank) for rank in (0, 1)]
    for sharded, replicated in on_ranks(on_rank, [0, 1]):
        for found in (sharded, replicated):
            assert found.keys() == alone[0].keys()
            for name, grad in found.items():
                wanted = (alone[0][name] + alone[1][name]) / 2
                assert (grad - wanted).norm() <= 1e-5 * wanted.norm(), name  # in bf16: 2e-3


@torch.no_grad()
def test_an_export_in_bf16_routes_as_training_in_bf16_does(tmp_path: Path) -> None:
    whole = student(MANY)
    folder = exported(tmp_path / "there", whole)
    cut = patches(MANY, SHAPES)
    with one_rank("cpu", 1):
        model = bf16(whole)
        with watched(model) as training:
            ours = model(torch.cat(cut), model.layout(SHAPES))
    half = SigLinoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    assert {p.dtype for n, p in half.named_parameters() if n.endswith(EXACT)} == {torch.float32}
    pixel_values, padding_mask = pad(cut)
    with watched(half) as inference:
        theirs = half(pixel_values, padding_mask, torch.tensor(SHAPES))
    assert len(training["chosen"]) == MANY.layers
    tokens = sum(h * w + MANY.prefix for h, w in SHAPES)
    for mine, other in zip(training["chosen"], inference["chosen"], strict=True):
        assert mine.shape == (tokens, MANY.top_k)
        assert torch.equal(mine, other)
    for name, summary in ours.summaries.items():
        assert (summary - theirs.summary_features[name]).norm() <= 1e-3 * summary.norm(), name
        patches_ND, padded = ours.patches[name], theirs.patch_features[name][padding_mask.bool()]
        assert (patches_ND - padded).norm() <= 1e-3 * patches_ND.norm(), name
