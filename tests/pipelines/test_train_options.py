"""Every option that the field compares, in a training by the stage itself: it runs, it counts, and it is told apart."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import train
from siglino_core.config import Config
from siglino_core.errors import ConfigError
from siglino_core.store import Run
from siglino_core.weights.load import load_student
from tests.pipelines import distilling
from tests.pipelines.curated import curated
from tests.pipelines.distilling import begun, curve
from tests.pipelines.own_teachers import Own

STEPS, PACKS = 4, 4
BASE: dict[str, Any] = {
    "train__optim__steps": STEPS,
    "train__pack__packs_per_step": PACKS,
    "train__optim__lr": 3e-3,
    "train__checkpoint_steps": 2,
}
SMALL, LARGE = {"name": "small", "max_pixels": 32**2}, {"name": "large", "max_pixels": 64**2}
PARTS = [{**part, "min_pixels": 32**2} for part in (SMALL, LARGE)]
OPTIONS: dict[str, dict[str, Any]] = {
    **{
        f"{kind}, {error}": {f"loss__{kind}_error": error}
        for kind in ("summary", "patch")
        for error in ("smooth_l1", "cosine", "cosine_smooth_l1")
    },
    **{
        f"{kind}, {space}": {f"loss__{kind}_normalize": space}
        for kind in ("summary", "patch")
        for space in ("channel", "layer_norm", "none")
    },
    "dropping": {"loss__drop": 0.5},
    "weights": {"loss__weights": [0.25, 2.0]},
    "linear": {"heads__form": "linear"},
    "transformer": {"heads__form": "transformer"},
    "ladder": {"heads__layers": [0]},
    "ladder of linear rungs": {"heads__form": "linear", "heads__layers": [0]},
    "routes": {"parts": [{**PARTS[0], "teachers": ["one"]}, {**PARTS[1], "teachers": ["one", "two"]}]},
    "AM-RADIO": {
        "loss__summary_error": "cosine",
        "loss__summary_normalize": "none",
        "loss__patch_error": "cosine_smooth_l1",
        "loss__patch_normalize": "none",
        "loss__relation": "none",
    },
    "UNIC": {
        "loss__summary_error": "cosine_smooth_l1",
        "loss__summary_normalize": "channel",
        "loss__patch_error": "cosine_smooth_l1",
        "loss__patch_normalize": "channel",
        "loss__cosine_share": 0.5,
        "loss__drop": 0.5,
        "loss__relation": "none",
        "heads__layers": [0],
    },
}


def one(device: str, dtype: torch.dtype) -> Own:
    return Own(name="one")


def two(device: str, dtype: torch.dtype) -> Own:
    return Own(16, name="two")


SPECS = [f"{__name__}:one", f"{__name__}:two"]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated run, and one with targets online, a student's shape beside them."""
    folder = tmp_path_factory.mktemp("curated")
    curated(folder)
    distilling.student(folder)
    distilling.ready(folder / "run", folder / "online", of(folder, folder / "online"))
    return folder


def of(made: Path, run: str | Path, **changes: Any) -> Config:
    options = {f"train__{key}": value for key, value in changes.items()}
    return distilling.config(run, SPECS, str(made / "student.json"), **{**BASE, **options})


def trained(made: Path, to: Path, **changes: Any) -> Run:
    run = begun(made, to)
    train.run(of(made, to, **changes), run)
    return run


@pytest.fixture(scope="module")
def plain(made: Path) -> Run:
    """A training with the defaults; not to be changed."""
    return trained(made, made / "plain")


def numbers(run: Run, name: str) -> list[float]:
    return [line[name] for line in curve(run.url)]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_trains(made: Path, plain: Run, tmp_path: Path, name: str) -> None:
    run = trained(made, tmp_path / "run", **OPTIONS[name])
    losses = numbers(run, "loss")
    assert len(losses) == STEPS
    assert all(x == x and x > 0 for x in losses)
    assert losses[1:] != numbers(plain, "loss")[1:]
    if name != "routes":  # whose parts are other images, of two sizes
        assert numbers(run, "images") == numbers(plain, "images")
        assert losses[-1] < losses[0] or "loss__drop" in OPTIONS[name]  # whose size is a matter of chance
    facts = run.stage("train").require().facts
    assert {"one.summary", "two.patch"} <= facts["losses"]["last"].keys()
    model = load_student(str(Path(run.url, "train/student")))
    form, layers = OPTIONS[name].get("heads__form", "mlp"), tuple(OPTIONS[name].get("heads__layers", ()))
    assert [(t.form, t.layers) for t in model.spec.teachers] == [(form, layers)] * 2
    assert (form, layers) == ("mlp", ()) or "teacher_heads" in json.loads(
        Path(run.url, "train/student/config.json").read_text()
    )
    with pytest.raises(ConfigError, match=r"made by another config:\n  "):
        train.run(of(made, run.url), run)


@pytest.mark.parametrize("name", ["linear", "transformer", "ladder", "UNIC"])
def test_in_mixed_precision(made: Path, tmp_path: Path, name: str) -> None:
    ours, theirs = (
        numbers(trained(made, tmp_path / precision, **OPTIONS[name], precision=precision), "loss")
        for precision in ("bf16", "fp32")
    )
    assert ours[0] == pytest.approx(theirs[0], rel=0.02)
    assert ours == pytest.approx(theirs, rel=0.1)


