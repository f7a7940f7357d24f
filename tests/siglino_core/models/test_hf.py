"""The model under transformers' own num_workers: the same features, saved, loaded, cast, and without this package."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.export import Dim
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from siglino_core.models.hf import (
    SigLinoBackbone,
    SigLinoHFConfig,
    SigLinoImageProcessor,
    SigLinoModel,
    SigLinoOutput,
)
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
    with pytest.raises(ValueError, match=r"spatial_shapes of \[3, 3\]: whole numbers \[B, 2\]"):
        model(batch["pixel_values"], spatial_shapes=torch.ones(3, 3).long())
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    with pytest.raises(ValueError, match=r"padding_mask: images .* have no padding"):
        model(images, padding_mask=torch.tensor([[1] * 6, [1] * 3 + [0] * 3]))
    with pytest.raises(ValueError, match="spatial_shapes: these images are of 2 x 3 patches each"):
        model(images, spatial_shapes=torch.tensor([[1, 1], [2, 2]]))
    whole = {"padding_mask": torch.ones(2, 6), "spatial_shapes": torch.tensor([[2, 3]] * 2)}
    assert same(features(model, {"pixel_values": images}), features(model, {"pixel_values": images, **whole}))
    assert same(features(model, batch), features(model, {**batch, "spatial_shapes": SHAPES}))


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), r"pixel_values of uint8: real numbers in \+-1"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.int64), "pixel_values of int64: real numbers"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.bool), "pixel_values of bool: real numbers"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.complex64), "pixel_values of complex64: real numbers"),
        (torch.full((1, 3, 32, 32), 255.0), "pixel_values up to 255: real numbers in"),
        (torch.zeros(1, 4, 32, 32), r"pixel_values of \[1, 4, 32, 32\]: .* images \[B, 3, height, width\]"),
        (torch.zeros(32, 32), r"pixel_values of \[32, 32\]: "),
        (torch.zeros(3, 32, 32), r"one image wants a batch of one, pixel_values\[None\]"),
        (torch.zeros(0, 3, 32, 32), "no images, or images without pixels"),
        (torch.zeros(2, 3, 0, 32), "no images, or images without pixels"),
        (torch.zeros(1, 3, 32, 32).numpy(), "a tensor is wanted, not ndarray"),
        ([1], "a tensor is wanted, not list"),
        (None, "a tensor is wanted, not NoneType"),
    ],
)
def test_what_are_no_pixels(model: SigLinoModel, pixels: Any, said: str) -> None:
    for run in (model, lambda x: model.intermediates(x, 1)):
        with pytest.raises(ValueError, match=said):
            run(pixels)


def test_a_folder_of_a_newer_format_is_refused(folder: Path, tmp_path: Path) -> None:
    newer = json.loads((folder / "config.json").read_text()) | {"siglino_format": 3}
    (tmp_path / "config.json").write_text(json.dumps(newer))
    with pytest.raises(ValueError, match=r"of format 3, and this code reads up to 2\. Take the code files"):
        AutoConfig.from_pretrained(tmp_path)


@torch.no_grad()
def test_by_transformers_conventions(model: SigLinoModel, batch: dict[str, Tensor]) -> None:
    out = model(**batch, output_hidden_states=True, output_attentions=True)
    tokens, mask = 5 + 9, batch["padding_mask"]
    assert out[0] is out.last_hidden_state  # what pipelines take
    assert out.last_hidden_state.shape == (3, tokens, TINY.width)
    assert torch.equal(out.pooler_output, out.last_hidden_state[:, 0])
    assert torch.equal(out.last_hidden_state[:, 5:][mask], out.patch_features["siglino"][mask])
    assert not out.last_hidden_state[:, 5:][~mask].any()
    assert len(out.hidden_states) == TINY.layers + 1
    assert torch.allclose(model.norm(out.hidden_states[-1]), out.last_hidden_state, atol=1e-6)
    assert [a.shape for a in out.attentions] == [(3, TINY.heads, tokens, tokens)] * TINY.layers
    assert out.spatial_shapes.tolist() == [list(s) for s in SHAPES]
    c = model.config
    found = (c.hidden_size, c.num_hidden_layers, c.num_attention_heads, c.patch_size, c.num_channels)
    assert found == (32, 2, 2, 16, 3)


@torch.no_grad()
def test_attentions_are_those_that_the_blocks_use(model: SigLinoModel) -> None:
    images = torch.rand(1, 3, 32, 48) * 2 - 1
    seen: dict[str, Tensor] = {}
    attention = model.layers[1].attention
    hook = attention.wo.register_forward_hook(lambda _, given, __: seen.update(mixed=given[0]))
    normed = model.layers[1].attention_norm.register_forward_hook(lambda _, __, out: seen.update(normed=out))
    weights = model(images, output_attentions=True).attentions[1][0]
    hook.remove()
    normed.remove()
    values_THD = attention.wv(seen["normed"]).unflatten(-1, (attention.heads, -1))
    torch.testing.assert_close(torch.einsum("hqk,khd->qhd", weights, values_THD).flatten(1), seen["mixed"])
    assert (weights.sum(-1) < 1).all()  # the sink's share


@torch.no_grad()
def test_heads_and_lengths_are_chosen(model: SigLinoModel, batch: dict[str, Tensor]) -> None:
    out = model(**batch, heads=["dinov3"], normalize=True)
    assert set(out.patch_features) == {"dinov3", "siglino"}
    assert torch.allclose(out.summary_features["dinov3"].norm(dim=-1), torch.ones(3))
    assert not out.patch_features["dinov3"][~batch["padding_mask"]].any()
    assert set(model(**batch, heads=()).summary_features) == {"siglino"}
    assert set(model(**batch, heads="siglip2").summary_features) == {"siglip2", "siglino"}
    for heads in (["clip"], "clip"):
        with pytest.raises(ValueError, match="heads: no clip here; there are siglino, siglip2, dinov3"):
            model(**batch, heads=heads)


@torch.no_grad()
def test_layers_between(model: SigLinoModel, batch: dict[str, Tensor]) -> None:
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    states = model(images, output_hidden_states=True).hidden_states
    first, last = model.intermediates(images, [0, -1], norm=False)
    assert first.shape == (2, 32, 2, 3)
    assert torch.equal(first[:, :, 1, 2], states[1][:, 5 + 5])
    assert torch.equal(last.flatten(2).mT, states[2][:, 5:])
    assert torch.equal(model.intermediates(images, 1)[0].flatten(2).mT, model(images).patch_features["siglino"])
    by_timm, pairs = model.forward_intermediates(images, [0], return_prefix_tokens=True, norm=False)
    assert torch.equal(pairs[0][0], first)
    assert torch.equal(pairs[0][1], states[1][:, :5])
    assert torch.equal(by_timm, model(images).last_hidden_state)
    ragged = {k: batch[k] for k in ("padding_mask", "spatial_shapes")}
    assert model.intermediates(batch["pixel_values"], 2, format="NLC", **ragged)[0].shape == (3, 9, 32)
    with pytest.raises(ValueError, match="images of 3 sizes"):
        model.intermediates(batch["pixel_values"], 1, **ragged)
    for layers in (3, 0, [2], [-3], []):
        with pytest.raises(ValueError, match="this model has 2"):
            model.intermediates(images, layers)
    for layers in ([1.0], ["2"], None, "2"):
        with pytest.raises(ValueError, match="the last so many, or the blocks' numbers"):
            model.intermediates(images, layers)  # type: ignore[arg-type]
    assert len(model.intermediates(images, np.int64(2))) == 2  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'NCHW' or 'NLC'"):
        model.intermediates(images, 1, format="NHWC")  # type: ignore[arg-type]


@torch.no_grad()
def test_a_backbone(folder: Path, model: SigLinoModel) -> None:
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    backbone = SigLinoBackbone.from_pretrained(folder, out_indices=[1, -1])
    assert (backbone.channels, backbone.out_features) == ([32, 32], ["stage1", "stage2"])
    for found, wanted in zip(backbone(images).feature_maps, model.intermediates(images, 2), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert SigLinoBackbone.from_pretrained(folder, out_features=["stem"]).out_indices == [0]
    assert backbone(images, output_hidden_states=True).hidden_states[0].shape == (2, 11, 32)
    with pytest.raises(ValueError, match=r"no 3; there are 0 to 2"):
        SigLinoBackbone.from_pretrained(folder, out_indices=[3])(images)
    with pytest.raises(ValueError, match=r"out_indices, out_features: none"):
        SigLinoBackbone.from_pretrained(folder, out_indices=[])(images)
    backbone.out_indices = [0]
    assert (backbone.out_features, len(backbone(images).feature_maps)) == (["stem"], 1)
    backbone.out_features = ["stage1"]
    assert backbone.out_indices == [1]
    backbone.config.out_indices = [2]
    with pytest.raises(ValueError, match=r"out_features=\['stage1'\] and out_indices=\[2\] differ"):
        backbone(images)
    assert SigLinoBackbone.from_pretrained(folder, out_indices=2).out_indices == [2]


@torch.no_grad()
def test_a_backbone_in_others_models(folder: Path) -> None:
    config = UperNetConfig(
        backbone_config=SigLinoHFConfig.from_pretrained(folder, out_indices=[0, 1, 1, 2]), hidden_size=16,
        pool_scales=[1, 2], num_labels=3, auxiliary_in_channels=TINY.width,
    )  # fmt: skip
    out = UperNetForSemanticSegmentation(config).eval()(pixel_values=torch.rand(1, 3, 64, 64) * 2 - 1)
    assert out.logits.shape == (1, 3, 64, 64)


@pytest.mark.slow
@torch.no_grad()
def test_exported_with_its_sizes_left_open(model: SigLinoModel) -> None:
    shape = {0: Dim("b", min=1, max=64), 2: 16 * Dim("h", min=2, max=64), 3: 16 * Dim("w", min=2, max=64)}
    program = torch.export.export(model, (torch.rand(2, 3, 64, 96),), dynamic_shapes={"pixel_values": shape}).module()
    for size in ((1, 3, 32, 80), (5, 3, 64, 96)):
        images = torch.rand(size) * 2 - 1
        torch.testing.assert_close(program(images).pooler_output, model(images).pooler_output, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
def test_blocks_computed_again(folder: Path) -> None:
    images, grads = torch.rand(1, 3, 32, 48) * 2 - 1, []
    for again in (False, True):
        model = SigLinoModel.from_pretrained(folder).train()
        calls = []
        model.layers[0].attention_norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        if again:
            model.gradient_checkpointing_enable()
        model(images).pooler_output.sum().backward()
        assert len(calls) == 1 + again
        grads.append(model.img_projector.weight.grad)
    assert torch.equal(*grads)
    assert model.get_input_embeddings() is model.img_projector


@pytest.mark.filterwarnings("ignore")
def test_tracing_a_mixture_is_refused(model: SigLinoModel) -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"torch\.jit\.trace would keep this example's routing"):
        torch.jit.trace(model, torch.rand(1, 3, 32, 32), strict=False)


def test_frequencies_that_were_rounded_are_made_anew(folder: Path, tmp_path: Path) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        SigLinoModel.from_pretrained(folder).save_pretrained(tmp_path)
        state = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        model = SigLinoModel.from_pretrained(tmp_path, dtype=torch.float32)
        assert torch.equal(model.freqs_cis_golden, model.golden())
        model.load_state_dict(state)
        assert torch.equal(model.freqs_cis_golden, model.golden())
