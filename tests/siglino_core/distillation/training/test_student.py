"""The student that a config names: its shape, its frozen heads, and weights to begin from."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siglino_core.config import HeadForm, HeadsConfig, TrainConfig
from siglino_core.distillation.training.student import new_student, student_config
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError
from siglino_core.models import PRESETS, HeadConfig, SigLinoConfig
from siglino_core.models.config import FORMS
from siglino_core.models.hf_config import SigLinoHFConfig
from tests.siglino_core.models.tiny import TINY, exported, student

CARDS = [
    Card(name="siglip2", dim=32, identity="a", pooled=True),
    Card(name="dinov3", dim=24, identity="b", registers=4),
]
POOL = "siglip2_multihead_attention_pooling_head"


def heads(seed: int = 3) -> dict[str, dict[str, Tensor]]:
    return {"siglip2": student(seed=seed).get_submodule(POOL).state_dict()}


def written(folder: Path, shape: SigLinoConfig = TINY) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(SigLinoHFConfig.of(shape).to_dict()))
    return str(path)


def test_a_named_shape_with_the_teachers_heads() -> None:
    found = student_config(TrainConfig(student="siglino-nano"), CARDS)
    assert replace(found, teachers=()) == replace(PRESETS["siglino-nano"], teachers=())
    assert found.teachers == (HeadConfig(name="siglip2", dim=32, pooled=True), HeadConfig(name="dinov3", dim=24))


def test_a_shape_of_ones_own(tmp_path: Path) -> None:
    assert student_config(TrainConfig(student=written(tmp_path)), CARDS) == TINY


def test_did_you_mean() -> None:
    with pytest.raises(ConfigError, match=r"^train.student=siglino-nanno: not one of .*did you mean.*siglino-nano"):
        student_config(TrainConfig(student="siglino-nanno"), CARDS)


@pytest.mark.parametrize("text", ["{", "[]", '{"use_qk_norm": false}', '{"n_heads": 0}', '{"teachers_dim": 3}'])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"own\.json cannot be read as a student's config\.json"):
        student_config(TrainConfig(student=str(path)), CARDS)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"patch_size": 14}, r"teacher dinov3 has patches of 14 pixels, train.student=siglino-nano of 16"),
        ({"registers": 2}, r"teacher dinov3 has 2 registers, train.student=siglino-nano has 4: equal ones"),
        (
            {"pooled": True},
            r"targets.teachers and train.student=siglino-nano: .*dinov3 of width 24: a pooled",
        ),
    ],
)
def test_teachers_that_do_not_fit(card: dict[str, object], says: str) -> None:
    cards = [CARDS[0], replace(CARDS[1], **card)]  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=says):
        student_config(TrainConfig(student="siglino-nano"), cards)


def test_a_new_student_follows_from_the_seed() -> None:
    one, again, two = (new_student(TINY, seed=seed, heads=heads()).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["layers.0.attention.wq.weight"], two["layers.0.attention.wq.weight"])


def test_pooling_heads_are_copies_and_frozen() -> None:
    model = new_student(TINY, seed=0, heads=heads())
    pool = model.get_submodule(POOL)
    assert all(torch.equal(v, heads()["siglip2"][k]) for k, v in pool.state_dict().items())
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if n.startswith((POOL, "layer_norm_dinov3"))}


def test_a_pooling_head_of_another_form() -> None:
    other = {"siglip2": {**heads()["siglip2"], "mlp.fc1.bias": torch.zeros(64)}}
    with pytest.raises(ConfigError, match=r"^teacher siglip2: .* not of SigLIP2's form \(size mismatch.*\[64\]") as e:
        new_student(TINY, seed=0, heads=other)
    assert "\n" not in str(e.value)


def test_weights_to_begin_from(tmp_path: Path) -> None:
    source = student(seed=5)
    model = new_student(TINY, seed=0, heads=heads(3), checkpoint=exported(tmp_path / "there", source))
    found, wanted = model.state_dict(), source.state_dict()
    own = [k for k in wanted if not k.startswith(POOL)]
    assert all(torch.equal(found[k], wanted[k]) for k in own)
    assert torch.equal(found[f"{POOL}.probe"], heads(3)["siglip2"]["probe"])


def test_heads_of_other_teachers_begin_anew(tmp_path: Path) -> None:
    shape = replace(TINY, teachers=(HeadConfig(name="dinov3", dim=24), HeadConfig(name="own", dim=8)))
    source = student(seed=5)
    model = new_student(shape, seed=0, heads={}, checkpoint=exported(tmp_path / "there", source))
    found, fresh = model.state_dict(), new_student(shape, seed=0, heads={}).state_dict()
    assert not [k for k in found if k.startswith("siglip2")]
    assert all(torch.equal(found[k], fresh[k]) for k in found if k.startswith("own_"))
    assert torch.equal(found["dinov3_adapter.fc2.weight"], source.state_dict()["dinov3_adapter.fc2.weight"])


@pytest.mark.parametrize("source", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_heads_of_another_form_begin_anew(tmp_path: Path, source: str, form: str) -> None:
    shapes = [replace(TINY, teachers=tuple(replace(t, form=f) for t in TINY.teachers)) for f in (source, form)]
    there = student(shapes[0], seed=5)
    model = new_student(shapes[1], seed=0, heads=heads(3), checkpoint=exported(tmp_path / "there", there))
    found, fresh = model.state_dict(), new_student(shapes[1], seed=0, heads=heads(3)).state_dict()
    wanted = there.state_dict() if source == form else fresh
    assert all(torch.equal(found[k], wanted[k]) for k in found if "_adapter" in k)
    assert torch.equal(found["layers.0.attention.wq.weight"], there.state_dict()["layers.0.attention.wq.weight"])


def test_heads_as_the_settings_ask() -> None:
    config = TrainConfig(student="siglino-nano", heads=HeadsConfig(form=HeadForm.TRANSFORMER, layers=[0, 2]))
    found = student_config(config, CARDS).teachers
    assert [(t.name, t.form, t.layers) for t in found] == [(c.name, "transformer", (0, 2)) for c in CARDS]
    deep = TrainConfig(student="siglino-nano", heads=HeadsConfig(layers=[3]))
    says = r"^targets\.teachers, train\.heads\.layers and train\.student=.*: layers=\[3\]: each once, from 0 to 2"
    with pytest.raises(ConfigError, match=says):
        student_config(deep, CARDS)


@pytest.mark.parametrize("change", [{"width": 48}, {"layers": 3}, {"experts": 6}])
def test_a_checkpoint_of_another_shape(tmp_path: Path, change: dict[str, int]) -> None:
    folder = exported(tmp_path / "there", student())
    with pytest.raises(ConfigError, match=r"there is of another student than train.student: \S+ and \d+ more differ"):
        new_student(replace(TINY, **change), seed=0, heads={}, checkpoint=folder)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing there"):
        new_student(TINY, seed=0, heads={}, checkpoint=str(tmp_path / "none"))
