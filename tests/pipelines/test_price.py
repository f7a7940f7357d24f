"""Every price of a plan is the FLOPs that torch counts: each stage with a network, each teacher, each student."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines import embed, export, targets, train
from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import (
    Config,
    EmbedConfig,
    LossConfig,
    PartConfig,
    Relation,
    RuntimeConfig,
    SampleConfig,
    Stored,
    TargetsConfig,
    TrainConfig,
)
from siglino_core.config.distill import STUDENTS
from siglino_core.distillation.training.student import student_config
from siglino_core.models import PRESETS, SigLino, moe
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.models.size import forward_flops, training_flops
from siglino_core.networks import outline
from tests.networks import counted, image_flops
from tests.pipelines.own_teachers import own, spec_of

ENCODERS = {
    "dinov3:facebook/dinov3-vits16-pretrain-lvd1689m": 224,
    "dinov3:facebook/dinov3-vitb16-pretrain-lvd1689m": 224,
    "dinov3:facebook/dinov3-vit7b16-pretrain-lvd1689m": 224,
    "siglip2:google/siglip2-so400m-patch16-naflex": 256,
    "timm:convnext_tiny": 224,
    "timm:vit_small_patch16_dinov3": 256,
    "open_clip:ViT-B-32": 224,
    "open_clip:ViT-B-16-SigLIP2-256": 256,
    "efficientnet_lite0": 224,
}
TEACHERS = {  # and the size at which each sees an image of 256 x 256 pixels
    "siglip2:google/siglip2-base-patch16-naflex": 256,
    "siglip2:google/siglip2-so400m-patch16-naflex": 256,
    **{
        f"dinov3:facebook/dinov3-vit{size}-pretrain-lvd1689m": 256
        for size in ("s16", "s16plus", "b16", "l16", "h16plus", "7b16")
    },
    "lite": 256,
    "lite_text": 256,
    "timm:vit_small_patch16_dinov3": 256,
    "timm:resnet10t": 176,
    "open_clip:ViT-B-16": 224,
}
OWN = """
from siglino_core.encoders import Card

class Own:
    def __init__(self, side):
        self.card = Card(name="own", dim=8, identity="x", patch_size=side)
    def __call__(self, patches, shapes):
        assert False, "a price needs no answer"

def of_8(device, dtype):
    return Own(8)

def of_16(device, dtype):
    return Own(16)
"""
ROWS = 1_000_000
CPU = RuntimeConfig(device="cpu")
POOL = {"source": Estimate(stage="source", shards=1, rows=ROWS, bytes=0, device=price.CPU_CORE, device_hours=0)}
SAMPLE = SampleConfig(target_size=ROWS)
RATES = {"embed": price.EMBED, "targets": price.TARGETS, "train": price.TRAIN}


def flops(estimate: Estimate) -> float:
    """The FLOPs that an estimate's hours stand for."""
    rate = RATES[estimate.stage]
    return estimate.device_hours * 3600 * {price.A100: rate.a100, price.CPU_CORE: rate.cpu_core}[estimate.device]


@pytest.mark.parametrize(("spec", "side"), ENCODERS.items())
def test_embed(spec: str, side: int) -> None:
    found = embed.plan(Config(embed=EmbedConfig(encoder=spec), runtime=CPU), POOL)
    assert flops(found) / ROWS == pytest.approx(image_flops(spec, side, side), rel=0.1)
    assert found.bytes == ROWS * (2 * outline(spec).dim + 36)


def test_embed_at_another_size() -> None:
    spec = "dinov3:facebook/dinov3-vitb16-pretrain-lvd1689m"
    found = embed.plan(Config(embed=EmbedConfig(encoder=spec, image_size=448), runtime=CPU), POOL)
    assert flops(found) / ROWS == pytest.approx(image_flops(spec, 448, 448), rel=0.1)


@pytest.mark.parametrize(("spec", "side"), TEACHERS.items())
def test_targets(spec: str, side: int) -> None:
    config = Config(
        sample=SAMPLE, targets=TargetsConfig(teachers=[spec], keep=Stored.SUMMARY, statistics_images=2), runtime=CPU
    )
    found = targets.plan(config, POOL)
    assert flops(found) / ROWS == pytest.approx(image_flops(spec, side, side), rel=0.1)


