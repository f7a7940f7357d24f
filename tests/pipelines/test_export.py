"""export: a trained student becomes a folder that loads anywhere, whole, once, and without a trace of this machine."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import ModelCard

from pipelines import export
from pipelines.support import price
from siglino_core.config import Config, ExportConfig, PartConfig, TargetsConfig, TrainConfig
from siglino_core.errors import ConfigError, StoreError
from siglino_core.models import PRESETS, HeadConfig
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.store import Run
from siglino_core.weights.load import load_processor, load_student
from tests.siglino_core.models.tiny import TINY, filled
from tests.stages import finish, trained


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def model() -> SigLinoModel:
    made = filled(SigLinoModel(SigLinoHFConfig.of(TINY)))
    assert isinstance(made, SigLinoModel)
    return made


@pytest.fixture
def run(tmp_path: Path, model: SigLinoModel) -> Run:
    made = Run(str(tmp_path / "run"))
    trained(made, model, tmp_path / "scratch", {"max_pixels": 36_864})
    return made


def texts(folder: Path) -> str:
    return "".join(f.read_text(errors="replace") for f in sorted(folder.iterdir()) if f.suffix != ".safetensors")


def test_the_student_loads_as_it_was_trained(run: Run, model: SigLinoModel) -> None:
    result = export.run(Config(), run)
    assert result.state == "Computed"
    folder = f"{run.url}/export/student"
    loaded = load_student(folder)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    assert loaded.spec == TINY
    facts = result.manifest.facts
    assert facts["teachers"] == ["siglip2", "dinov3"]
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    names = set(result.manifest.files)
    assert {f"student/{n}" for n in ("README.md", "config.json", "model.safetensors", "modeling_siglino.py")} < names


def test_it_loads_with_transformers_alone(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    export.run(Config(), run)
    loaded = transformers.AutoModel.from_pretrained(f"{run.url}/export/student", trust_remote_code=True)
    assert sum(p.numel() for p in loaded.parameters()) > 0


def test_a_second_time_reuses_and_a_lost_file_alone_is_made_again(run: Run) -> None:
    first = export.run(Config(), run).manifest
    assert export.run(Config(), run).state == "Reused"
    (Path(run.url) / "export/student/README.md").unlink()
    again = export.run(Config(), run)
    assert (again.state, again.manifest.digest) == ("Resumed", first.digest)
    assert (Path(run.url) / "export/student/README.md").exists()
    assert not list(Path(run.url).rglob(".unfinished"))


def test_nothing_that_travels_names_this_machine(run: Run, tmp_path: Path) -> None:
    export.run(Config(), run)
    said = texts(Path(run.url) / "export/student")
    assert str(tmp_path) not in said
    assert "/tmp/" not in said
    assert str(Path.home()) + "/" not in said


def test_the_card_says_where_the_weights_came_from(run: Run) -> None:
    train = run.stage("train").require()
    export.run(Config(), run)
    card = (Path(run.url) / "export/student/README.md").read_text()
    assert f"distilled from siglip2, dinov3 by siglino 0.1.0, training {train.digest[:12]}" in card


def test_the_card_says_what_the_config_says(run: Run) -> None:
    """The teachers' hub ids and what was said of licence and images; other words are another export."""
    said = ExportConfig(license="dinov3-license", license_link="LICENSE.md", datasets=["owner/images"])
    export.run(Config(export=said), run)
    data = ModelCard.load(Path(run.url) / "export/student/README.md").data
    assert data.base_model == [spec.partition(":")[2] for spec in Config().targets.teachers]
    assert (data.license_name, data.license_link, data.datasets) == ("dinov3-license", "LICENSE.md", ["owner/images"])
    assert export.run(Config(export=said), run).state == "Reused"
    with pytest.raises(ConfigError, match="license: 'dinov3-license' there, 'unknown' here"):
        export.run(Config(), run)
    with pytest.raises(ConfigError, match=r"^export\.datasets=no id: not an id of the Hub's"):
        export.run(Config(export=ExportConfig(datasets=["no id"])), run)


def test_a_teachers_folder_is_not_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "teachers/siglip2").mkdir(parents=True)
    config = Config(targets=TargetsConfig(teachers=[f"siglip2:{tmp_path}/teachers/siglip2", "dinov3:owner/dinov3"]))
    export.run(config, run)
    folder = Path(run.url) / "export/student"
    assert ModelCard.load(folder / "README.md").data.base_model == ["owner/dinov3"]
    assert str(tmp_path) not in texts(folder)


