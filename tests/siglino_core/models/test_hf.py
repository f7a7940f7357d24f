"""The model under transformers' own num_workers: the same features, saved, loaded, cast, and without this package."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from siglino_core.models.hf import SigLinoHFConfig, SigLinoImageProcessor, SigLinoModel, SigLinoOutput
from siglino_core.models.patches import pad, patchify
from tests.siglino_core.models.tiny import DENSE, TINY, filled, patches

SHAPES = [(2, 3), (4, 1), (3, 3)]
STRANGER = """
import sys
sys.modules["siglino_core"] = None  # not to be imported: this reader hasn't it
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
assert type(AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)).__name__ == "SigLinoImageProcessor"
given = load_file(folder + "/given.safetensors")
with torch.no_grad():
    out = model(**given)
save_file({k: v.contiguous() for k, v in out.patch_features.items()}, folder + "/found.safetensors")
"""


@pytest.fixture(scope="module")
def model() -> SigLinoModel:
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY))).eval()
    assert isinstance(model, SigLinoModel)
    return model


@pytest.fixture(scope="module")
def batch() -> dict[str, Tensor]:
    padded, mask = pad(patches(TINY, SHAPES))
    return {"pixel_values": padded, "padding_mask": mask, "spatial_shapes": torch.tensor(SHAPES)}


@pytest.fixture(scope="module")
def folder(model: SigLinoModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    model.save_pretrained(folder)
    SigLinoImageProcessor().save_pretrained(folder)
    return folder


@torch.no_grad()
def features(model: Any, batch: dict[str, Tensor]) -> SigLinoOutput:
    return model(**batch)


def same(a: SigLinoOutput, b: SigLinoOutput) -> bool:
    """But for the last bit, which may depend on where in memory the weights lie."""
    parts = ("patch_features", "summary_features", "register_features")
    return torch.allclose(a.last_hidden_state, b.last_hidden_state, atol=1e-6) and all(  # type: ignore[arg-type]
        torch.allclose(a[part][name], b[part][name], atol=1e-6) for part in parts for name in a[part]
    )


def test_padded_as_packed(model: SigLinoModel, batch: dict[str, Tensor]) -> None:
    padded = features(model, batch)
    with torch.no_grad():
        packed = SigLinoModel.features(model, torch.cat(patches(TINY, SHAPES)), model.layout(SHAPES))
    mask = batch["padding_mask"]
    assert torch.equal(padded.patch_features["dinov3"][mask], packed.patches["dinov3"])  # type: ignore[index]
    assert torch.equal(padded.register_features["siglip2"], packed.registers["siglip2"])  # type: ignore[index]
    again = features(model, {k: v for k, v in batch.items() if k != "padding_mask"})
    assert same(padded, again)
    with torch.no_grad():
        assert len(model(**batch, return_dict=False)) == 6


def test_a_raw_image_goes_the_right_way_round(model: SigLinoModel) -> None:
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    by_hand = [
        image[0, :, 16 * r : 16 * r + 16, 16 * c : 16 * c + 16].permute(1, 2, 0).flatten()  # row, column, channel
        for r in range(2)
        for c in range(3)
    ]
    assert torch.equal(patchify(image, 16)[0], torch.stack(by_hand))
    raw = features(model, {"pixel_values": image})
    cut = {"pixel_values": torch.stack(by_hand)[None], "spatial_shapes": torch.tensor([[2, 3]])}
    assert same(raw, features(model, cut))


def test_saved_and_loaded(model: SigLinoModel, batch: dict[str, Tensor], folder: Path) -> None:
    loaded = AutoModel.from_pretrained(folder)  # this package's own class, without trust_remote_code
    assert type(loaded) is SigLinoModel
    assert same(features(model, batch), features(loaded, batch))
    assert AutoConfig.from_pretrained(folder).spec() == TINY
    assert type(AutoImageProcessor.from_pretrained(folder)) is SigLinoImageProcessor
    assert set(load_file(folder / "model.safetensors")) == set(model.state_dict())


def test_half_precision_keeps_bias_and_positions(folder: Path, batch: dict[str, Tensor]) -> None:
    half = SigLinoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.cls_token.dtype == torch.bfloat16
    assert {b.dtype for b in half.buffers()} == {torch.float32}
    assert all(not m.load.any() for m in half.modules() if hasattr(m, "load"))
    assert features(half, batch).summary_features["dinov3"].isfinite().all()  # type: ignore[index]


@pytest.mark.slow
def test_without_this_package(folder: Path, model: SigLinoModel, batch: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(batch, folder / "given.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder)],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    wanted = features(model, batch).patch_features
    for name, found in load_file(folder / "found.safetensors").items():
        torch.testing.assert_close(found, wanted[name], atol=1e-6, rtol=0)  # type: ignore[index]


def test_weights_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    config = SigLinoHFConfig.of(TINY)
    config.save_pretrained(tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["cls_token"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"the weights don't fit the config.*cls_token"):
        SigLinoModel.from_pretrained(tmp_path)
    state = load_file(folder / "model.safetensors")
    state["freqs_cis_golden"] *= 1.01
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="freqs_cis_golden"):
        SigLinoModel.from_pretrained(tmp_path)


def test_a_fresh_model_begins_as_the_student_does() -> None:
    model = SigLinoModel(SigLinoHFConfig.of(DENSE))
    assert not model.layers[0].feed_forward.w2.weight.any()  # type: ignore[union-attr]
    assert model.img_projector.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert torch.equal(model.freqs_cis_golden, model.golden())


def test_inputs_that_contradict_one_another(model: SigLinoModel, batch: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="patches need their spatial_shapes"):
        model(batch["pixel_values"])
    with pytest.raises(ValueError, match="padding_mask: each image's patches come first"):
        model(**{**batch, "padding_mask": batch["padding_mask"].flip(1)})
    with pytest.raises(ValueError, match="hold 3 images of up to 9 patches"):
        model(**{**batch, "spatial_shapes": torch.tensor([(5, 2), (1, 1), (1, 1)]), "padding_mask": None})
    with pytest.raises(ValueError, match="multiples of 16"):
        model(torch.zeros(1, 3, 33, 32))