@pytest.mark.parametrize(
    ("student", "keep"), [*((student, Stored.SUMMARY) for student in STUDENTS), (STUDENTS[0], Stored.ONLINE)]
)
def test_train(student: str, keep: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moe, "path", lambda *_: products_of_experts)
    monkeypatch.setattr(moe.Router, "forward", scores)  # the meta device knows no autocast
    train_alone = TrainConfig(student=student, loss=LossConfig(relation=Relation.NONE))
    config = Config(sample=SAMPLE, train=train_alone, targets=TargetsConfig(keep=keep), runtime=CPU)
    shape = student_config(config.train, [outline(spec) for spec in config.targets.teachers])
    with torch.device("meta"):
        model = SigLino(shape, backend="mask")
    wanted = counted(lambda: step(model))
    if keep is Stored.ONLINE:
        wanted += sum(image_flops(spec, 256, 256) for spec in config.targets.teachers)
    pack = config.train.pack
    tokens = pack.packs_per_step * pack.capacity * config.train.optim.steps
    assert flops(train.plan(config, POOL)) / tokens == pytest.approx(wanted / (256 + shape.prefix), rel=0.1)


@pytest.mark.parametrize(
    ("ranks", "at_once", "related", "again"),
    [(0, 1, 0, 31 / 32), (4, 1, 0, 7 / 8), (4, 2, 0, 3 / 4), (4, 1, 8, 1 / 2), (4, 1, 4, 0), (4, 8, 0, 0)],
)
def test_relations_of_several_passes_cost_forward_passes(ranks: int, at_once: int, related: int, again: float) -> None:
    def priced(loss: LossConfig) -> Estimate:
        changed = TrainConfig(ranks=ranks, packs_at_once=at_once, loss=loss)
        return train.plan(Config(sample=SAMPLE, train=changed, runtime=CPU), POOL)

    found, alone = priced(LossConfig(relation_packs=related)), priced(LossConfig(relation=Relation.NONE))
    config = Config()
    shape = student_config(config.train, [outline(spec) for spec in config.targets.teachers])
    forward = forward_flops(shape, 256 + shape.prefix) / (256 + shape.prefix)
    trained = config.train.pack.packs_per_step * config.train.pack.capacity * config.train.optim.steps
    assert (flops(found) - flops(alone)) / trained == pytest.approx(again * forward, rel=1e-6, abs=1e-3)
    assert (f"relations compute {again:.0%} of the forward passes twice" in found.note) == (again > 0)
    assert "relations" not in alone.note


