"""`siglino plan`: the distillation below the curation, what each targets.keep stores, and what cannot be priced."""

import sys
from pathlib import Path

import pytest

from flows.cli import main
from flows.config import compose_config
from flows.plan import price
from pipelines.support.runtime import Estimate
from siglino_core.errors import ConfigError
from tests.flows.conftest import stand_in


@pytest.fixture(autouse=True)
def _stages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("targets", "train"):
        monkeypatch.setitem(sys.modules, f"pipelines.{name}", stand_in(name))


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def test_text_of_the_config_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("experiment=openlvd", "targets.teachers=[lite,lite_text]", 'run="/r[bold]:lock:"')
    out = planned(capsys, *words)
    assert "Run /r[bold]:lock:: " in out
    assert """siglino distill experiment=openlvd 'targets.teachers=[lite,lite_text]' 'run="/r[bold]:lock:"'""" in out


def test_the_distillation_is_priced_below_the_curation(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned(capsys, "experiment=openlvd")
    curation, _, distilled = out.partition("Distillation of its 200,000,000 images: siglino distill")
    assert "Curation: siglino curate" in curation
    stages = [line.split()[0] for line in curation.splitlines() if line.startswith("  ") and line.split()[1:2]]
    assert stages[1:6] == ["source", "embed", "cluster", "sample", "report"]
    for name in ("targets", "train"):
        assert [name, "1", "200,000,000", "1.4", "GB", "800", "A100"] in [s.split() for s in distilled.splitlines()]
        assert f"{name}: {name}'s note" in distilled
    assert "1,600 A100-hours (200 node-hours of 8)" in distilled
    steps = [f"siglino {command} experiment=openlvd" for command in ("curate", "distill", "evaluate")]
    assert out.splitlines()[-3:] == [f"Next: {steps[0]}", f"then: {steps[1]}", f"then: {steps[2]}"]


def test_what_each_choice_of_targets_stores(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned(capsys, "experiment=openlvd")
    table = [line.split() for line in out.partition("What targets.keep stores")[2].splitlines()]
    assert ["online", "0", "B", "0", "B", "chosen"] in table
    assert ["summary", "880", "GB", "4.4", "kB"] in table
    assert ["int8", "112", "TB", "560", "kB"] in table
    chosen = planned(capsys, "experiment=openlvd", "targets.keep=int8").partition("What targets.keep stores")[2]
    assert ["int8", "112", "TB", "560", "kB", "chosen"] in [line.split() for line in chosen.splitlines()]


def test_the_export_is_priced_by_the_students_size() -> None:
    found = price(compose_config(["experiment=openlvd"])).estimates
    assert list(found)[5:] == ["targets", "train", "export", "evaluate"]
    assert 1e9 < found["export"].bytes < 4e9
    small = price(compose_config(["experiment=demo"])).estimates
    assert small["export"].bytes < found["export"].bytes / 10
    assert "siglino-nano" in small["export"].note
    assert small["targets"].rows == 1500


def test_a_teacher_that_cannot_be_had_leaves_its_stages_unpriced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gated(config: object, upstream: object) -> Estimate:
        raise ConfigError("dinov3:x/y: gated.\nLog in to the hub.")

    monkeypatch.setitem(sys.modules, "pipelines.targets", stand_in("targets", plan=gated))
    out = planned(capsys, "experiment=openlvd")
    assert "  not priced: targets: dinov3:x/y: gated. Log in to the hub.\n" in out
    assert out.count("not priced") == 1
    assert "What targets.keep stores" not in out
    assert [line.split()[0] for line in out.splitlines() if line.split()[-2:] == ["800", "A100"]] == ["train"]


def test_grounding_alone_is_priced_without_a_pool_and_without_its_files(capsys: pytest.CaptureFixture[str]) -> None:
    out = planned(capsys, "experiment=openlvd-ground")
    table = {line.split()[0]: line.split()[1:3] for line in out.splitlines() if line[:2] == "  " and line.split()[1:]}
    assert table["expressions"] == ["261", "65,785"]
    assert table["ground"] == ["1", "1,280,000"]
    assert table["answers"][1] == "57,457"
    assert "  not priced: source to evaluate: source.uri is not set, and grounding needs no pool\n" in out
    assert "1,280,000 images of up to 262,144 pixels with 8 expressions each, 22.9 epochs" in " ".join(out.split())
    assert "Curation" not in out
    assert out.splitlines()[-1] == "Next: siglino ground experiment=openlvd-ground"
    assert main(["plan"]) == 2  # with nothing to ground on a pool is what is missing
    assert "source.uri is not set" in capsys.readouterr().err


def test_a_path_with_grounding_is_priced_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=openlvd", "expressions.train=[{count: 100}]", "expressions.test=[{count: 9}]"]
    out = planned(capsys, *words)
    assert "not priced" not in out
    assert out.index("Evaluation of its student") < out.index("Grounding: siglino ground")
    assert [line.split()[2] for line in out.splitlines()[-4:]] == ["curate", "distill", "evaluate", "ground"]


def test_a_student_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "experiment=openlvd", "train.student=siglino-micor"]) == 2
    err = capsys.readouterr().err
    assert "train.student: 'siglino-micor' is neither a file nor one of siglino-moe-0.3b" in err
    assert "(did you mean siglino-micro?)" in err
    (tmp_path / "config.json").write_text("{}")
    assert compose_config([f"train.student={tmp_path}/config.json"]).train.student == f"{tmp_path}/config.json"
