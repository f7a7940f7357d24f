"""Networks at several sizes: which there are, what they are called, and that all else stays."""

import pytest

from pipelines.evaluate import plan
from pipelines.evaluate.subjects import subjects_of
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, EvaluateConfig, ModelConfig, TargetsConfig, TrainConfig
from siglino_core.errors import ConfigError
from tests.siglino_core.evaluation.network import folders

BOUNDS = {"min_pixels": 32**2, "max_pixels": 64**2}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sizes")
    student = folders.siglino(folder / "student")
    own = student.replace("siglino:", "siglino_untrained:")
    return {"student": student, "untrained": own, "dinov3": folders.dinov3(folder / "dinov3")}


def subjects(specs: dict[str, str], resolutions: list[int], **more: object) -> dict[str, dict]:
    models = [ModelConfig(name=name, network=spec, **more) for name, spec in specs.items()]  # type: ignore[arg-type]
    found = subjects_of(EvaluateConfig(models=models, resolutions=resolutions, **BOUNDS))
    assert all(s.name == s.model.name for s in found)
    return {s.name: {**s.described.pixels.describe(), "identity": s.described.identity} for s in found}


def test_each_network_on_the_grid_is_there_at_each_size_with_the_same_weights(specs: dict[str, str]) -> None:
    found = subjects(specs, [48, 96])
    names = ["student", "untrained", "dinov3", "student@48", "student@96", "dinov3@48", "dinov3@96"]
    assert list(found) == names, "what was never trained has no curve"
    for name in ("student", "dinov3"):
        assert found[f"{name}@96"] == {**found[name], "min_pixels": 96**2, "max_pixels": 96**2}
    assert subjects(specs, []).keys() == specs.keys()


def test_a_size_that_a_network_has_already_is_not_there_twice(specs: dict[str, str]) -> None:
    found = subjects({"student": specs["student"]}, [48, 64], min_pixels=48**2, max_pixels=48**2)
    assert list(found) == ["student", "student@64"]


def test_squares_of_the_networks_own_stay_as_they_are(specs: dict[str, str]) -> None:
    assert list(subjects({"dinov3": specs["dinov3"]}, [48], fit="squash")) == ["dinov3"]


def test_a_side_under_a_patch_is_refused(specs: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.resolutions: 8 is under one patch of student, 16 pixels"):
        subjects({"student": specs["student"]}, [8])


def test_a_size_costs_a_pass_of_student_and_teachers_and_their_features() -> None:
    source = {"source": Estimate(stage="source", shards=1, rows=1000, bytes=0, device="cpu", device_hours=0)}

    def planned(sides: list[int], max_pixels: int = 0) -> Estimate:
        config = Config(
            targets=TargetsConfig(teachers=["lite", "lite_text"], max_pixels=64**2, min_pixels=32**2),
            train=TrainConfig(student="siglino-nano"),
            evaluate=EvaluateConfig(resolutions=sides, max_pixels=max_pixels),
        )
        return plan(config, source)

    none, one, two = planned([]), planned([96]), planned([64, 96])
    assert two.device_hours > one.device_hours > none.device_hours > 0
    # a size is as dear as the network's own: the student twice, untrained and trained, and its teachers once
    assert two.device_hours - one.device_hours == pytest.approx(planned([64]).device_hours - none.device_hours)
    assert two.bytes - one.bytes == one.bytes - none.bytes > 0