def test_training_at_several_sizes_costs_what_each_costs() -> None:
    parts = [PartConfig(name="small", max_pixels=256**2, ratio=3), PartConfig(name="large", max_pixels=768**2, ratio=1)]
    loss = LossConfig(relation=Relation.NONE)
    config = Config(sample=SAMPLE, train=TrainConfig(parts=parts, loss=loss), targets=TargetsConfig(keep=Stored.ONLINE))
    shape = student_config(config.train, [outline(spec) for spec in config.targets.teachers])
    image, tokens = [], []
    for side in (256, 768):
        n = (side // 16) ** 2 + shape.prefix
        teachers = sum(outline(spec).image_flops(side**2) for spec in config.targets.teachers)
        image.append(training_flops(shape, n) + teachers)
        tokens.append(n)
    wanted = (3 * image[0] + image[1]) / (3 * tokens[0] + tokens[1])
    pack = config.train.pack
    trained = pack.packs_per_step * pack.capacity * config.train.optim.steps
    found = train.plan(config, POOL)
    assert flops(found) / trained == pytest.approx(wanted, rel=1e-6)
    assert found.rows == pytest.approx(trained * 4 / (3 * tokens[0] + tokens[1]), abs=1)


def test_a_students_patches_count(tmp_path: Path) -> None:
    """Of half the side, an image has four times as many."""
    (tmp_path / "own_patches.py").write_text(OWN, encoding="utf-8")
    rows: dict[int, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        for side in (8, 16):
            shape = dataclasses.replace(PRESETS["siglino-nano"], patch_size=side)
            path = tmp_path / f"{side}.json"
            path.write_text(json.dumps(SigLinoHFConfig.of(shape).to_dict()), encoding="utf-8")
            config = Config(
                sample=SAMPLE,
                train=TrainConfig(student=str(path)),
                targets=TargetsConfig(teachers=[f"own_patches:of_{side}"], keep=Stored.SUMMARY),
            )
            rows[side] = train.plan(config, POOL).rows
    prefix = shape.prefix
    assert rows[16] / rows[8] == pytest.approx((1024 + prefix) / (256 + prefix), rel=1e-3)


@pytest.mark.parametrize("student", PRESETS)
def test_export(student: str) -> None:
    """It has no products: its price is that of the weights, those of the teachers' heads among them."""
    config = Config(
        sample=SAMPLE, train=TrainConfig(student=student), targets=TargetsConfig(teachers=["lite", "lite_text"])
    )
    shape = student_config(config.train, [outline(spec) for spec in config.targets.teachers])
    with torch.device("meta"):
        weights = sum(p.numel() for p in SigLino(shape).parameters())
    found = export.plan(config, POOL)
    assert found.bytes == pytest.approx(4 * weights, rel=0.1, abs=price.MODEL_CODE)
    assert found.device_hours == pytest.approx(4 * weights * price.EXPORTED_BYTE / 3600, rel=0.1)


def test_three_encoders_have_three_prices() -> None:
    specs = [spec for spec in ENCODERS if spec.startswith("dinov3")]
    hours = [embed.plan(Config(embed=EmbedConfig(encoder=s), runtime=CPU), POOL).device_hours for s in specs]
    assert 3 * hours[0] < hours[1] < hours[2] / 30


def test_every_constant_of_a_price_is_in_one_place() -> None:
    for stage in ("embed", "targets.price", "train.price", "export", "cluster", "sample", "source", "report"):
        module: Any = __import__(f"pipelines.{stage}", fromlist=["plan"])
        names = set(module.plan.__code__.co_names)
        assert "price" in names, f"pipelines.{stage}.plan"


def test_on_a_gpu_where_there_is_one() -> None:
    assert price.on_gpu(price.LARGE_IMAGE * 2, CPU, "auto")
    assert not price.on_gpu(price.LARGE_IMAGE / 2, CPU, "auto")
    assert price.device_hours(3600e12, dataclasses.replace(price.EMBED, a100=1e12), gpu=True) == ("A100", 1.0)


def step(model: SigLino) -> None:
    """Forward and backward of one image of 16 x 16 patches."""
    layout = model.layout([(16, 16)])
    out = model(torch.zeros(256, model.spec.patch_values, device="meta"), layout)
    torch.stack([x.sum() for kind in (out.patches, out.summaries) for x in kind.values()]).sum().backward()


def scores(router: moe.Router, x_TD: Tensor) -> Tensor:
    return torch.nn.functional.linear(x_TD, router.gate.weight).sigmoid()


def products_of_experts(
    x_TD: Tensor, w1_EFD: Tensor, w2_EDF: Tensor, w3_EFD: Tensor, gates_Tk: Tensor, *_: Tensor
) -> Tensor:
    """The products of all (token, expert) pairs, in one expert: how many are whose is no matter of their number."""
    x_ND = x_TD.repeat_interleave(gates_Tk.shape[1], 0)
    out_ND = (torch.nn.functional.silu(x_ND @ w1_EFD[0].T) * (x_ND @ w3_EFD[0].T)) @ w2_EDF[0].T
    return (out_ND.unflatten(0, gates_Tk.shape) * gates_Tk[..., None]).sum(1)


def test_ones_own_without_flops_is_said() -> None:
    config = Config(sample=SAMPLE, targets=TargetsConfig(teachers=[spec_of(own), "lite"]), runtime=CPU)
    assert "an image; without own, whose card says no `flops`; targets.keep" in targets.plan(config, POOL).note
    known = Config(sample=SAMPLE, targets=TargetsConfig(teachers=["lite"]), runtime=CPU)
    assert "without" not in targets.plan(known, POOL).note