def test_the_default_says_none_of_them(plain: Run) -> None:
    assert "teacher_heads" not in json.loads(Path(plain.url, "train/student/config.json").read_text())
    line = curve(plain.url)[0]
    assert {"one.summary_explained", "one.patch_explained"} <= line.keys()
    assert not [key for key in line if key.endswith(".kept")]


def test_only_shares_of_the_variance_are_called_explained(made: Path, tmp_path: Path) -> None:
    line = curve(trained(made, tmp_path / "run", **OPTIONS["patch, cosine"]).url)[0]
    assert "one.summary_explained" in line
    assert "one.patch_explained" not in line


def test_weights_of_teachers_add_up(made: Path, tmp_path: Path) -> None:
    for line in curve(trained(made, tmp_path / "run", **OPTIONS["weights"]).url):
        of_teachers = [sum(line[f"{t}.{kind}"] for kind in ("summary", "patch", "relation")) for t in ("one", "two")]
        assert line["loss"] == pytest.approx(0.25 * of_teachers[0] + 2 * of_teachers[1], rel=1e-5)


def test_dropping_does_not_depend_on_loaders_or_a_resume(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", **OPTIONS["dropping"])
    kept = [line[f"{name}.kept"] for line in curve(run.url) for name in ("one", "two")]
    assert all(0.3 < k <= 1 for k in kept)
    assert min(kept) < 0.95
    again = trained(made, tmp_path / "again", **OPTIONS["dropping"], num_workers=1, packs_at_once=2)
    for line, theirs in zip(curve(run.url), curve(again.url), strict=True):
        assert line["one.kept"] == pytest.approx(theirs["one.kept"], rel=1e-5)
        assert line["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    for name in ("manifest.json", f"checkpoints/step_{STEPS:08d}/checkpoint.json", "student/model.safetensors"):
        Path(run.url, "train", name).unlink()
    before = curve(run.url)
    assert train.run(of(made, run.url, **OPTIONS["dropping"]), run).state == "Resumed"
    assert curve(run.url) == before


def test_a_teacher_is_trained_by_its_parts_images_alone(made: Path, tmp_path: Path) -> None:
    """One teacher sees the small images, the other the large ones: each mean is over its own."""
    parts = [{**PARTS[0], "teachers": ["one"]}, {**PARTS[1], "teachers": ["two"]}]
    line = curve(trained(made, tmp_path / "both", parts=parts, loss__relation="none").url)[0]
    assert line["loss"] == pytest.approx(sum(line[f"{t}.{k}"] for t in ("one", "two") for k in ("summary", "patch")))


def test_stored_targets_go_their_routes_too(made: Path, tmp_path: Path) -> None:
    parts = [
        {"name": "all", "min_pixels": 32**2, "max_pixels": 64**2},
        {"name": "wide", "min_pixels": 32**2, "max_pixels": 64**2, "native_from": 40, "teachers": ["two"]},
    ]
    curves = []
    for keep in ("online", "bf16"):
        cfg = distilling.config(
            tmp_path / keep, SPECS, str(made / "student.json"), **BASE, targets__keep=keep, train__parts=parts
        )
        run = distilling.ready(made / "run", tmp_path / keep, cfg)
        train.run(cfg, run)
        curves.append(curve(run.url))
    for ours, theirs in zip(*curves, strict=True):
        for name in ("loss", "one.patch", "two.summary"):
            assert ours[name] == pytest.approx(theirs[name], rel=5e-3)


UNKNOWN = [{**PARTS[0], "teachers": ["too"]}, PARTS[1]]
NOBODY = [{**part, "teachers": ["one"]} for part in PARTS]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parts": UNKNOWN}, r"^train\.parts: small trains teacher too, and targets\.teachers are one, two \(did you"),
        ({"parts": NOBODY}, r"^train\.parts: no part trains teacher two: add it"),
        ({"loss__weights": [1, 2, 3]}, r"train\.loss\.weights: 3 numbers for the 2 of targets\.teachers"),
        ({"loss__weights": [0, 0]}, r"train\.loss\.weights: \[0\.0, 0\.0\]: no teacher weighs anything"),
        (
            {"parts": [{**PARTS[0], "teachers": ["one"]}, PARTS[1]], "loss__weights": [0, 1]},
            r"^train\.parts: small trains one alone, of weight 0 in train\.loss\.weights, so that its images teach",
        ),
        (
            {"loss__summary": 0, "loss__patch": 0, "loss__relation": "none"},
            r"^train\.loss: register alone weighs anything, and none of one, two has such features",
        ),
        ({"heads__layers": [1]}, r"train\.heads\.layers .*layers=\[1\]: each once, from 0 to 0"),
        ({"loss__drop": 1.5}, r"train\.loss\.drop: 1\.5 is above 1"),
    ],
)
def test_what_cannot_be(made: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    run = begun(made, tmp_path / "run")
    with pytest.raises(ConfigError, match=says) as caught:
        train.run(of(made, run.url, **changes), run)
    assert str(caught.value).count("\n") <= 1
    assert run.stage("train").manifest() is None


def test_the_price_of_heads_and_of_teachers_that_see_some_images(made: Path) -> None:
    def hours(**changes: Any) -> float:
        return train.plan(of(made, "runs/x", **changes), {}).device_hours

    assert hours(heads__form="linear") < hours() < hours(heads__layers=[0]) < hours(heads__form="transformer")
