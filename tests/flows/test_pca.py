"""`siglino pca`: real pictures through a tiny exported student, and every error in words with its exit code."""

import io
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from flows.cli import main
from siglino_core.errors import StoreError
from siglino_core.evaluation import feature_maps as maps
from siglino_core.evaluation import pca
from siglino_core.models.hf import SigLinoHFConfig, SigLinoImageProcessor, SigLinoModel
from tests.pictures import broken, encode, picture, pixels
from tests.siglino_core.models.tiny import TINY, filled

SPACES = ["siglino", "siglip2", "dinov3"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    student = filled(SigLinoModel(SigLinoHFConfig.of(TINY)))
    assert isinstance(student, SigLinoModel)
    student.save_pretrained(folder)
    SigLinoImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    folder = tmp_path / "pool"
    folder.mkdir()
    for i in range(3):
        (folder / f"{'cab'[i]}.jpg").write_bytes(picture(i))
    (folder / "notes.txt").write_text("no image")
    return folder


def panels(path: Path, height: int, width: int) -> dict[str, np.ndarray]:
    """The pictures on a sheet."""
    sheet = np.asarray(Image.open(path))
    gap, label = maps.GAP, maps.LABEL
    assert sheet.shape == (label + height + gap, 4 * width + 5 * gap, 3)
    lefts = [gap + i * (width + gap) for i in range(4)]
    return {n: sheet[label : label + height, x : x + width] for n, x in zip(["image", *SPACES], lefts, strict=True)}


def blocks(panel: np.ndarray, side: int) -> np.ndarray:
    """The colour of each patch, after a look that it is one."""
    height, width = panel.shape[:2]
    cut = panel.reshape(height // side, side, width // side, side, 3)
    assert (cut == cut[:, :1, :, :1]).all()
    return cut[:, 0, :, 0]


def test_maps_of_a_folder(pool: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "maps"
    assert main(["pca", str(pool), "--model", str(model), "--out", str(out)]) == 0
    said, err = capsys.readouterr()
    assert said.splitlines() == [
        *(f"{pool}/{name}.jpg: {out}/{name}.pca.png" for name in "abc"),
        "",
        f"Maps of 3 of 3 images  {out}",
    ]
    assert err == ""
    assert sorted(p.name for p in out.iterdir()) == ["a.pca.png", "b.pca.png", "c.pca.png"]
    found = panels(out / "a.pca.png", 7 * 48, 10 * 48)  # 48 x 32 grows to 160 x 112: 10 x 7 patches, each at 48 pixels
    for name in SPACES:
        assert len(np.unique(blocks(found[name], 48).reshape(70, 3), axis=0)) > 30
    shown = np.asarray(pixels(1).resize((480, 336), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(found["image"] - shown).mean() < 12  # a JPEG of it


def test_a_colour_means_the_same_in_all_images(pool: Path, model: Path, tmp_path: Path) -> None:
    paths = maps.find_images([str(pool)])
    student = maps.load(str(model))
    outcomes = list(maps.draw(paths, student, tmp_path))
    seen = [student.features(Image.open(p)) for p in paths]
    assert [grid for _, grid in seen] == [(7, 10)] * 3
    for name in SPACES:
        all_NC = torch.cat([features[name] for features, _ in seen])
        basis = pca.components(all_NC)
        limits_2K = pca.limits(all_NC, basis)
        for outcome, (features, _) in zip(outcomes, seen, strict=True):
            assert outcome.map is not None
            got = blocks(panels(outcome.map, 336, 480)[name], 48).reshape(70, 3).astype(int)
            assert np.abs(got - pca.colours(features[name], basis, limits_2K).numpy()).max() <= 1


def test_an_image_that_cannot_be_read_is_named_and_has_no_part(
    pool: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pca", str(pool), "--model", str(model), "--out"]
    assert main([*command, str(tmp_path / "before")]) == 0
    capsys.readouterr()
    bad = broken()
    for name, (data, _) in bad.items():
        (pool / f"{name}.png").write_bytes(data)
    (pool / "thin.png").write_bytes(picture(5, "png", (16, 3300)))
    (pool / "two\nlines.png").write_bytes(b"")
    assert main([*command, str(tmp_path / "after")]) == 0
    said = capsys.readouterr().out.splitlines()
    for name, (_, reason) in bad.items():
        assert any(line.startswith(f"{pool}/{name}.png: no map: {reason}: ") for line in said)
    assert f"{pool}/thin.png: no map: an image of 16 x 3300 pixels: an aspect of at most 200" in said
    assert f"{pool}/two\\nlines.png: no map: zero_size: the file is empty" in said
    assert said[-1] == f"Maps of 3 of 13 images  {tmp_path}/after"
    for name in "abc":
        same = [(tmp_path / when / f"{name}.pca.png").read_bytes() for when in ("before", "after")]
        assert same[0] == same[1]


def test_no_image_can_be_read(pool: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pool / "cut.jpg").write_bytes(picture(0)[:100])
    out = tmp_path / "maps"
    assert main(["pca", str(pool / "cut.jpg"), "--model", str(model), "--out", str(out)]) == 1
    said, err = capsys.readouterr()
    assert said.startswith(f"{pool}/cut.jpg: no map: truncated: ")
    assert said.endswith("\nNo image could be drawn.\n")
    assert err == ""
    assert not out.exists()


def test_a_bound_leaves_the_processors_other_settings(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "m")
    SigLinoImageProcessor(image_std=0.25).save_pretrained(tmp_path / "m")
    processor = maps.load(str(tmp_path / "m"), 4096).processor
    assert (processor.min_pixels, processor.max_pixels, processor.image_std) == (4096, 4096, [0.25] * 3)


@pytest.mark.parametrize(("max_pixels", "grid", "side"), [(256, (1, 1), 384), (4096, (3, 4), 96), (512, (1, 1), 384)])
def test_the_bound_on_the_area(
    pool: Path, model: Path, tmp_path: Path, max_pixels: int, grid: tuple[int, int], side: int
) -> None:
    (pool / "a.jpg").write_bytes(picture(1, size=(480, 320)))
    command = ["pca", str(pool / "a.jpg"), "--model", str(model), "--out", str(tmp_path)]
    assert main([*command, "--max-pixels", str(max_pixels)]) == 0
    found = panels(tmp_path / "a.pca.png", grid[0] * side, grid[1] * side)
    colours = blocks(found["siglino"], side)
    assert (len(np.unique(colours)) > 3) if grid != (1, 1) else (colours == 128).all()


def test_a_narrow_image_has_room_for_its_labels(model: Path, tmp_path: Path) -> None:
    (tmp_path / "tall.png").write_bytes(encode(pixels(3, (16, 3200)), "png"))
    assert main(["pca", str(tmp_path / "tall.png"), "--model", str(model), "--out", str(tmp_path)]) == 0
    sheet = Image.open(tmp_path / "tall.pca.png")
    assert sheet.height == maps.LABEL + 3200 + maps.GAP
    assert sheet.width > 4 * 16 + 5 * maps.GAP + 100


def test_each_image_once_and_each_file_name_once(pool: Path, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(pool / "b.jpg", other / "a.jpg")
    (pool / "A.png").write_bytes(picture(7, "png"))
    paths = maps.find_images([str(pool / "a.jpg"), str(pool), str(other)])
    assert paths == [pool / "a.jpg", pool / "A.png", pool / "b.jpg", pool / "c.jpg", other / "a.jpg"]
    made = [o.map.name for o in maps.draw(paths, maps.load(str(model)), tmp_path / "out") if o.map]
    assert made == [
        "a.pca.png",
        "A-2.pca.png",
        "b.pca.png",
        "c.pca.png",
        "a-3.pca.png",
    ]  # some file systems ignore case
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_an_image_that_goes_away_between_the_passes(pool: Path, model: Path, tmp_path: Path) -> None:
    drawing = maps.draw(maps.find_images([str(pool)]), maps.load(str(model)), tmp_path)
    assert next(drawing).map == tmp_path / "a.pca.png"
    (pool / "b.jpg").unlink()
    gone, last = drawing
    assert (gone.image, gone.map, gone.error) == (pool / "b.jpg", None, "it is no file any more")
    assert last.map == tmp_path / "c.pca.png"


def test_a_long_file_is_unread(pool: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(maps.LIMITS, "max_bytes", 5000)
    with (pool / "a.jpg").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: takes no room, and cannot be read into memory
    first = next(maps.draw([pool / "a.jpg", pool / "b.jpg"], maps.load(str(model)), tmp_path))
    assert first.error == f"too_many_bytes: {1 << 40} bytes, more than 5000"


def test_features_that_are_not_finite(pool: Path, model: Path, tmp_path: Path) -> None:
    student = maps.load(str(model))
    with torch.no_grad():
        student.model.get_parameter("dinov3_adapter.fc2.weight")[0] = float("nan")
    outcomes = list(maps.draw([pool / "a.jpg"], student, tmp_path))
    assert [o.error for o in outcomes] == ["its features hold NaN or infinity (dinov3)"]


def test_a_model_of_the_hub(pool: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, **_: object) -> str:
        asked.append(name)
        return str(model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert main(["pca", str(pool), "--model", "some-one/siglino-0.1", "--out", str(tmp_path / "out")]) == 0
    assert set(asked) == {"some-one/siglino-0.1"}


def test_a_folder_that_cannot_be_written(pool: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match=r"taken/a.pca.png: cannot be written \(File exists\). Give another --out."):
        list(maps.draw([pool / "a.jpg"], maps.load(str(model)), tmp_path / "taken"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{pool}", "--model", "/nowhere/m"], 2, "ConfigError: /nowhere/m: there is nothing there"),
        (["{pool}", "--model", "some/one"], 2, "ConfigError: some/one: there is no such folder, and the hub did not"),
        (["{pool}", "--model", "{pool}/a.jpg"], 1, "DataError: {pool}/a.jpg: no"),
        (["{pool}", "--model", "{pool}"], 2, "ConfigError: {pool}: neither an exported model (config.json is missing)"),
        (["{empty}", "--model", "{model}"], 1, "DataError: {empty}: no images."),
        (["{pool}", "x.jpg", "--model", "{model}"], 2, "ConfigError: x.jpg: no such file or folder. Give images"),
        (["{pool}", "--model", "{model}", "--max-pixels", "255"], 2, "ConfigError: --max-pixels 255: from 256 (one"),
        (["{pool}", "--model", "{model}", "--max-pixels", "99999999"], 2, "ConfigError: --max-pixels 99999999: from"),
    ],
)
def test_errors_and_exit_codes(
    words: list[str],
    code: int,
    said: str,
    pool: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def offline(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    places = {"pool": pool, "model": model, "empty": tmp_path / "empty"}
    places["empty"].mkdir()
    assert main(["pca", *(word.format(**places) for word in words), "--out", str(tmp_path / "out")]) == code
    out, err = capsys.readouterr()
    assert err.startswith(said.format(**places))
    assert err.count("\n") == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


@pytest.fixture
def transformers_log() -> Iterator[io.StringIO]:
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield heard
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("another kind", "/config.json: this is a vit, not a siglino"),
        ("no object", "/config.json: this is a None, not a siglino"),
        ("no JSON", "/config.json cannot be read"),
        ("no processor", ": no readable preprocessor_config.json"),
        ("no weights", ": OSError: "),
        ("cut weights", "/model.safetensors: no readable weights (SafetensorError: "),
        ("a key less", ": the weights don't fit the config: norm.weight is missing, and by the config of shape [32] ("),
        (
            "another width",
            ": the weights don't fit the config: cls_token is of shape [1, 1, 32], and by the config of ",
        ),
        ("other patches", ": patches of 16 pixels and 3 channels in config.json, of 8 pixels and 3 channels in"),
    ],
)
def test_a_folder_that_is_no_model(
    spoil: str,
    said: str,
    model: Path,
    pool: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    transformers_log: io.StringIO,
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(model, folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    match spoil:
        case "another kind":
            config.write_text(json.dumps({"model_type": "vit"}))
        case "no object":
            config.write_text("[]")
        case "no JSON":
            config.write_text("{")
        case "no processor":
            (folder / "preprocessor_config.json").write_text("{")
        case "no weights":
            weights.unlink()
        case "cut weights":
            weights.write_bytes(weights.read_bytes()[:5000])
        case "a key less":
            tensors = load_file(weights)
            del tensors["norm.weight"]
            save_file(tensors, weights, {"format": "pt"})
        case "another width":
            config.write_text(json.dumps({**json.loads(config.read_text()), "dim": 48}))
        case "other patches":
            SigLinoImageProcessor(patch_size=8).save_pretrained(folder)
    assert main(["pca", str(pool), "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    out, err = capfd.readouterr()
    assert err.startswith(f"DataError: {folder}{said}")
    assert err.count("\n") == 1
    assert out == ""
    assert transformers_log.getvalue() == ""