@pytest.mark.parametrize(
    ("config", "bound"),
    [
        (Config(), 36_864),  # as the training says of itself
        (Config(targets=TargetsConfig(max_pixels=16_384)), 36_864),
        (Config(export=ExportConfig(max_pixels=4096)), 4096),
    ],
)
def test_the_processors_bound(run: Run, model: SigLinoModel, config: Config, bound: int) -> None:
    assert export.run(config, run).manifest.facts["max_pixels"] == bound
    assert load_processor(f"{run.url}/export/student", model).max_pixels == bound


def test_a_training_that_does_not_say_its_resolution(tmp_path: Path, model: SigLinoModel) -> None:
    run = Run(str(tmp_path / "run"))
    trained(run, model, tmp_path / "scratch")
    parts = [PartConfig(name="a", max_pixels=65_536), PartConfig(name="b", max_pixels=147_456)]
    assert export.run(Config(train=TrainConfig(parts=parts)), run).manifest.facts["max_pixels"] == 147_456


def test_another_bound_is_another_export(run: Run) -> None:
    export.run(Config(), run)
    other = Config(export=ExportConfig(max_pixels=4096))
    with pytest.raises(ConfigError, match="max_pixels: 36864 there, 4096 here"):
        export.run(other, run)
    assert export.run(other, run, redo="stale").state == "Computed"


def test_another_training_is_another_export(run: Run, model: SigLinoModel, tmp_path: Path) -> None:
    export.run(Config(), run)
    run.stage("train").erase()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    trained(run, model, tmp_path / "scratch2", {"max_pixels": 36_864})
    with pytest.raises(ConfigError, match=r"inputs\.train"):
        export.run(Config(), run)
    assert export.run(Config(), run, redo="stale").state == "Computed"


def test_a_store_that_is_not_a_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint is fetched, and the files are put: the same digest as in a folder."""
    import fsspec

    digest = export.run(Config(), run).manifest.digest
    memory = fsspec.filesystem("memory")
    monkeypatch.setattr(type(memory), "store", {})
    monkeypatch.setattr(type(memory), "pseudo_dirs", [""])
    away = Run("memory://bucket/run")
    memory.put(f"{run.url}/train", "/bucket/run/train", recursive=True)
    result = export.run(Config(), away)
    assert (result.state, result.manifest.digest) == ("Computed", digest)
    assert memory.exists("/bucket/run/export/student/model.safetensors")


def test_no_training_or_one_without_its_student(tmp_path: Path) -> None:
    run = Run(str(tmp_path / "run"))
    with pytest.raises(StoreError, match="train is not finished: run `siglino distill --from train` first"):
        export.run(Config(), run)
    assert not (tmp_path / "run/export").exists()
    finish(run, "train")
    with pytest.raises(StoreError, match="train/student: the trained student is not there"):
        export.run(Config(), run)
    assert not (tmp_path / "run/export/student").exists()


def test_a_plan_of_every_student() -> None:
    prices: dict[str, Any] = {name: export.plan(Config(train=TrainConfig(student=name)), 10) for name in PRESETS}
    assert all(e.stage == "export" and e.device_hours > 0 for e in prices.values())
    assert prices["siglino-nano"].bytes < prices["siglino-moe-0.3b"].bytes


def test_a_plan_of_a_config_of_ones_own(tmp_path: Path) -> None:
    SigLinoHFConfig.of(TINY).to_json_file(tmp_path / "own.json")
    teachers = TargetsConfig(teachers=["lite", "lite_text"])
    estimate = export.plan(Config(targets=teachers, train=TrainConfig(student=str(tmp_path / "own.json"))), 10)
    heads = (HeadConfig(name="lite", dim=112), HeadConfig(name="lite_text", dim=384))
    model = SigLinoModel(SigLinoHFConfig.of(replace(TINY, teachers=heads)))
    assert estimate.bytes == 4 * sum(p.numel() for p in model.parameters()) + price.MODEL_CODE
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(ConfigError, match=r"no.json cannot be read as a student's config.json"):
        export.plan(Config(train=TrainConfig(student=str(tmp_path / "no.json"))), 10)
