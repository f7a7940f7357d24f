"""The teachers' heads: the forms there are against plain formulas, and SigLIP2's own pooling, over packs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Siglip2VisionConfig
from transformers.models.siglip2.modeling_siglip2 import Siglip2MultiheadAttentionPoolingHead

from siglino_core.models import PRESETS, SigLinoConfig
from siglino_core.models.config import FORMS
from siglino_core.models.heads import (
    LinearHead,
    PoolingHead,
    TeacherHead,
    TransformerHead,
    segment_softmax,
    segment_sum,
)
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.segments import Segments
from siglino_core.weights.export import export
from siglino_core.weights.load import load_student
from tests.rounded import RoundedSums
from tests.siglino_core.models.tiny import DENSE, filled, patches, student

LENGTHS = [7, 1, 12, 12]
SHAPES = [(2, 3), (4, 1), (3, 3)]
DEEP = replace(DENSE, layers=4)


def with_heads(form: str, layers: tuple[int, ...] = (), shape: SigLinoConfig = DEEP) -> SigLinoConfig:
    return replace(shape, teachers=tuple(replace(t, form=form, layers=layers) for t in shape.teachers))


def by_hand(head: TransformerHead, x_TD: Tensor) -> Tensor:
    """One image's tokens through a pre-norm block, with softmax(q k^T / sqrt(d)) v written out."""
    w = head.state_dict()

    def norm(name: str, x_TD: Tensor) -> Tensor:
        centred = x_TD - x_TD.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(name: str, x_TD: Tensor) -> Tensor:
        return x_TD @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    h_TD = norm("attention_norm", x_TD)
    cut = [linear(name, h_TD).chunk(head.heads, 1) for name in ("wq", "wk", "wv")]
    seen = [(q @ k.T / q.shape[1] ** 0.5).softmax(1) @ v for q, k, v in zip(*cut, strict=True)]
    x_TD = x_TD + linear("wo", torch.cat(seen, 1))
    h_TD = linear("mlp_in", norm("mlp_norm", x_TD))
    x_TD = x_TD + linear("mlp_out", h_TD * (1 + torch.erf(h_TD / 2**0.5)) / 2)
    return linear("out", norm("last_norm", x_TD))


@torch.no_grad()
def test_a_transformer_head_is_a_block_over_each_image() -> None:
    head = filled(TransformerHead(16, 12, heads=2, head_dim=8)).double()
    assert isinstance(head, TransformerHead)
    x_TD = torch.randn(sum(LENGTHS) + 3, 16, dtype=torch.float64)
    wanted = torch.cat([by_hand(head, image) for image in x_TD[: sum(LENGTHS)].split(LENGTHS)])
    found = head(x_TD, Segments.of(LENGTHS, total=len(x_TD)), "auto")
    torch.testing.assert_close(found[: sum(LENGTHS)], wanted)


def test_a_transformer_head_begins_as_norm_and_linear() -> None:
    head = TransformerHead(16, 12, heads=2, head_dim=8)
    head.reset_parameters()
    x_TD = torch.randn(7, 16)
    assert head.out.weight.any()
    torch.testing.assert_close(head(x_TD, Segments.of([7]), "auto"), head.out(F.layer_norm(x_TD, (16,))))


