"""Gram anchoring's frozen student: its patches, without a gradient, and what does not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from siglino_core.config import Config, LossConfig, build
from siglino_core.distillation.training.anchor import Anchor, load_anchor
from siglino_core.errors import ConfigError
from siglino_core.models import SigLinoConfig
from tests.siglino_core.models.tiny import TINY, exported, patches, student

SHAPES = [(2, 3), (4, 2)]


def loaded(source: str, shape: SigLinoConfig = TINY) -> Anchor:
    return load_anchor(source, shape, device="cpu", dtype=torch.float32)


def test_its_patches_are_those_of_the_student_that_was_saved(tmp_path: Path) -> None:
    model, x_NV = student(seed=4), torch.cat(patches(TINY, SHAPES))
    anchor = loaded(exported(tmp_path / "there", model))
    with torch.no_grad():
        wanted_ND = model(x_NV, model.layout(SHAPES)).patches["siglino"]
    for total in (None, 64):
        found_ND = anchor(x_NV, SHAPES, total)
        torch.testing.assert_close(found_ND, wanted_ND)
        assert not found_ND.requires_grad
    assert not anchor.model.training
    assert not any(p.requires_grad for p in anchor.model.parameters())


def test_it_may_be_of_another_width_but_not_of_other_patches(tmp_path: Path) -> None:
    source = exported(tmp_path / "there", student())
    assert loaded(source, replace(TINY, width=64, layers=3)).model.spec == TINY
    says = r"^train\.loss\.gram_checkpoint=.*there has patches of 16 pixels and 3 channels, train\.student of 14 and 3"
    with pytest.raises(ConfigError, match=says):
        loaded(source, replace(TINY, patch_size=14))


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none: there is nothing there"):
        loaded(str(tmp_path / "none"))


def test_a_weight_needs_a_checkpoint() -> None:
    assert LossConfig().gram == 0
    with pytest.raises(ConfigError, match=r"^the config does not hold:\n  train\.loss\.gram: 2 needs gram_checkpoint"):
        build(Config, {"train": {"loss": {"gram": 2.0}}})
