"""A small early-fusion model trained by the loop that users run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siglino_core.config import GroundLossConfig, LoopConfig, Method, OptimConfig, PackConfig
from siglino_core.device import Device
from siglino_core.distillation.packing import Part
from siglino_core.distillation.training.checkpoints import Checkpoints
from siglino_core.distillation.training.loop import Loop, Ranks, Told, ready
from siglino_core.errors import SiglinoError
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.data.referring import Expression, Referring
from siglino_core.grounding.data.synthetic.level import EASY, Kind, Level
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.training.objective import Objective
from siglino_core.grounding.training.reader import Asked
from siglino_core.grounding.training.task import Grounding, Setting
from siglino_core.models import SigLinoConfig
from siglino_core.store import Files
from siglino_core.weights.checkpoint import weights

CPU = Device(device="cpu", dtype=torch.float32, batch_size=8, reason="cpu")
SIDE, PATCH = 64, 8
SHAPE = SigLinoConfig(width=96, layers=3, heads=4, head_dim=24, hidden=192, patch_size=PATCH, teachers=())
CONFIG = GroundingConfig(student=SHAPE, bins=64, coordinate_hidden=128, fourier=64, mask_width=16, text_hidden=96)
TWO: Level = replace(EASY, objects=(2, 2), kinds=(Kind.ATTRIBUTE,), absent=0.0, repeats=False, expressions=4)


class StoppedError(SiglinoError):
    """The training was told to stop here."""


def pairs(images: int, seed: int = 0) -> list[Referring]:
    """Images of two things, each asked for by a text of its own."""
    found = []
    for scene in Scenes(seed, (SIDE, SIDE), count=10 * images, level=TWO):
        by_box: dict[bytes, Expression] = {}
        for e in scene.expressions:
            if len(e.boxes_K4) == 1:
                by_box.setdefault(e.boxes_K4.tobytes(), e)
        if len(by_box) == 2 and len({e.text for e in by_box.values()}) == 2:
            found.append(replace(scene, expressions=tuple(by_box.values())))
        if len(found) == images:
            return found
    raise AssertionError(f"only {len(found)} such scenes")


def setting(images: Sequence[Referring], **changes: Any) -> Setting:
    """A training on them, all in one pass."""
    asked = Asked(images=images, patch_size=PATCH, mask_scale=CONFIG.mask_scale, seed=0, expressions=8, most=4)
    grid = SIDE // PATCH
    plain: dict[str, Any] = {
        "model": lambda: GroundingModel(CONFIG),
        "config_json": {},
        "asked": asked,
        "part": Part(name="scenes", grids_N2=np.full((len(images), 2), grid, np.uint16)),
        "pack": PackConfig(packs_per_step=1, capacity=len(images) * (grid**2 + SHAPE.prefix), look_ahead=8),
        "objective": Objective(weights=GroundLossConfig(box=1.0, dice=5.0)),
    }
    return Setting(**(plain | changes))


def taught(
    folder: Path, made: Setting, steps: int, *, stop: int | None = None, ranks: Ranks | None = None, **changes: Any
) -> GroundingModel:
    """Train from the newest checkpoint to the end, or until an error after some steps ends it."""

    def tell(step: int, _steps: int, _note: str) -> None:
        if step == stop:
            raise StoppedError(str(step))

    optim = OptimConfig(optimizer=Method.ADAMW, lr=2e-3, steps=steps, warmup_steps=min(10, steps), weight_decay=0.0)
    config = LoopConfig(**({"optim": optim, "checkpoint_steps": 10, "trackers": []} | changes))
    files, ranks = Files(str(folder)), ranks or Ranks()
    try:
        with ready(config, CPU, ranks):
            loop = Loop(files, "of a test", config, ranks, Told(tell=tell))
            loop.run(lambda begin: Grounding(made, CPU, ranks, begin))
    except StoppedError:
        assert stop is not None
    model = made.model()
    newest = Checkpoints(files.sub("checkpoints"), "of a test").newest()
    assert newest is not None
    model.load_state_dict(weights(folder / "checkpoints" / newest.name))
    return model.eval()
