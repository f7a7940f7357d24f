"""The published model: its outputs, its parameter counts, its keys."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from siglino_core.models import PRESETS, SigLino
from siglino_core.models.attention import Backend
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.size import backbone_parameters

FIXTURE = Path(__file__).parents[2] / "golden" / "student_moe_tiny.safetensors"
COUNTS = {  # all parameters, those of the backbone that one token meets, entries of the state dict
    "siglino-moe-0.3b": (522_833_120, 153_183_888, 244),
    "siglino-moe-0.15b": (522_833_120, 89_482_896, 244),
    "siglino-0.6b": (493_304_176, 472_896_288, 208),
    "siglino-70m": (69_464_752, 50_728_032, 124),
    "siglino-30m": (47_067_032, 28_608_840, 124),
}


def published_tiny() -> SigLinoHFConfig:
    moe: dict[str, Any] = {"num_experts": 8, "num_shared_experts": 0, "top_k": 3, "score_func": "sigmoid"}
    return SigLinoHFConfig(
        dim=48, n_layers=3, n_heads=4, head_dim=16, n_kv_heads=4, moe_dim=24, first_n_layers_dense=0,
        moe_args={**moe, "route_norm": False, "route_scale": 1.0, "score_before_experts": False},
        teachers=["siglip2", "dinov3"], teachers_dim=[64, 40],
    )  # fmt: skip


def part(of: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(name): v for k, v in of.items() if k.startswith(name)}


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def model(published: dict[str, Tensor]) -> SigLinoModel:
    model = SigLinoModel(published_tiny()).eval()
    model.load_state_dict(part(published, "weights/"), strict=True)
    return model


@pytest.mark.parametrize("backend", ["loop", "mask", "flex"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_outputs_of_the_published_implementation(
    model: SigLinoModel, published: dict[str, Tensor], backend: Backend
) -> None:
    model.backend = backend
    out = model(**part(published, "inputs/"))
    valid = published["inputs/padding_mask"].bool()
    names = {"dinov3", "siglip2", "siglino"}
    assert out.patch_features.keys() == out.summary_features.keys() == out.register_features.keys() == names
    for name, wanted in part(published, "outputs/patch_features/").items():
        torch.testing.assert_close(out.patch_features[name][valid], wanted[valid], atol=2e-5, rtol=0)
        assert not out.patch_features[name][~valid].any()
    for name, wanted in part(published, "outputs/summary_features/").items():
        torch.testing.assert_close(out.summary_features[name], wanted, atol=2e-5, rtol=0)


def on_meta(name: str) -> SigLino:
    with torch.device("meta"):
        return SigLino(PRESETS[name])


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    model = on_meta(name)
    total, active, entries = COUNTS[name]
    assert sum(p.numel() for p in model.parameters()) == total
    assert backbone_parameters(PRESETS[name], active=True) == active
    heads = [p.numel() for k, p in model.named_parameters() if "adapter" in k or "pooling" in k or "layer_norm" in k]
    assert total - sum(heads) == backbone_parameters(PRESETS[name])
    assert len(model.state_dict()) == entries


def expected_shapes(name: str) -> dict[str, tuple[int, ...]]:
    c = PRESETS[name]
    d, inner, e, f = c.width, c.heads * c.head_dim, c.experts, c.expert_hidden
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, d),
        "storage_tokens": (1, 4, d),
        "img_projector.weight": (d, 768),
        "norm.weight": (d,),
        "freqs_cis_golden": (c.heads, c.head_dim // 4, 2),
        "layer_norm_dinov3.weight": (1024,),
        "layer_norm_dinov3.bias": (1024,),
    }
    for i in range(c.layers):
        attention = {"attention.wo.weight": (d, inner), "attention.sinks": (c.heads,)}
        attention |= {f"attention.w{x}.weight": (inner, d) for x in "qkv"}
        norms = {f"{x}_norm.weight": (d,) for x in ("attention", "ffn")} if c.norm_weights else {}
        dense = {f"feed_forward.w{x}.weight": (c.hidden, d) if x != 2 else (d, c.hidden) for x in (1, 2, 3)}
        moe: dict[str, tuple[int, ...]] = {
            "moe.experts.w1": (e, f, d),
            "moe.experts.w2": (e, d, f),
            "moe.experts.w3": (e, f, d),
            "moe.router.gate.weight": (e, d),
            "moe.expert_bias": (e,),
        }
        shapes |= {f"layers.{i}.{k}": v for k, v in {**attention, **norms, **(moe if e else dense)}.items()}
    for teacher, out in (("dinov3", 1024), ("siglip2", 1152)):
        head = {"fc1.weight": (out, d), "fc1.bias": (out,), "norm.weight": (out,), "norm.bias": (out,)}
        shapes |= {f"{teacher}_adapter.{k}": v for k, v in {**head, "fc2.weight": (out, out)}.items()}
    pool = {
        "probe": (1, 1, 1152),
        "attention.in_proj_weight": (3456, 1152),
        "attention.in_proj_bias": (3456,),
        "attention.out_proj.weight": (1152, 1152),
        "attention.out_proj.bias": (1152,),
        "layernorm.weight": (1152,),
        "layernorm.bias": (1152,),
        "mlp.fc1.weight": (4304, 1152),
        "mlp.fc1.bias": (4304,),
        "mlp.fc2.weight": (1152, 4304),
        "mlp.fc2.bias": (1152,),
    }
    return shapes | {f"siglip2_multihead_attention_pooling_head.{k}": v for k, v in pool.items()}


@pytest.mark.parametrize("name", COUNTS)
def test_keys_and_shapes(name: str) -> None:
    model = on_meta(name)
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == expected_shapes(name)
    frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {k for k in expected_shapes(name) if "pooling_head" in k or k.startswith("layer_norm_dinov3")}


@pytest.mark.parametrize("name", PRESETS)
def test_flat_config_and_back(name: str) -> None:
    assert SigLinoHFConfig.of(PRESETS[name]).spec() == PRESETS[name]


def test_defaults_are_those_of_the_largest_mixture() -> None:
    assert SigLinoHFConfig().spec() == PRESETS["siglino-moe-0.3b"]


def test_a_dense_config_on_disk(tmp_path: Path) -> None:
    SigLinoHFConfig.of(PRESETS["siglino-30m"]).save_pretrained(tmp_path)
    assert SigLinoHFConfig.from_pretrained(tmp_path).spec() == PRESETS["siglino-30m"]


def test_a_form_that_no_model_has() -> None:
    config = SigLinoHFConfig(moe_args={"num_experts": 8, "top_k": 2, "score_func": "softmax"}, n_kv_heads=2)
    with pytest.raises(ValueError, match=r"n_kv_heads=2 \(only 8\).*moe_args.score_func='softmax' \(only 'sigmoid'\)"):
        config.spec()


def test_frequencies_of_another_model(model: SigLinoModel, published: dict[str, Tensor]) -> None:
    weights = part(published, "weights/")
    weights["freqs_cis_golden"] = weights["freqs_cis_golden"].flip(0)
    with pytest.raises(ValueError, match="freqs_cis_golden: not the golden frequencies"):
        model.load_state_dict(weights)
