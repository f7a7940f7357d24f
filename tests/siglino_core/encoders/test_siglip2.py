"""SigLIP2 as an encoder: what transformers' own class says of a small random checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.models.patches import patchify
from siglino_core.networks import load_teacher
from tests.siglino_core.encoders.door import describe, load
from tests.siglino_core.models.tiny import filled

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip2")
    filled(Siglip2VisionModel(Siglip2VisionConfig(**SMALL, num_patches=16))).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("size", [0, 64])
def test_its_pooled_output(checkpoint: Path, size: int) -> None:
    config = EmbedConfig(encoder=f"siglip2:{checkpoint}", image_size=size)
    encoder = load(config)
    side = size or 256
    assert encoder.card == describe(config)
    assert (encoder.card.dim, encoder.card.pixels.size, encoder.card.pixels.fit) == (32, side, "squash")
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    x = patchify(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1, 16)
    model = Siglip2VisionModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        wanted = model(x, torch.ones(x.shape[:2]), torch.tensor([[side // 16] * 2] * 2)).pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=-1).numpy()
    assert np.abs(encoder.encode(pixels) - wanted).max() <= 1e-5


def test_as_a_teacher_it_says_the_same(checkpoint: Path) -> None:
    encoder, teacher = (
        load(EmbedConfig(encoder=f"siglip2:{checkpoint}", image_size=64)),
        load_teacher(f"siglip2:{checkpoint}"),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    patches = patchify(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1, 16)[0]
    summary = torch.nn.functional.normalize(teacher(patches, [(4, 4)]).summaries, dim=-1)
    assert np.abs(encoder.encode(pixels) - summary.numpy()).max() <= 1e-5
    assert encoder.card.deciding() == teacher.card.deciding()


def test_a_size_that_is_no_multiple_of_the_patch(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"embed\.image_size=50 is not a multiple of the encoder's patch, 16"):
        load(EmbedConfig(encoder=f"siglip2:{checkpoint}", image_size=50))
