"""An export that does not load, or loads as another model, is no export."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from siglino_core.errors import DataError
from siglino_core.models import PRESETS
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights.export import export
from siglino_core.weights.load import load_student
from siglino_core.weights.reload import require_same
from tests.siglino_core.models.tiny import DENSE, TINY, filled


@pytest.fixture
def model() -> SigLinoModel:
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY))).eval()
    assert isinstance(model, SigLinoModel)
    return model


@pytest.fixture
def folder(model: SigLinoModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "out")
    SigLinoImageProcessor().save_pretrained(tmp_path / "out")
    return tmp_path / "out"


def test_as_written(model: SigLinoModel, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    require_same(folder, model)
    assert sorted(folder.rglob("*")) == before  # no bytecode beside the files


def test_other_weights(model: SigLinoModel, folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["layers.1.attention.wo.weight"] *= 1.01
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="the exported folder has other features of siglino: they differ by"):
        require_same(folder, model)


def test_code_that_does_not_run(model: SigLinoModel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = folder / "modeling_siglino.py"
    code.write_text(code.read_text().replace("F.silu", "F.sillu"))
    with pytest.raises(DataError, match="the exported folder does not load: AttributeError"):
        require_same(folder, model)


def test_weights_that_are_not_finite(model: SigLinoModel, folder: Path) -> None:
    with torch.no_grad():
        model.cls_token[0, 0, 0] = float("nan")
    with pytest.raises(DataError, match="its weights hold NaN or infinity"):
        require_same(folder, model)


def test_saving_anew_takes_false_sums_away(model: SigLinoModel, tmp_path: Path) -> None:
    export(model, str(tmp_path / "out"), source="x")
    with torch.no_grad():
        model.cls_token += 1
    model.save_pretrained(tmp_path / "out")
    assert torch.equal(load_student(str(tmp_path / "out")).cls_token, model.cls_token)


def test_an_export_that_fails_leaves_nothing(
    model: SigLinoModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise DataError("the exported folder does not load")

    monkeypatch.setattr("siglino_core.weights.export.require_same", refuse)
    with pytest.raises(DataError, match="does not load"):
        export(model, str(tmp_path / "out"), source="x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["flat.pt", "flat.safetensors", "folder"])
@torch.no_grad()
def test_published_layouts_in_any_precision(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    # Routers that are drawn choose otherwise in half precision, so that a mixture's features tell nothing there.
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY if dtype == torch.float32 else DENSE))).eval()
    assert isinstance(model, SigLinoModel)
    model.save_pretrained(tmp_path / "given")
    state = {k: v.to(dtype) for k, v in model.state_dict().items()}
    given = tmp_path / "given"
    like = str(given / "config.json")
    if kind == "flat.pt":
        torch.save(state, tmp_path / kind)
    else:
        save_file(state, tmp_path / "flat.safetensors", metadata={"format": "pt"})
    if kind == "folder":
        (tmp_path / "flat.safetensors").rename(given / "model.safetensors")
        loaded = load_student(str(given))
    else:
        loaded = load_student(str(tmp_path / kind), like)
    export(loaded, str(tmp_path / "out"), source="x", max_pixels=128**2)
    again = load_student(str(tmp_path / "out"))
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    wanted, found = model(images).summary_features, again(images).summary_features
    assert torch.equal(again.freqs_cis_golden, again.golden())
    for name, x in wanted.items():
        error = (x - found[name]).norm() / x.norm()
        assert error <= {torch.float32: 1e-6, torch.bfloat16: 0.05, torch.float16: 0.01}[dtype], name


@pytest.mark.slow
@torch.no_grad()
def test_a_published_shape_in_bf16_is_known_by_its_shapes(tmp_path: Path) -> None:
    model = filled(SigLinoModel(SigLinoHFConfig.of(PRESETS["siglino-30m"]))).eval()
    torch.save({k: v.bfloat16() for k, v in model.state_dict().items()}, tmp_path / "flat.pt")
    loaded = load_student(str(tmp_path / "flat.pt"))
    export(loaded, str(tmp_path / "out"), source="x")
    images = torch.rand(1, 3, 64, 48) * 2 - 1
    wanted, found = model(images).pooler_output, load_student(str(tmp_path / "out"))(images).pooler_output
    assert (wanted - found).norm() / wanted.norm() < 0.05
