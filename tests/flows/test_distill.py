"""`siglino distill`: what it runs, what it says at the end, what it refuses; and what `siglino inspect` shows of it."""

import io
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from flows.cli import main
from flows.inspect import inspect
from pipelines.support.runtime import Progress, Result
from siglino_core.config import Config
from siglino_core.errors import StoreError
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.store import Run
from tests.flows.conftest import stand_in
from tests.siglino_core.models.tiny import TINY, filled
from tests.stages import finish, trained

LOSSES = {
    "first": {"dinov3.patch": 1.01, "siglip2.summary": 0.987654},
    "last": {"dinov3.patch": 0.25, "siglip2.summary": 0.125},
}
FACTS = {"losses": LOSSES, "teachers": [{"name": "siglip2"}, {"name": "dinov3"}], "steps": 1200, "max_pixels": 16_384}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the command sets defaults
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with a sample, which is all that the distillation asks for."""
    made = Run(str(tmp_path / "run"))
    finish(made, "sample")
    return made


@pytest.fixture
def called(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The command without Prefect, with stages that are done by hand; (stage, redo) of those that were called."""
    asked: list[tuple[str, str]] = []

    def done(stage: str) -> ModuleType:
        def work(config: Config, to: Run, progress: Progress, redo: str) -> Result:
            asked.append((stage, redo))
            manifest = to.stage(stage).manifest()
            if manifest is None and stage == "train":
                manifest = trained(to, filled(SigLinoModel(SigLinoHFConfig.of(TINY))), tmp_path / "scratch", FACTS)
            return Result(state="Computed", manifest=manifest or finish(to, stage))

        return stand_in(stage, run=work)

    for stage in ("targets", "train"):
        monkeypatch.setitem(sys.modules, f"pipelines.{stage}", done(stage))
    return asked


def distilled(run: Run, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    teachers = "targets.teachers=[lite]"  # the default ones are not here
    assert main(["distill", f"run={run.url}", "runtime.runner=local", teachers, *words]) == 0
    return capsys.readouterr().out


def test_from_the_sample_to_the_student(run: Run, called: list, capsys: pytest.CaptureFixture[str]) -> None:
    out = distilled(run, capsys)
    assert called == [("targets", "no"), ("train", "no")]
    lines = [line.split()[:2] for line in out.splitlines() if "shards" in line]
    assert lines == [["targets", "Computed"], ["train", "Computed"], ["export", "Computed"]]
    assert (Path(run.url) / "export/student/model.safetensors").exists()


def test_the_farewell(run: Run, called: list, capsys: pytest.CaptureFixture[str]) -> None:
    out = distilled(run, capsys)
    table = [line.split() for line in out.splitlines()]
    assert ["dinov3.patch", "1.01", "0.25"] in table
    assert ["siglip2.summary", "0.9877", "0.125"] in table
    assert f"Student          {run.url}/export/student" in out
    assert out.splitlines()[-1] == f"Next             siglino pca PHOTOS --model {run.url}/export/student"


def test_stages_are_chosen(run: Run, called: list, capsys: pytest.CaptureFixture[str]) -> None:
    out = distilled(run, capsys, "--only", "train", "--redo", "train")
    assert called == [("train", "always")]
    assert out.splitlines()[-1] == f"Next             siglino inspect {run.url}"
    called.clear()
    distilled(run, capsys, "--from", "train")
    assert called == [("train", "no")]
    called.clear()
    distilled(run, capsys, "--redo", "targets")
    assert called == [("targets", "always"), ("train", "stale")]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["--only", "sample"],
            2,
            "no such stage: sample. The stages are targets, train, export. `siglino curate` has sample",
        ),
        (["--only", "train", "--redo", "export"], 2, "cannot redo export: this invocation runs train"),
        (["train.student=siglino-nan"], 2, "did you mean siglino-nano?"),
        (["train.optim.step=3"], 2, "unknown key train.optim.step (did you mean train.optim.steps?)"),
    ],
)
def test_what_is_refused(run: Run, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", f"run={run.url}", *words]) == code
    out, err = capsys.readouterr()
    assert said in err
    assert (out, "Traceback" in err) == ("", False)


def test_without_a_finished_sample_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", f"run={tmp_path}/none"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"StoreError: {tmp_path}/none: there is no finished sample here")
    assert "Curate first: `siglino curate`" in err
    assert not (tmp_path / "none").exists()


def test_without_a_finished_sample_the_flow_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    from flows.distill import distill

    with pytest.raises(StoreError, match="there is no finished sample here"):
        distill.fn(experiment="", run=f"{tmp_path}/none")
    assert not (tmp_path / "none").exists()


def seen(run: Run) -> str:
    out = io.StringIO()
    inspect(run.url, Console(file=out, width=160))
    return out.getvalue()


@pytest.fixture
def trained_run(tmp_path: Path) -> Run:
    made = Run(str(tmp_path / "trained"))
    finish(made, "targets", {"keep": "int8", "bytes": 12_345, "error": 0.00123456, "by_codec": {"int8": 1}})
    trained(made, filled(SigLinoModel(SigLinoHFConfig.of(TINY))), tmp_path / "scratch", FACTS)
    return made


def test_inspect_shows_the_distillations_stages_and_facts(trained_run: Run) -> None:
    text = seen(trained_run)
    table = [line.split() for line in text.splitlines()]
    assert ["targets", "done", "3", "1"] in [row[:4] for row in table]
    assert ["train", "done", "3", "1"] in [row[:4] for row in table]
    assert ["export", "not", "begun"] in table
    for row in (
        ["targets", "keep", "int8"],
        ["targets", "bytes", "12,345"],
        ["targets", "error", "0.001235"],
        ["train", "steps", "1,200"],
        ["train", "max", "pixels", "16,384"],
        ["train", "teachers", "siglip2,", "dinov3"],
        ["dinov3.patch", "1.01", "0.25"],
    ):
        assert row in table
    assert "by codec" not in text
    assert "Student:" not in text


def test_inspect_of_an_exported_student(trained_run: Run) -> None:
    finish(trained_run, "export", {"parameters": 1_234_567})
    text = seen(trained_run)
    assert ["export", "parameters", "1,234,567"] in [line.split() for line in text.splitlines()]
    assert f"Student: {trained_run.url}/export/student" in text


def test_inspect_of_a_curation_does_not_speak_of_the_distillation(tmp_path: Path) -> None:
    run = Run(str(tmp_path / "run"))
    finish(run, "source")
    text = seen(run)
    assert "report" in text
    assert not {"targets", "train", "export"} & {line.split()[0] for line in text.splitlines() if line.split()}