def test_gradients_of_the_other_heads() -> None:
    x_TD = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    transformer = filled(TransformerHead(8, 6, heads=1, head_dim=8)).double()
    assert torch.autograd.gradcheck(lambda x: transformer(x, Segments.of([3, 2]), "auto"), (x_TD,))
    linear = filled(LinearHead(8, 6)).double()
    assert isinstance(linear, LinearHead)
    assert torch.autograd.gradcheck(linear, (x_TD,))
    assert torch.equal(linear(x_TD), F.linear(x_TD, linear.fc.weight, linear.fc.bias))


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_a_ladder_adds_what_its_rungs_predict_from_blocks_before_the_last(form: str) -> None:
    model = student(with_heads(form, (2, 0)))
    layout, states = model.layout(SHAPES), []
    images = torch.cat(patches(DEEP, SHAPES))
    x_TD = model.encode(images, layout, states)
    wanted = student(with_heads(form))  # the same head without rungs
    wanted.load_state_dict({k: v for k, v in model.state_dict().items() if "_ladder" not in k})
    plain = wanted.predicted(x_TD, layout)
    found = model(images, layout)
    dinov3_TC = torch.zeros(len(x_TD), 24)
    for place, block in enumerate((2, 0)):
        after_TD = states[block + 1]
        unit_TD = after_TD / (after_TD.square().mean(1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
        dinov3_TC += model.get_submodule(f"dinov3_ladder.{place}")(unit_TD)
    prefix_BPC, patches_NC = layout.parted(dinov3_TC)
    assert patches_NC.abs().mean() > 0.1
    torch.testing.assert_close(found.patches["dinov3"], plain.patches["dinov3"] + patches_NC)
    torch.testing.assert_close(found.summaries["dinov3"], plain.summaries["dinov3"] + prefix_BPC[:, 0])
    torch.testing.assert_close(found.registers["dinov3"], plain.registers["dinov3"] + prefix_BPC[:, 1:])


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_summaries_alone_are_those_of_the_whole(form: str) -> None:
    model = student(with_heads(form, (1,)))
    images, layout = torch.cat(patches(DEEP, SHAPES)), model.layout(SHAPES)
    some, whole = model(images, layout, ["dinov3"]), model(images, layout)
    torch.testing.assert_close(some.summaries["dinov3"], whole.summaries["dinov3"])
    assert ("dinov3" in some.patches) == (form == "transformer")  # whose summary needs all tokens


@pytest.mark.parametrize("form", FORMS)
def test_every_parameter_of_a_head_gets_a_gradient(form: str) -> None:
    model = student(with_heads(form, (1,))).train()
    out = model(torch.cat(patches(DEEP, SHAPES)), model.layout(SHAPES))
    torch.stack([x.square().mean() for x in [*out.patches.values(), *out.summaries.values()]]).sum().backward()
    heads = {k: p for k, p in model.named_parameters() if "_adapter" in k or "_ladder" in k}
    # A key's bias moves all of a query's logits alike, which softmax does not see.
    assert [k for k, p in heads.items() if (p.grad is None or not p.grad.any()) and not k.endswith("wk.bias")] == []


@pytest.mark.parametrize(("form", "layers"), [("linear", ()), ("transformer", (0, 2)), ("mlp", (1,))])
def test_an_export_carries_its_heads(form: str, layers: tuple[int, ...], tmp_path: Path) -> None:
    """`export` itself loads the folder by its own code files, and compares the features."""
    shape = with_heads(form, layers)
    model = filled(SigLinoModel(SigLinoHFConfig.of(shape))).eval()
    assert isinstance(model, SigLinoModel)
    export(model, str(tmp_path / "student"), source="x")
    written = json.loads((tmp_path / "student" / "config.json").read_text())
    assert written["teacher_heads"]["dinov3"] == {"form": form, "layers": list(layers)}
    assert written["siglino_format"] == 2
    loaded = load_student(str(tmp_path / "student"))
    assert loaded.spec == shape
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())


@pytest.mark.parametrize("name", PRESETS)
def test_published_heads_are_said_by_no_field_of_a_config(name: str) -> None:
    written = SigLinoHFConfig.of(PRESETS[name]).to_diff_dict()
    assert "teacher_heads" not in written
    assert written["siglino_format"] == 1
    assert SigLinoHFConfig.from_dict(written).spec() == PRESETS[name]


def test_heads_of_no_teacher_are_refused() -> None:
    config = SigLinoHFConfig.of(DEEP)
    config.teacher_heads = {"clip": {"form": "linear"}}
    with pytest.raises(ValueError, match=r"teacher_heads of clip, not of teachers=\['siglip2', 'dinov3'\]"):
        config.spec()


@torch.no_grad()
def test_pooling_is_that_of_the_teacher() -> None:
    config = Siglip2VisionConfig(hidden_size=32, intermediate_size=96, num_attention_heads=16)
    config._attn_implementation = "eager"
    theirs = filled(Siglip2MultiheadAttentionPoolingHead(config)).eval()
    ours = PoolingHead(32, hidden=96, eps=config.layer_norm_eps)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert not any(p.requires_grad for p in ours.parameters())
    x = torch.randn(sum(LENGTHS) + 3, 32)
    wanted = torch.cat([theirs(image[None]) for image in x[: sum(LENGTHS)].split(LENGTHS)])
    found = ours(x, Segments.of(LENGTHS, total=len(x)))
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


def test_softmax_by_image() -> None:
    logits = 50 * torch.randn(sum(LENGTHS), 3)
    wanted = torch.cat([image.softmax(0) for image in logits.split(LENGTHS)])
    torch.testing.assert_close(segment_softmax(logits, Segments.of(LENGTHS)), wanted)


def test_gradients_reach_the_tokens_through_the_frozen_pooling() -> None:
    pool = filled(PoolingHead(16, hidden=24)).double()
    segments = Segments.of([2, 3], total=6)
    x = torch.randn(6, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pool(x, segments), (x,))


@pytest.mark.parametrize("patches", [256, 2304])
@torch.no_grad()
def test_a_summary_in_bf16_is_summed_in_fp32(patches: int) -> None:
    segments, x_TC = Segments.of([patches, 7]), torch.randn(patches + 7, 128).bfloat16()
    wanted = filled(PoolingHead(128, hidden=256))(x_TC.float(), segments)
    with RoundedSums() as sums:
        found = filled(PoolingHead(128, hidden=256)).bfloat16()(x_TC, segments)
    assert sums.summed == {torch.float32}
    assert found.dtype == torch.bfloat16
    assert (found - wanted).norm() / wanted.norm() < 0.007


def test_a_sum_in_bf16_would_be_off() -> None:
    """Else the test above could not fail: the summed numbers of bf16, each addition rounded."""
    segments = Segments.of([2304])
    x_TC = torch.rand(2304, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    wanted = x_TC.double().sum(0)
    with RoundedSums():
        rounded = torch.zeros(2, 8).bfloat16().index_add(0, segments.image_T, x_TC)[0]
        ours = segment_sum(x_TC, segments)[0]
    assert (rounded - wanted).norm() / wanted.norm() > 0.1
    torch.testing.assert_close(ours.double(), wanted, atol=0, rtol=1e-5)


def test_a_head_in_bf16_norms_in_fp32() -> None:
    head = filled(TeacherHead(32, 24))
    weight = head.norm.weight.clone()  # type: ignore[union-attr]
    head.bfloat16()
    assert torch.equal(head.norm.weight, weight)  # type: ignore[union-attr]
    assert head(torch.randn(3, 32).bfloat16()).dtype == torch.bfloat16
