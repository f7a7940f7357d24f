"""A student from every form in which its weights come, and a clear refusal of the rest."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict_saver import save

from siglino_core.errors import ConfigError, DataError, SiglinoError, UnreachableStoreError
from siglino_core.models.config import PRESETS
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.store import Files
from siglino_core.store.patience import Patience, be_patient
from siglino_core.weights.checkpoint import weights
from siglino_core.weights.load import load_student
from siglino_core.weights.marks import mark
from siglino_core.weights.source import identity, recorded_identity
from tests.siglino_core.models.tiny import TINY, filled


@pytest.fixture(scope="module")
def model() -> SigLinoModel:
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY)), seed=3)
    assert isinstance(model, SigLinoModel)
    return model


def saved(model: SigLinoModel, folder: Path, form: str) -> tuple[Path, str | None]:
    state = model.state_dict()
    model.config.save_pretrained(folder)
    config = str(folder / "config.json")
    if form == "folder":
        model.save_pretrained(folder)
        return folder, None
    if form == "checkpoint":
        averaged = {f"ema.{k}": v for k, v in state.items()}
        others = {f"model.{k}": torch.zeros_like(v) for k, v in state.items()}
        save({**averaged, **others, "step": 7}, checkpoint_id=folder, no_dist=True)
        mark(Files(str(folder)), {"step": 7})
        return folder, None
    path = folder / f"weights.{form}"
    save_file(state, path) if form == "safetensors" else torch.save(state, path)
    return path, config


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("form", ["folder", "pt", "safetensors", "checkpoint"])
def test_every_form(model: SigLinoModel, tmp_path: Path, form: str) -> None:
    path, like = saved(model, tmp_path, form)
    found = load_student(str(path), like)
    assert not found.training
    assert found.spec == TINY
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in found.state_dict().items())


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("form", ["folder", "pt", "checkpoint"])
def test_every_form_at_a_url(model: SigLinoModel, tmp_path: Path, form: str) -> None:
    path, like = saved(model, tmp_path, form)
    away = f"memory://{tmp_path.name}/{form}"
    fsspec.filesystem("memory").put(str(tmp_path), away, recursive=True)
    url = away if path == tmp_path else f"{away}/{path.name}"
    found = load_student(url, like)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in found.state_dict().items())
    assert identity(url) == identity(str(path))
    with pytest.raises(ConfigError, match="there is nothing there"):
        load_student(f"{url}-other", like)


def test_identity_is_of_the_weights_and_not_of_their_place(model: SigLinoModel, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        model.save_pretrained(tmp_path / name)
    (tmp_path / "b" / "README.md").write_text("a card")
    first = bytearray((tmp_path / "c" / "model.safetensors").read_bytes())
    first[-1] ^= 1
    (tmp_path / "c" / "model.safetensors").write_bytes(first)
    a, b, c = (identity(str(tmp_path / name)) for name in ("a", "b", "c"))
    assert a == b != c
    sums = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "b").iterdir()}
    assert recorded_identity(sums) == b


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_checkpoint_without_average(model: SigLinoModel, tmp_path: Path) -> None:
    model.config.save_pretrained(tmp_path)
    save({f"model.{k}": v for k, v in model.state_dict().items()}, checkpoint_id=tmp_path, no_dist=True)
    mark(Files(str(tmp_path)), {"step": 7})
    assert torch.equal(load_student(str(tmp_path)).cls_token, model.cls_token)


def test_a_flat_file_is_told_by_its_shapes(tmp_path: Path) -> None:
    model = SigLinoModel(SigLinoHFConfig.of(PRESETS["siglino-nano"]))
    torch.save(model.state_dict(), tmp_path / "nano.pt")
    assert load_student(str(tmp_path / "nano.pt")).spec == PRESETS["siglino-nano"]
    assert load_student(str(tmp_path / "nano.pt"), "siglino-nano").spec == PRESETS["siglino-nano"]


class Harm:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return exec, ("harm",)


def no_flat(folder: Path) -> tuple[str, str | None]:
    torch.save({"model": {"a": torch.zeros(1)}}, folder / "x.pt")
    return str(folder / "x.pt"), None


def no_tensors(folder: Path) -> tuple[str, str | None]:
    (folder / "x.pt").write_bytes(pickle.dumps(Harm()))
    return str(folder / "x.pt"), None


def a_picture(folder: Path) -> tuple[str, str | None]:
    (folder / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return str(folder / "x.png"), None


def truncated(folder: Path) -> tuple[str, str | None]:
    (folder / "x.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    return str(folder / "x.safetensors"), None


def no_index(folder: Path) -> tuple[str, str | None]:
    SigLinoHFConfig.of(TINY).save_pretrained(folder)
    (folder / ".metadata").write_bytes(pickle.dumps(Harm()))
    mark(Files(str(folder)), {"step": 7})
    return str(folder), None


def of_no_name(folder: Path) -> tuple[str, str | None]:
    torch.save({"a": torch.zeros(1)}, folder / "x.pt")
    return str(folder / "x.pt"), None


def of_another_name(folder: Path) -> tuple[str, str | None]:
    return of_no_name(folder)[0], "siglino-nano"


def of_a_name_that_is_none(folder: Path) -> tuple[str, str | None]:
    return of_no_name(folder)[0], "siglino-huge"


def of_another_kind(folder: Path) -> tuple[str, str | None]:
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return of_no_name(folder)[0], str(folder / "config.json")


def empty(folder: Path) -> tuple[str, str | None]:
    return str(folder), None


def nowhere(folder: Path) -> tuple[str, str | None]:
    return str(folder / "none"), None


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (no_flat, DataError, "not a flat state dict"),
        (no_tensors, DataError, "neither a .safetensors file nor one that torch.save wrote"),
        (a_picture, DataError, "neither a .safetensors file nor one that torch.save wrote"),
        (truncated, DataError, "no readable weights"),
        (no_index, DataError, "is not the index of a checkpoint .it names builtins.exec"),
        (of_no_name, ConfigError, "no named configuration. Say which it is: --like NAME"),
        (of_another_name, DataError, "the weights don't fit the config"),
        (of_a_name_that_is_none, ConfigError, "--like siglino-huge: neither a file nor one of siglino-moe-0.3b"),
        (of_another_kind, DataError, "this is a bert, not a siglino"),
        (empty, ConfigError, "config.json is missing"),
        (nowhere, ConfigError, "there is nothing there"),
    ],
)
def test_refusals(
    make: Callable[[Path], tuple[str, str | None]],
    kind: type[SiglinoError],
    says: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source, like = make(tmp_path)
    with pytest.raises(kind, match=says):
        load_student(source, like)
    assert "harm" not in capfd.readouterr().out


def test_a_checkpoint_on_a_store_that_is_away_is_no_damaged_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    before = be_patient(Patience(stranger=0))
    try:
        with pytest.raises(UnreachableStoreError, match=r"^s3://bucket/step\S*: the store .* cannot be reached"):
            weights(Files("s3://bucket/step"))
    finally:
        be_patient(before)
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
@pytest.mark.parametrize("form", ["flat.pt", "flat.safetensors", "folder"])
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_real_numbers(model: SigLinoModel, tmp_path: Path, dtype: torch.dtype, form: str) -> None:
    model.save_pretrained(tmp_path)
    state = {k: v.to(dtype) if k.endswith("wq.weight") else v for k, v in model.state_dict().items()}
    path = tmp_path / (form if form != "folder" else "model.safetensors")
    torch.save(state, path) if form == "flat.pt" else save_file(state, path, metadata={"format": "pt"})
    source = tmp_path if form == "folder" else path
    with pytest.raises(DataError, match=r"layers\.0\.attention\.wq\.weight is of .*weights are real numbers"):
        load_student(str(source), None if form == "folder" else str(tmp_path / "config.json"))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_put_before_names_is_left_out(model: SigLinoModel, tmp_path: Path, wrapper: str) -> None:
    model.config.save_pretrained(tmp_path)
    torch.save({wrapper + k: v for k, v in model.state_dict().items()}, tmp_path / "flat.pt")
    loaded = load_student(str(tmp_path / "flat.pt"), str(tmp_path / "config.json"))
    assert torch.equal(loaded.cls_token, model.cls_token)
