"""A step's gradients: the same over any ranks and passes, relations included; what that costs, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.parallel import one_rank, parallelize
from siglino_core.distillation.training.passes import Passes, Summed
from siglino_core.distillation.training.reader import Batch
from siglino_core.models import HeadConfig, SigLino
from siglino_core.models.routing import mixtures
from tests.pipelines.own_teachers import Own
from tests.ranks import on_ranks
from tests.siglino_core.models.tiny import TINY, student

SHAPES = [
    [(2, 3), (4, 2)],
    [(1, 5)],
    [(3, 3), (2, 2), (1, 2)],
    [(4, 4)],
    [(2, 2), (3, 1)],
    [(2, 5)],
    [(1, 1)],
    [(3, 2)],
]
PACKS = len(SHAPES)
IMAGES = list(map(len, SHAPES))
TOKENS = sum(h * w + TINY.prefix for shapes in SHAPES for h, w in shapes)
SHAPE = replace(TINY, teachers=(HeadConfig(name="one", dim=8), HeadConfig(name="two", dim=24)))
RELATIONS = LossConfig(summary=0, patch=0, register=0, relation_beta=0.1)


def batch(packs: list[int]) -> Batch:
    """Some packs of the step in a pass."""
    shapes = [shape for pack in packs for shape in SHAPES[pack]]
    pixels = [
        torch.randint(256, (sum(h * w for h, w in SHAPES[pack]), TINY.patch_values), generator=_drawn(pack))
        for pack in packs
    ]
    rows = np.arange(len(shapes))
    return Batch(
        patches_NV=torch.cat(pixels).to(torch.uint8),
        shapes=shapes,
        rows_B=rows,
        epochs_B=rows,
        tokens=TOKENS,
        parts_B=np.zeros(len(shapes), np.uint8),
    )


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def passes(model: SigLino, config: LossConfig, at_once: int, world: int = 1) -> Passes:
    stats = {
        t.name: Statistics(
            summary=PhiS.fit(torch.randn(40, t.dim, generator=_drawn(1))),
            patch=PhiS.fit(torch.randn(40, t.dim, generator=_drawn(2))),
        )
        for t in SHAPE.teachers
    }
    return Passes(
        model=model,
        objective=Objective(config=config, statistics=stats),
        device="cpu",
        teachers=[Own(t.dim, name=t.name) for t in SHAPE.teachers],
        packs=PACKS,
        at_once=at_once * world,
        world=world,
    )


def reading(at_once: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    mine = list(range(PACKS))[rank::world]
    return (batch(mine[i : i + at_once]) for i in range(0, len(mine), at_once))


def step(
    config: LossConfig, at_once: int, *, fsdp_size: int = 0, dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[dict[str, float], Tensor]:
    """The terms of a step, and all parameters' gradients in one row, as the trainer has them from all ranks."""
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    model = student(SHAPE, seed=1).train()
    model = parallelize(model, device="cpu", dtype=dtype, world=world, fsdp_size=fsdp_size, **options)
    done = passes(model, config, at_once, world)(reading(at_once, rank, world), IMAGES)
    terms = torch.stack([term.double() for term in done.terms.values()])
    if world > 1:
        dist.all_reduce(terms)
        terms /= world
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    whole = [g.full_tensor() if isinstance(g, DTensor) else g for g in grads]
    return dict(zip(done.terms, terms.tolist(), strict=True)), torch.cat([g.flatten() for g in whole])


CONFIGS = {
    "whole step": RELATIONS,
    "groups of 4": replace(RELATIONS, relation_packs=4),
    "groups of 2, rkd": replace(RELATIONS, relation_packs=2, relation=Relation.RKD),
    "all terms": replace(RELATIONS, summary=1.0, patch=1.0, relation_weight=3.0),
}


def assert_same(found: tuple[dict[str, float], Tensor], wanted: tuple[dict[str, float], Tensor]) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    assert float((found[1] - wanted[1]).norm() / wanted[1].norm()) < 1e-5


