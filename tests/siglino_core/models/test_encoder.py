"""The student: an image's features depend on that image alone."""

import pytest
import torch
from torch import Tensor

from siglino_core.models import Features, SigLino, SigLinoConfig
from tests.siglino_core.models.tiny import DENSE, TINY, patches, student

SHAPES = [(4, 6), (1, 1), (3, 3), (7, 2), (3, 3)]
CLOSE = {"atol": 1e-4, "rtol": 0.0}


@torch.no_grad()
def features(model: SigLino, images: list[Tensor], shapes: list[tuple[int, int]], total: int | None = None) -> Features:
    return model(torch.cat(images), model.layout(shapes, total))


def of_image(packed: Features, model: SigLino, shapes: list[tuple[int, int]], i: int) -> list[Tensor]:
    counts = [h * w for h, w in shapes]
    return [
        *(x.split(counts)[i] for x in packed.patches.values()),
        *(x[i] for x in packed.summaries.values()),
        *(x[i] for x in packed.registers.values()),
    ]


@pytest.mark.parametrize("config", [TINY, DENSE])
@pytest.mark.parametrize("backend", ["loop", "mask"])
def test_features_do_not_depend_on_company(config: SigLinoConfig, backend: str) -> None:
    model = student(config)
    model.backend = backend  # type: ignore[assignment]
    images = patches(config, SHAPES)
    alone = [of_image(features(model, [x], [s]), model, [s], 0) for x, s in zip(images, SHAPES, strict=True)]
    order = [3, 0, 4, 2, 1]
    for chosen in (range(5), order, [1, 3]):
        for total in (None, 120):
            shapes = [SHAPES[i] for i in chosen]
            together = features(model, [images[i] for i in chosen], shapes, total)
            for at, i in enumerate(chosen):
                for ours, wanted in zip(of_image(together, model, shapes, at), alone[i], strict=True):
                    torch.testing.assert_close(ours, wanted, **CLOSE)
    again = of_image(features(model, [images[0]], [SHAPES[0]]), model, SHAPES[:1], 0)
    assert all(torch.equal(a, b) for a, b in zip(again, alone[0], strict=True))  # whatever ran before


def test_every_part_of_an_image_shows_in_its_features() -> None:
    model = student()
    image = patches(TINY, [(3, 4)])[0]
    before = features(model, [image], [(3, 4)])
    turned = features(model, [image], [(4, 3)])
    assert (turned.summaries["dinov3"] - before.summaries["dinov3"]).abs().max() > 1e-3
    for patch in range(12):
        other = image.clone()
        other[patch] *= -1
        changed = features(model, [other], [(3, 4)])
        for name in ("siglip2", "dinov3", "siglino"):
            assert (changed.summaries[name] - before.summaries[name]).abs().max() > 1e-4


def test_shapes_and_names() -> None:
    model = student()
    out = features(model, patches(TINY, SHAPES), SHAPES)
    dims = {"siglino": 32, "siglip2": 32, "dinov3": 24}
    assert {k: tuple(v.shape) for k, v in out.patches.items()} == {k: (57, d) for k, d in dims.items()}
    assert {k: tuple(v.shape) for k, v in out.summaries.items()} == {k: (5, d) for k, d in dims.items()}
    assert {k: tuple(v.shape) for k, v in out.registers.items()} == {k: (5, 4, d) for k, d in dims.items()}


@torch.no_grad()
def test_summaries_alone_cost_one_token_an_image() -> None:
    model = student()
    seen: list[int] = []
    model.get_submodule("dinov3_adapter").register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    images = torch.cat(patches(TINY, SHAPES))
    whole = model(images, model.layout(SHAPES))
    some = model(images, model.layout(SHAPES), ["siglip2", "dinov3"])
    assert seen == [57 + 5 * 5, 5]
    for name in ("siglino", "siglip2", "dinov3"):
        torch.testing.assert_close(some.summaries[name], whole.summaries[name], **CLOSE)
    assert set(some.patches) == set(some.registers) == {"siglino", "siglip2"}, "a pooled summary needs all tokens"


def test_initial_values() -> None:
    torch.manual_seed(0)
    config = SigLinoConfig(width=64, layers=3, heads=4, head_dim=32, experts=4, top_k=2, expert_hidden=64)
    model = SigLino(config)
    for name, p in model.named_parameters():
        assert p.isfinite().all(), name
    for i, block in enumerate(model.layers):
        values = dict(block.named_parameters())
        depth = 0.02 / (2 * (i + 1)) ** 0.5
        assert not values["attention.wo.weight"].any()
        assert not values["moe.experts.w2"].any()
        assert values["moe.experts.w1"].std().item() == pytest.approx(0.02, rel=0.05)
        for name in ("attention.wq.weight", "moe.experts.w3"):
            assert values[name].std().item() == pytest.approx(depth, rel=0.05)
        assert (values["attention_norm.weight"] == 1).all()
    assert model.img_projector.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.dinov3_adapter.fc1.weight.std().item() == pytest.approx(0.01, rel=0.05)  # type: ignore[union-attr]
    assert torch.equal(model.freqs_cis_golden, model.golden())


def test_every_trained_parameter_gets_a_gradient() -> None:
    for config in (TINY, DENSE):
        model = student(config).train()
        out = model(torch.cat(patches(config, SHAPES)), model.layout(SHAPES))
        everything = [*out.patches.values(), *out.summaries.values(), *out.registers.values()]
        sum(x.square().mean() for x in everything).backward()
        silent = [k for k, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert silent == []


def test_half_precision_keeps_positions_and_bias() -> None:
    model = student().bfloat16()
    assert model.freqs_cis_golden.dtype == torch.float32
    assert {b.dtype for k, b in model.named_buffers()} == {torch.float32}
    half = features(model, patches(TINY, SHAPES), SHAPES)
    full = features(student(), patches(TINY, SHAPES), SHAPES)
    cosine = torch.nn.functional.cosine_similarity(half.patches["dinov3"].float(), full.patches["dinov3"])
    assert half.patches["dinov3"].dtype == torch.bfloat16
    assert cosine.min() > 0.97


def test_patches_that_do_not_fit() -> None:
    model = student()
    with pytest.raises(ValueError, match="the layout has 9 of 768 values"):
        model(torch.zeros(8, 768), model.layout([(3, 3)]))
    with pytest.raises(ValueError, match="0 x 3 patches"):
        model.layout([(0, 3)])
