"""The settings of a training's loop, whatever is trained: rates, ranks, checkpoints, trackers."""

from dataclasses import dataclass, field
from enum import StrEnum

from siglino_core.config.curate import Precision
from siglino_core.config.optim import OptimConfig
from siglino_core.config.settings import setting


class Tracker(StrEnum):
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How a training goes on, step by step."""

    optim: OptimConfig = field(default_factory=OptimConfig)
    balance: float = setting(1e-3, "how far a step moves the bias that balances the experts", ge=0, le=1)
    precision: Precision = setting(Precision.AUTO, "auto: bf16 where the device is fast at it, fp32 elsewhere")
    max_bad_steps: int = setting(
        3, "training stops after this many steps in a row whose loss or gradient is not finite", ge=1
    )
    ranks: int = setting(0, "processes that train; 0: one per GPU, or one", ge=0, le=65536, shapes=False)
    fsdp_size: int = setting(
        0, "ranks that share one copy of the weights; 0: all of them, 1: each has its own", ge=0, shapes=False
    )
    activation_checkpointing: bool = setting(
        False, "save memory: compute each block a second time in the backward pass", shapes=False
    )
    compile: bool = setting(False, "compile each block with torch.compile", shapes=False)
    num_workers: int = setting(
        1, "processes per rank that read and decode images; 0: the rank does it itself", ge=0, shapes=False
    )
    checkpoint_steps: int = setting(500, "steps between two checkpoints", ge=1, shapes=False)
    keep_last: int = setting(2, "how many of the newest checkpoints are kept", ge=1, shapes=False)
    keep_every: int = setting(
        0, "checkpoints at multiples of this many steps are kept too; 0: none", ge=0, shapes=False
    )
    max_restarts: int = setting(
        3,
        "how often training starts over from the newest checkpoint, after a worker died or the store was away, without "
        "a new checkpoint in between",
        ge=0,
        shapes=False,
    )
    store_patience: int = setting(
        600,
        "seconds for which training asks a store again that is away or has faults; the other ranks wait meanwhile",
        ge=0,
        le=900,  # twice in a step, and ranks do not yet give each other up (after 1,800)
        shapes=False,
    )
    trackers: list[Tracker] = setting(
        [Tracker.TENSORBOARD], "where metrics go beside metrics.jsonl: tensorboard, wandb, mlflow", shapes=False
    )
