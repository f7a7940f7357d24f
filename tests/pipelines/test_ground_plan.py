"""What a fine-tuning costs: by plain formulas, from the settings and a student's shape alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import ground
from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.errors import ConfigError
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import GroundingModel, headless
from siglino_core.models.size import forward_flops, training_flops
from tests.pipelines import grounding
from tests.pipelines.grounding import STEPS, STUDENT

SMALL = {"bins": 32, "coordinate_hidden": 32, "fourier": 16, "mask_width": 8}


def planned(student: str, upstream: dict[str, Estimate] | None = None, **changes: Any) -> Estimate:
    return ground.plan(grounding.config("runs/x", student, **changes), upstream or {})


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its config alone: a price reads no weights."""
    folder = Path(grounding.student(tmp_path_factory.mktemp("made") / "student"))
    (folder / "model.safetensors").unlink()
    return str(folder)


def test_its_numbers_are_plain_formulas(student: str) -> None:
    found = planned(student)
    tokens = 16 + 1 + 4  # patches of 64 x 64 pixels, CLS, registers
    images = STEPS * 2 * (64 // tokens)
    texts = 3 * (6 + 5)
    width, inner, hidden = 32, 2 * 16, 2 * 32 // 2  # text experts: two of twice the width over two
    a_token = 2 * (4 * width * inner + 3 * width * hidden * 2 + 2 * inner * (tokens + texts / 2))
    flops = training_flops(headless(STUDENT), tokens) + 3 * STUDENT.layers * texts * a_token
    assert (found.stage, found.shards, found.rows, found.device) == ("ground", 1, images, price.CPU_CORE)
    assert found.device_hours == pytest.approx(images * flops / price.TRAIN.cpu_core / 3600, rel=1e-6)
    model = GroundingModel(GroundingConfig(student=headless(STUDENT), **SMALL))
    parameters = sum(p.numel() for p in model.parameters())
    assert found.bytes == 4 * parameters * (1 + 3 * 3)  # the model; three checkpoints of weights and two moments
    assert (
        f"{STEPS} steps of 128 tokens of images, {images} images of up to 4,096 pixels with 3 expressions each; "
        in (found.note)
    )
    assert "epochs" not in found.note


def test_what_stands_before_tells_the_epochs_and_test_images_are_none(student: str) -> None:
    before = Estimate(
        stage="expressions", shards=1, rows=28, bytes=0, device=price.CPU_CORE, device_hours=0.0, train=24
    )
    assert "36 images of up to 4,096 pixels with 3 expressions each, 1.5 epochs; " in (
        planned(student, {"expressions": before}).note
    )


def test_what_costs_more_is_priced_higher(student: str) -> None:
    plain = planned(student)
    anchored = planned(student, ground__loss__gram=0.1)
    a_pass = forward_flops(headless(STUDENT), 21)
    more = (anchored.device_hours - plain.device_hours) * 3600 * price.TRAIN.cpu_core
    assert more == pytest.approx(plain.rows * a_pass, rel=1e-6)
    assert planned(student, ground__optim__steps=2 * STEPS).device_hours == pytest.approx(2 * plain.device_hours)
    assert planned(student, ground__expressions=6).device_hours > plain.device_hours
    assert planned(student, ground__keep_last=5).bytes == plain.bytes * (1 + 3 * 6) / (1 + 3 * 3)


def test_without_a_student_of_ones_own_by_the_shape_that_is_distilled(tmp_path: Path) -> None:
    shape = {"train__student": "siglino-nano", "targets__teachers": ["efficientnet_lite0"]}
    assert planned("", **shape).rows == STEPS * 2 * (64 // 21)
    with pytest.raises(ConfigError, match="none: there is nothing there"):
        planned(str(tmp_path / "none"))
    other = grounding.student(tmp_path / "student", replace(STUDENT, patch_size=8))
    assert planned(other, ground__pack__capacity=256).rows == STEPS * 2 * (256 // 69)
