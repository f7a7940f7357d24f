"""Every trainable parameter of the student is in the group that its kind belongs to."""

import pytest
import torch

from siglino_core.distillation.optim import Group, group_of, parameter_groups
from tests.siglino_core.distillation.optim.stand_in import Student


def named(model: torch.nn.Module) -> dict[Group, list[str]]:
    names = {id(p): n for n, p in model.named_parameters()}
    return {group: [names[id(p)] for p in parameters] for group, parameters in parameter_groups(model).items()}


def test_the_whole_list() -> None:
    attention = [f"attention.{w}.weight" for w in ("wq", "wk", "wv", "wo")]
    assert named(Student()) == {
        Group.HIDDEN: [
            *(f"layers.0.{name}" for name in attention),
            *(f"layers.0.moe.experts.{w}" for w in ("w1", "w3", "w2")),
            *(f"layers.1.{name}" for name in attention),
            *(f"layers.1.feed_forward.{w}.weight" for w in ("w1", "w3", "w2")),
            "dinov3_adapter.fc1.weight",
            "dinov3_adapter.fc2.weight",
        ],
        Group.MATRICES: ["img_projector.weight", "layers.0.moe.router.gate.weight"],
        Group.VECTORS: [
            "cls_token",
            "storage_tokens",
            *(
                f"layers.{i}.{n}"
                for i in (0, 1)
                for n in ("attention.sinks", "attention_norm.weight", "ffn_norm.weight")
            ),
            "norm.weight",
            "dinov3_adapter.fc1.bias",
            "dinov3_adapter.norm.weight",
            "dinov3_adapter.norm.bias",
        ],
    }


def test_every_trainable_parameter_once_and_no_frozen_one() -> None:
    model = Student()
    model.layers["0"].requires_grad_(False)
    grouped = [id(p) for parameters in parameter_groups(model).values() for p in parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert len(set(grouped)) == len(grouped)


def test_a_tied_parameter_once() -> None:
    model = Student()
    query, key = (model.get_submodule(f"layers.1.attention.{w}") for w in ("wq", "wk"))
    key.weight = query.weight
    assert "layers.1.attention.wk.weight" not in named(model)[Group.HIDDEN]


@pytest.mark.parametrize(
    ("name", "ndim", "group"),
    [
        ("student.layers.3.moe.experts.w2", 3, Group.HIDDEN),
        ("layers.3._orig_mod.attention.wq.weight", 2, Group.HIDDEN),
        ("layers.3._orig_mod.moe.router.gate.weight", 2, Group.MATRICES),
        ("siglip2_adapter.fc2.weight", 2, Group.HIDDEN),
        ("siglip2_adapter.norm.weight", 1, Group.VECTORS),
        ("siglip2_adapter.wq.weight", 2, Group.HIDDEN),
        ("siglip2_ladder.0.fc1.weight", 2, Group.HIDDEN),
        ("siglip2_ladder.0.fc1.bias", 1, Group.VECTORS),
        ("siglip2_multihead_attention_pooling_head.probe", 3, Group.VECTORS),
        ("siglip2_multihead_attention_pooling_head.attention.in_proj_weight", 2, Group.MATRICES),
    ],
)
def test_one_name(name: str, ndim: int, group: Group) -> None:
    assert group_of(name, ndim) is group
