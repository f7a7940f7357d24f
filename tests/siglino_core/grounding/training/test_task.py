"""The task that the loop trains: the same curve after a stop, the same step in several passes, what is frozen stays."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from siglino_core.config import GroundLossConfig, PackConfig
from siglino_core.distillation.training.anchor import Anchor
from siglino_core.distillation.training.loop import Ranks
from siglino_core.distillation.training.metrics import read
from siglino_core.errors import DataError
from siglino_core.grounding.model import OF_TEXT, GroundingModel
from siglino_core.grounding.training.objective import Objective
from siglino_core.grounding.training.task import Grounding
from siglino_core.models import SigLino
from siglino_core.store import Files
from tests.siglino_core.grounding.training.taught import CONFIG, CPU, PATCH, SHAPE, SIDE, pairs, setting, taught

IMAGES = pairs(4)
TIMES = {"tokens_per_second", "step_seconds", "data_wait"}
ONE = (SIDE // PATCH) ** 2 + SHAPE.prefix  # tokens of an image


def curve(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read(Files(str(folder)))]


def drawn(seed: int = 3) -> GroundingModel:
    """A model in which every part says something."""
    torch.manual_seed(seed)
    model = GroundingModel(CONFIG)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn(p.shape)
    return model


def gradients(task: Grounding) -> dict[str, torch.Tensor]:
    task.begin(0, 1)
    task.gradients(0)
    return {n: p.grad.clone() for n, p in task.model.named_parameters() if p.grad is not None}


def test_stopped_and_gone_on_is_the_same_curve(tmp_path: Path) -> None:
    pack = PackConfig(packs_per_step=1, capacity=3 * ONE, look_ahead=8)
    made = setting(IMAGES, pack=pack)
    whole = taught(tmp_path / "whole", made, steps=6, checkpoint_steps=2)
    taught(tmp_path / "parts", made, steps=6, checkpoint_steps=2, stop=3)
    gone_on = taught(tmp_path / "parts", made, steps=6, checkpoint_steps=2)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert len({line["loss"] for line in curve(tmp_path / "whole")}) == 6
    for a, b in zip(whole.state_dict().values(), gone_on.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_step_in_several_passes_is_one_in_one() -> None:
    weights = Objective(weights=GroundLossConfig(box=1.0, gram=0.5, spread=1.0))
    anchor = SigLino(SHAPE)
    made = setting(IMAGES, model=drawn, objective=weights, anchor=lambda: Anchor(anchor))
    one = Grounding(made, CPU, Ranks(), None)
    four = Grounding(replace(made, pack=PackConfig(packs_per_step=4, capacity=ONE, look_ahead=8)), CPU, Ranks(), None)
    wanted, found = gradients(one), gradients(four)
    assert wanted.keys() == found.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-3)


def test_what_the_student_gave_may_be_frozen_or_gentle(tmp_path: Path) -> None:
    made = setting(IMAGES, model=drawn, image_lr=0.0)
    before = drawn(3).state_dict()
    torch.manual_seed(0)
    frozen = taught(tmp_path / "frozen", made, steps=2).state_dict()
    moved = {k for k, v in frozen.items() if not torch.equal(v, before[k])}
    assert moved
    assert all(not k.startswith("student.") or OF_TEXT.search(k) for k in moved)
    words = taught(tmp_path / "words", setting(IMAGES, model=drawn, word_lr=0.0), steps=2).state_dict()
    assert {k for k, v in words.items() if torch.equal(v, before[k])} >= {"embedding.weight"}
    assert not torch.equal(words["answer.weight"], before["answer.weight"])
    still = Grounding(setting(IMAGES, word_lr=0.0), CPU, Ranks(), None).model
    assert [n for n, p in still.named_parameters() if not p.requires_grad] == ["embedding.weight"]  # costs no gradient
    task = Grounding(setting(IMAGES, image_lr=0.1), CPU, Ranks(), None)
    assert {task.lr_share(n) for n in ("student.layers.0.attention.wq.weight", "student.cls_token")} == {0.1}
    assert {
        task.lr_share(n)
        for n in ("student.layers.0.text.experts.w1", "student.layers.0.text_place.weight", "embedding.weight")
    } == {1.0}


def test_a_pass_without_instances(tmp_path: Path) -> None:
    nothing = [
        replace(i, expressions=tuple(replace(e, boxes_K4=e.boxes_K4[:0], masks=()) for e in i.expressions))
        for i in IMAGES
    ]
    model = taught(tmp_path / "run", setting(nothing), steps=8)
    assert curve(tmp_path / "run")[-1]["coordinate"] == 0
    assert model.predict(nothing[0].data, ["the red circle"]) == [[]]


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    broken = [*IMAGES[:3], replace(IMAGES[3], data=b"no image")]
    with pytest.raises(DataError, match=IMAGES[3].image_id):
        taught(tmp_path / "run", setting(broken), steps=2)
