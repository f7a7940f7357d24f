"""A student's weights into the model, key by key."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from siglino_core.errors import ConfigError
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import OF_TEXT, GroundingModel
from siglino_core.grounding.transfer import grounding_model, transfer
from siglino_core.models import PRESETS, SigLinoConfig
from tests.siglino_core.models.tiny import DENSE, TINY, exported, student


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_every_key_is_somewhere(config: SigLinoConfig) -> None:
    of = student(config)
    model = GroundingModel(GroundingConfig(student=config))
    report = transfer(model, of.state_dict(), config)
    assert report.unused == ()
    assert sorted(report.copied + report.heads) == sorted(of.state_dict())
    assert all(k.startswith(("siglip2_", "dinov3_", "layer_norm_dinov3")) for k in report.heads)
    own = model.state_dict()
    assert sorted([f"student.{k}" for k in report.copied] + list(report.new)) == sorted(own)
    assert all(torch.equal(own[f"student.{k}"], of.state_dict()[k]) for k in report.copied)
    of_student = [k for k in report.new if k.startswith("student.")]
    assert len(of_student) > 0
    assert all(OF_TEXT.search(k) for k in of_student)


@pytest.mark.parametrize("name", [n for n in PRESETS if n != "siglino-0.6b"])
def test_published_shapes_have_a_place_for_every_key(name: str) -> None:
    with torch.device("meta"):
        from siglino_core.models import SigLino

        of, model = SigLino(PRESETS[name]), GroundingModel(GroundingConfig(student=PRESETS[name]))
    body = {k for k in of.state_dict() if not k.startswith(("siglip2_", "dinov3_", "layer_norm_dinov3"))}
    own = model.student.state_dict()
    assert body <= own.keys()
    assert {k for k in own if not OF_TEXT.search(k)} == body


def test_from_a_folder(tmp_path: Path) -> None:
    of = student(TINY)
    model, report = grounding_model(exported(tmp_path / "student", of), text_experts=2, text_top_k=1)
    assert (model.config.text_experts, report.unused) == (2, ())
    assert torch.equal(model.student.cls_token, of.cls_token)


def test_other_students_are_refused() -> None:
    model = GroundingModel(GroundingConfig(student=TINY))
    state = student(TINY).state_dict()
    for config, said in (
        (DENSE, "no place"),
        (replace(TINY, layers=3), "no place"),
        (replace(TINY, width=40), "another shape"),
    ):
        with pytest.raises(ConfigError, match=said):
            transfer(model, student(config).state_dict(), config)
    del state["cls_token"]
    with pytest.raises(ConfigError, match="cls_token is missing"):
        transfer(model, state, TINY)
