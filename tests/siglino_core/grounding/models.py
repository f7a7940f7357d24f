"""Small early-fusion models and packs."""

from collections.abc import Sequence

import torch

from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.targets import Question
from siglino_core.grounding.transfer import transfer
from siglino_core.models import SigLino, SigLinoConfig
from tests.siglino_core.models.tiny import student

SHAPES = [(4, 6), (1, 1), (3, 3)]


def grounding(config: SigLinoConfig, seed: int = 0, **settings: object) -> tuple[GroundingModel, SigLino]:
    """A model and the drawn student that it was made from, both in fp32."""
    torch.manual_seed(seed)
    of = student(config)
    small: dict[str, object] = {"coordinate_hidden": 32, "fourier": 16, "mask_width": 8, "bins": 64}
    model = GroundingModel(GroundingConfig(student=config, **(small | settings)))  # type: ignore[arg-type]
    transfer(model, of.state_dict(), config)
    return model.eval(), of.eval()


def stirred(model: GroundingModel, seed: int = 1) -> GroundingModel:
    """The same with every weight that begins at zero, or small, drawn anew: so that all parts say something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model


def question(tokens: Sequence[int], boxes: Sequence[Sequence[float]] = ()) -> Question:
    """An expression and its instances' (x, y, width, height)."""
    pairs_K4 = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    return Question(tokens, pairs_K4[:, :2], pairs_K4[:, 2:])
