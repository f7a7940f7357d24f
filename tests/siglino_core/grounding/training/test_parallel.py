"""One fine-tuning over ranks: sharded and replicated it is that of one process, frozen, anchored and balanced too."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from siglino_core.config import GroundLossConfig, PackConfig
from siglino_core.distillation.training.anchor import Anchor
from siglino_core.distillation.training.loop import Ranks
from siglino_core.distillation.training.metrics import read
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.training.objective import Objective
from siglino_core.grounding.training.task import Setting
from siglino_core.models import SigLino
from siglino_core.store import Files
from tests.ranks import on_ranks
from tests.siglino_core.grounding.training.taught import CONFIG, PATCH, SHAPE, SIDE, pairs, setting, taught

MIXTURE = replace(SHAPE, experts=4, top_k=2, expert_hidden=64)
ONE = (SIDE // PATCH) ** 2 + SHAPE.prefix  # tokens of an image
STEPS = 3
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "frozen": {"image_lr": 0.0},
    "gentle": {"image_lr": 0.3, "word_lr": 0.0},
    "anchored": {"gram": 1.0},
}


def of_mixture() -> GroundingModel:
    torch.manual_seed(5)
    return GroundingModel(replace(CONFIG, student=MIXTURE))


def anchor() -> Anchor:
    torch.manual_seed(6)
    return Anchor(SigLino(MIXTURE))


def made(shard: int, gram: float = 0.0, **rates: float) -> Setting:
    return setting(
        pairs(4),
        model=of_mixture,
        pack=PackConfig(packs_per_step=4, capacity=ONE, look_ahead=8),
        objective=Objective(weights=GroundLossConfig(box=1.0, dice=5.0, spread=1.0, gram=gram)),
        anchor=anchor if gram else None,
        fsdp_size=shard,
        **rates,
    )


def trained(folder: Path, shard: int, case: dict[str, Any], ranks: Ranks) -> tuple[list[float], dict[str, Tensor]]:
    """Every step's loss, and the weights in the end."""
    model = taught(folder, made(shard, **case), STEPS, ranks=ranks, checkpoint_steps=STEPS)
    return [line["loss"] for line in read(Files(str(folder)))], model.state_dict()


def on_rank(folder: str) -> dict[tuple[str, int], tuple[list[float], dict[str, Tensor]]]:
    ranks = Ranks(rank=dist.get_rank(), world=dist.get_world_size())
    return {
        (name, shard): trained(Path(folder, f"{name}-{shard}"), shard, case, ranks)
        for name, case in CASES.items()
        for shard in (0, 1)  # sharded over both, and replicated
    }


@pytest.mark.slow
def test_sharded_and_replicated_train_as_one_process(tmp_path: Path) -> None:
    before = of_mixture().state_dict()
    wanted = {name: trained(tmp_path / f"one-{name}", 0, case, Ranks()) for name, case in CASES.items()}
    assert len({losses[-1] for losses, _ in wanted.values()}) == len(CASES)
    assert any((wanted["plain"][1][k] - before[k]).abs().max() > 1e-3 for k in before)
    for found in on_ranks(on_rank, str(tmp_path)):
        for (name, shard), (losses, state) in found.items():
            assert losses == pytest.approx(wanted[name][0], rel=1e-5), (name, shard)
            for key, value in wanted[name][1].items():
                told = lambda m, k=key, n=name, s=shard: f"{n}, fsdp_size={s}, {k}: {m}"  # noqa: E731
                torch.testing.assert_close(state[key], value, rtol=0, atol=2e-4, msg=told)