@pytest.fixture(scope="module")
def one_pass() -> dict[str, tuple[dict[str, float], Tensor]]:
    """Of one process, with the whole step in one pass: by autograd alone."""
    return {name: step(config, PACKS) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
def test_passes_change_no_gradient(one_pass: dict[str, Any], at_once: int) -> None:
    for name, config in CONFIGS.items():
        assert_same(step(config, at_once), one_pass[name])
    groups = [one_pass[name][1] for name in ("whole step", "groups of 4")]
    assert float((groups[0] - groups[1]).norm() / groups[0].norm()) > 0.1, "which images meet is seen in the gradient"


def over_passes(fsdp_sizes: list[int]) -> list[tuple[str, tuple[dict[str, float], Tensor]]]:
    most = PACKS // dist.get_world_size()
    return [
        (name, step(config, at_once, fsdp_size=fsdp_size))
        for name, config in CONFIGS.items()
        for at_once in (1, 2, 4)
        for fsdp_size in fsdp_sizes
        if at_once <= most
    ]


@pytest.mark.parametrize(("ranks", "fsdp_sizes"), [(2, [0, 1]), pytest.param(4, [0, 2], marks=pytest.mark.slow)])
def test_ranks_change_no_gradient(one_pass: dict[str, Any], ranks: int, fsdp_sizes: list[int]) -> None:
    for cases in on_ranks(over_passes, fsdp_sizes, ranks=ranks):
        for name, found in cases:
            assert_same(found, one_pass[name])


def exchanges() -> list[dict[str, int]]:
    """Calls of each collective that adds up gradients, in a step of one pass and in one of four."""
    found = []
    for at_once in (4, 1):
        counted = CommDebugMode()
        with counted:
            step(RELATIONS, at_once)
        found.append({str(op): n for op, n in counted.get_comm_counts().items() if "reduce_scatter" in str(op)})
    return found


def test_gradients_are_exchanged_once_a_step() -> None:
    for one, four in on_ranks(exchanges):
        assert one == four
        assert sum(one.values()) > TINY.layers, "at least once for each block, and for what is around them"


def forwards(model: SigLino) -> list[tuple[bool, dict[str, Tensor]]]:
    """Filled with every forward pass: whether it had a gradient, and its summaries."""
    told: list[tuple[bool, dict[str, Tensor]]] = []

    def tell(_model: Any, _inputs: Any, features: Any) -> None:
        told.append((torch.is_grad_enabled(), {n: s.detach().clone() for n, s in features.summaries.items()}))

    model.register_forward_hook(tell)
    return told


def seen(config: LossConfig, at_once: int) -> tuple[list[tuple[bool, dict[str, Tensor]]], Summed, SigLino]:
    model = student(SHAPE, seed=1).train()
    told = forwards(model)
    return told, passes(model, config, at_once)(reading(at_once), IMAGES), model


@pytest.mark.parametrize(
    ("config", "at_once", "extra"),
    [
        (RELATIONS, PACKS, 0),
        (RELATIONS, 2, 3),
        (RELATIONS, 3, 2),
        (replace(RELATIONS, relation_packs=4), 2, 2),
        (replace(RELATIONS, relation_packs=2), 2, 0),
        (replace(RELATIONS, relation=Relation.NONE, summary=1.0), 1, 0),
        (replace(RELATIONS, relation_weight=0.0, summary=1.0), 1, 0),
    ],
)
def test_forward_passes_without_a_gradient(config: LossConfig, at_once: int, extra: int) -> None:
    told, done, _ = seen(config, at_once)
    assert [with_gradient for with_gradient, _ in told].count(True) == -(-PACKS // at_once) == len(done.seen)
    assert [with_gradient for with_gradient, _ in told].count(False) == extra


def test_a_second_forward_pass_says_the_same() -> None:
    told, _, _ = seen(RELATIONS, 2)
    first = [summaries for with_gradient, summaries in told if not with_gradient]
    last, *second = [summaries for with_gradient, summaries in told if with_gradient]
    assert len(first) == len(second) == 3
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(last["one"], first[-1]["one"])


@pytest.mark.parametrize("at_once", [1, 3, PACKS])
def test_loads_are_counted_once(at_once: int) -> None:
    _, _, model = seen(RELATIONS, at_once)
    assert [float(m.load.sum()) for m in mixtures(model)] == [TINY.top_k * TOKENS] * TINY.layers


def test_each_images_errors_are_told_beside_its_batch() -> None:
    config = replace(RELATIONS, summary=1.0)
    _, done, _ = seen(config, 2)
    assert sorted(len(errors_B) for _, errors_B in done.seen) == sorted(sum(IMAGES[i : i + 2]) for i in (0, 2, 4, 6))
    assert all(len(errors_B) == len(batch.shapes) for batch, errors_B in done.seen)
    mean = float(torch.cat([errors_B for _, errors_B in done.seen]).mean())
    assert mean == pytest.approx(float(done.terms["one.summary"] + done.terms["two.summary"]), rel=1e-5)


def test_recomputing_blocks_changes_no_gradient() -> None:
    found = [step(CONFIGS["all terms"], 2, activation_checkpointing=recomputed)[1] for recomputed in (False, True)]
    assert torch.equal(*found)


def test_in_bf16(one_pass: dict[str, Any]) -> None:
    with one_rank("cpu", 1):
        (terms, wanted), (other_terms, found) = (step(RELATIONS, n, dtype=torch.bfloat16) for n in (PACKS, 2))
    assert other_terms == pytest.approx(terms, rel=1e-3)
    assert float((found - wanted).norm() / wanted.norm()) < 0.01
    assert float(torch.cosine_similarity(wanted, one_pass["whole step"][1], dim=0)) > 0.95
