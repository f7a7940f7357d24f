"""The stage ground in one process: what a good run leaves, what settings do, resume, and one clear error."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines import ground
from siglino_core.config import Config
from siglino_core.errors import ConfigError, DamagedError, DataError, SiglinoError, StoreError
from siglino_core.grounding.folder import load_grounding
from siglino_core.models import SigLinoConfig
from siglino_core.store import Run
from siglino_core.weights.load import load_student
from tests.pipelines import grounding
from tests.pipelines.answering import image
from tests.pipelines.answering import write as write_expressions
from tests.pipelines.distilling import TIMES
from tests.pipelines.grounding import STEPS, STUDENT, begun, curve, lines, trained

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
LOSSES = {"answer", "coordinate", "size", "focal", "dice"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with images and expressions, and a student beside it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        grounding.with_expressions(folder / "run")
    grounding.student(folder / "student")
    return folder


@pytest.fixture(scope="module")
def plain(made: Path) -> Run:
    """A good run; not to be changed."""
    run = begun(made / "run", made / "plain")
    trained(run, str(made / "student"))
    return run


def new(made: Path, to: Path, **changes: Any) -> Run:
    """A run of its own, trained to its end."""
    run = begun(made / "run", to)
    trained(run, str(made / "student"), **changes)
    return run


def of(made: Path, run: Run, **changes: Any) -> Config:
    return grounding.config(run.url, str(made / "student"), **changes)


def state(run: Run) -> dict[str, Tensor]:
    return load_file(Path(run.url, "ground/model/model.safetensors"))


def student_of(made: Path) -> dict[str, Tensor]:
    """The student's weights by the model's names, without its heads."""
    own = load_student(str(made / "student")).state_dict()
    return {f"student.{k}": v for k, v in own.items()}


def moved(made: Path, run: Run) -> set[str]:
    """What the student gave, and is another now."""
    before, after = student_of(made), state(run)
    return {k for k, v in before.items() if k in after and not torch.equal(v, after[k])}


def test_a_good_run(made: Path, plain: Run) -> None:
    found = lines(plain)
    assert [line["step"] for line in found] == list(range(STEPS))
    assert found[-1]["loss"] < found[0]["loss"]
    for line in found:
        assert {"loss", "grad_norm", "lr", "images", "instances", "expert_entropy", *LOSSES, *TIMES} <= line.keys()
        total = sum(line[name] * {"focal": 20.0}.get(name, 1.0) for name in LOSSES)
        assert line["loss"] == pytest.approx(total, rel=1e-5)
        assert (line["images"], line["tokens"]) == (6, 6 * 21)
    facts = plain.stage("ground").require().facts
    assert (facts["steps"], facts["ranks"], facts["start"]) == (STEPS, 1, "student")
    assert facts["images"] == 6 * STEPS
    assert facts["instances"] == sum(line["instances"] for line in found) > 0
    assert facts["losses"]["first"]["loss"] == pytest.approx(found[0]["loss"], abs=1e-6)
    assert facts["losses"]["last"].keys() == {"loss", *LOSSES}
    assert json.loads(json.dumps(facts)) == facts
    folder = Path(plain.url, "ground/model")
    said = json.loads((folder / "transfer.json").read_text())
    assert said["unused"] == []
    assert (facts["copied"], facts["new"]) == (len(said["copied"]), len(said["new"]))
    assert {k.partition("_")[0] for k in said["heads"]} == {"siglip2", "dinov3", "layer"}
    grounded = load_grounding(str(folder))
    assert facts["parameters"] == sum(t.numel() for t in grounded.model.state_dict().values())
    assert (grounded.processor.min_pixels, grounded.processor.max_pixels, grounded.most) == (64**2, 64**2, 32)
    assert grounded.model.config.student == replace(STUDENT, teachers=())
    readme = (folder / "README.md").read_text()
    assert f"of the student {facts['student'][:12]}, fine-tuned by siglino" in readme
    assert "load_grounding" in readme
    assert json.loads((folder / "config.json").read_text())["began_from"] == facts["student"]
    assert moved(made, plain) >= {"student.img_projector.weight", "student.layers.0.attention.wq.weight"}


def test_a_second_time_reuses_and_what_is_lost_is_made_again(made: Path, plain: Run, tmp_path: Path) -> None:
    assert trained(plain, str(made / "student")).state == "Reused"
    run = new(made, tmp_path / "run")
    digest = run.stage("ground").require().digest
    assert digest == plain.stage("ground").require().digest
    Path(run.url, "ground/model/model.safetensors").unlink()
    again = trained(run, str(made / "student"))
    assert (again.state, again.manifest.digest) == ("Resumed", digest)
    assert curve(run) == curve(plain)


def test_what_only_changes_speed_changes_nothing(made: Path, plain: Run, tmp_path: Path) -> None:
    changes = {"ground__num_workers": 1, "ground__checkpoint_steps": 4, "ground__activation_checkpointing": True}
    run = new(made, tmp_path / "run", **changes)
    assert curve(run) == curve(plain)
    assert run.stage("ground").require().digest == plain.stage("ground").require().digest


def test_other_settings_are_refused_by_name_and_redo_makes_them(made: Path, tmp_path: Path) -> None:
    run = new(made, tmp_path / "run")
    before = run.stage("ground").require().digest
    says = r"another config:\n  image_lr: 0\.3 there, 0\.5 here\n  loss\.gram: 0\.0 there, 0\.1 here\n.*--redo ground"
    changes = {"ground__image_lr": 0.5, "ground__loss__gram": 0.1}
    with pytest.raises(ConfigError, match=says):
        trained(run, str(made / "student"), **changes)
    other = grounding.student(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match=r"made by another config:\n  inputs\.checkpoint"):
        trained(run, other)
    shutil.copytree(made / "student", tmp_path / "elsewhere")
    assert trained(run, str(tmp_path / "elsewhere")).state == "Reused"
    again = trained(run, other, redo="always")
    assert (again.state, len(lines(run))) == ("Computed", STEPS)
    assert again.manifest.digest != before


def test_it_begins_from_the_runs_own_export(made: Path, plain: Run, tmp_path: Path) -> None:
    run = begun(made / "run", tmp_path / "run")
    digest = grounding.export(run, made / "student")
    manifest = trained(run).manifest
    assert curve(run) == curve(plain)
    assert all(torch.equal(v, state(plain)[k]) for k, v in state(run).items())
    assert manifest.facts["student"] == digest
    assert manifest.identity["inputs"]["export"] == digest
    with pytest.raises(ConfigError, match=r"made by another config:\n.*inputs\.checkpoint"):
        trained(run, str(made / "student"))


def test_from_scratch_the_shape_alone_is_the_students(made: Path, plain: Run, tmp_path: Path) -> None:
    run = new(made, tmp_path / "run", ground__start="scratch")
    facts = run.stage("ground").require().facts
    assert (facts["start"], facts["copied"], facts["new"]) == ("scratch", 0, len(state(run)))
    readme = Path(run.url, "ground/model/README.md").read_text()
    assert "of a student's shape, with drawn weights" in readme
    assert curve(run)[0]["loss"] != curve(plain)[0]["loss"]
    assert state(run).keys() == state(plain).keys()


def test_a_frozen_student_stays_what_it_was(made: Path, plain: Run, tmp_path: Path) -> None:
    run = new(made, tmp_path / "run", ground__image_lr=0.0)
    assert moved(made, run) == set()
    assert curve(run)[-1]["loss"] < curve(run)[0]["loss"]  # what is new learns all the same
    assert curve(run)[0]["loss"] == curve(plain)[0]["loss"]


def test_gram_anchoring_holds_patches_to_the_student(made: Path, plain: Run, tmp_path: Path) -> None:
    found = curve(new(made, tmp_path / "run", ground__loss__gram=5.0))
    assert found[0]["gram"] < 1e-9  # at first it is the student
    assert all(line["gram"] > 1e-9 for line in found[1:])
    assert found[0]["loss"] == pytest.approx(curve(plain)[0]["loss"], rel=1e-6)
    scratch = curve(new(made, tmp_path / "scratch", ground__loss__gram=5.0, ground__start="scratch"))
    assert scratch[0]["gram"] > 1e-4


@pytest.mark.parametrize(
    "changes",
    [{}, {"ground__image_lr": 0.0}, {"ground__loss__gram": 1.0}, {"ground__activation_checkpointing": True}],
    ids=["plain", "frozen", "anchored", "recomputed"],
)
def test_in_mixed_precision(made: Path, plain: Run, tmp_path: Path, changes: dict[str, Any]) -> None:
    """As GPUs compute: products in bf16, weights and their sums in fp32."""
    run = new(made, tmp_path / "run", ground__precision="bf16", **changes)
    ours, theirs = ([line["loss"] for line in curve(one)] for one in (run, plain))
    assert ours[0] == pytest.approx(theirs[0], rel=0.01)
    assert ours[-1] < ours[0]
    assert {v.dtype for v in state(run).values()} == {torch.float32}
    assert bool(moved(made, run)) != ("ground__image_lr" in changes)


class StoppedError(SiglinoError):
    """The training was told to stop here."""


def stopped(made: Path, run: Run, at: int, **changes: Any) -> None:
    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if done == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        ground.run(of(made, run, **changes), run, tell)


def test_stopped_in_the_middle_it_ends_with_the_same_bytes(made: Path, plain: Run, tmp_path: Path) -> None:
    run = begun(made / "run", tmp_path / "run")
    for at in (1, 3, 5):  # before there is a checkpoint, and after the first and the second
        stopped(made, run, at)
        assert run.stage("ground").manifest() is None
    done = trained(run, str(made / "student"))
    assert done.state == "Resumed"
    assert curve(run) == curve(plain)
    assert done.manifest.digest == plain.stage("ground").require().digest


def test_a_damaged_checkpoint_is_named(made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = begun(made / "run", tmp_path / "run")
    stopped(made, run, 5)
    checkpoints = Path(run.url, "ground/checkpoints")
    (newest,) = (checkpoints / "step_00000004").glob("*.distcp")
    newest.write_bytes(newest.read_bytes()[:-1] + bytes([newest.read_bytes()[-1] ^ 1]))
    with caplog.at_level("WARNING"):
        again = trained(run, str(made / "student"))
    assert any("step_00000004" in m and "goes on from step_00000002" in m for m in caplog.messages)
    Path(run.url, "ground/manifest.json").unlink()
    shutil.rmtree(checkpoints / f"step_{STEPS:08d}")
    for file in checkpoints.glob("*/*.distcp"):
        file.write_bytes(file.read_bytes()[:100])
    Path(run.url, "ground/model/model.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"ground/checkpoints.*no checkpoint is left to go on from"):
        trained(run, str(made / "student"))
    again = trained(run, str(made / "student"), redo="always")
    assert again.state == "Computed"


def refused(kind: type[Exception], says: str, run: Run, checkpoint: str = "", **changes: Any) -> None:
    """The run ends in one sentence of the kind, and in no artifact."""
    with pytest.raises(kind, match=says) as caught:
        trained(run, checkpoint, **changes)
    assert "\n" not in str(caught.value)
    assert run.stage("ground").manifest() is None


def test_what_is_not_there_or_not_finished(made: Path, tmp_path: Path) -> None:
    student = str(made / "student")
    empty = Run(str(tmp_path / "empty"))
    refused(StoreError, r"expressions.* not finished: run `siglino ground --from expressions` first", empty, student)
    run = begun(made / "run", tmp_path / "run")
    refused(StoreError, r"export: there is no student yet\. Run `siglino distill` first, or name one", run)
    refused(ConfigError, "none: there is nothing there", run, str(tmp_path / "none"))
    refused(ConfigError, "ground.ranks=2 needs runtime.runner=ray", run, student, ground__ranks=2)
    (tmp_path / "folder").mkdir()
    refused(ConfigError, "folder: no student: there is no config.json", run, str(tmp_path / "folder"))
    large = {"ground__min_pixels": 1 << 20, "ground__max_pixels": 1 << 20}
    full = r"ground\.pack\.capacity=64: image synthetic/.* has 4101 tokens\. Set it to 4101 or more, or lower"
    refused(ConfigError, full, run, student, **large)
    assert trained(run, student).state == "Computed"  # none of these stands in the way


def test_a_model_that_is_no_student(made: Path, plain: Run, tmp_path: Path) -> None:
    run = begun(made / "run", tmp_path / "run")
    grounded = f"{plain.url}/ground/model"
    refused(DataError, r"config\.json: this is a siglino_grounding, not a siglino", run, grounded)
    assert trained(run, str(made / "student")).state == "Computed"  # and it does not stand in the way


def test_an_image_smaller_than_a_patch_is_enlarged(made: Path, tmp_path: Path) -> None:
    run = Run(str(tmp_path / "run"))
    rows = [image(i, {f"thing {i}": [[1, 1, 20, 10]]}, name="train", size=(40, 11)) for i in range(8)]
    write_expressions(run, {}, rows)
    trained(run, str(made / "student"))
    assert all(0 < line["loss"] < 100 for line in curve(run))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_images_without_any_instance(made: Path, tmp_path: Path, precision: str) -> None:
    """Absent things teach the answer alone."""
    run = Run(str(tmp_path / "run"))
    rows = [image(i, {f"no thing {i}": [], "nothing": []}, name="train") for i in range(8)]
    write_expressions(run, {}, rows)
    facts = trained(run, str(made / "student"), ground__precision=precision).manifest.facts
    assert facts["instances"] == 0
    for line in curve(run):
        assert line["loss"] == pytest.approx(line["answer"])
        assert (line["coordinate"], line["size"], line.get("focal", 0.0)) == (0, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [{"patch_size": 8}, {"experts": 8, "top_k": 3}, {"experts": 0, "hidden": 48, "top_k": 0, "expert_hidden": 0}],
    ids=["patches of 8 pixels", "eight experts", "dense"],
)
def test_students_of_other_shapes(made: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    run = begun(made / "run", tmp_path / "run")
    student = grounding.student(tmp_path / "student", SigLinoConfig(**{**vars(STUDENT), **changes}))
    trained(run, student, ground__pack__capacity=256, ground__optim__steps=3)
    grounded = load_grounding(f"{run.url}/ground/model")
    assert grounded.model.config.student.patch_size == grounded.processor.patch_size == changes.get("patch_size", 16)
    assert grounded.model.config.student.experts == changes.get("experts", 4)
    assert grounded.model.config.text_experts == 4
    assert all(torch.isfinite(v).all() for v in grounded.model.state_dict().values() if v.is_floating_point())
    assert curve(run)[-1]["loss"] < curve(run)[0]["loss"]
