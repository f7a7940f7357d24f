"""The command `siglino export`: from a file of weights to a folder, and its errors."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from flows.cli import main
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.weights.load import load_student
from tests.siglino_core.models.tiny import DENSE, filled


def test_a_flat_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = filled(SigLinoModel(SigLinoHFConfig.of(DENSE)))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    SigLinoHFConfig.of(DENSE).save_pretrained(tmp_path)
    out = str(tmp_path / "out")
    words = ["export", str(tmp_path / "weights.pt"), "--out", out, "--like", str(tmp_path / "config.json")]
    assert main([*words, "--program", "2x3"]) == 0
    assert f"in {out}; its README.md says how to load them." in capsys.readouterr().out
    assert (tmp_path / "out" / "encoder-2x3.pt2").stat().st_size > 1000
    assert torch.equal(load_student(out).cls_token, model.cls_token)  # type: ignore[arg-type]
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err


def test_what_the_card_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = filled(SigLinoModel(SigLinoHFConfig.of(DENSE)))
    assert isinstance(model, SigLinoModel)
    model.save_pretrained(tmp_path / "from")
    words = ["export", str(tmp_path / "from"), "--out", str(tmp_path / "out")]
    assert main([*words, "--license", "My Own"]) == 2
    assert "license=My Own: an id of the Hub's such as apache-2.0" in capsys.readouterr().err
    assert (
        main([*words, "--license", "my-own", "--license-link", "LICENSE", "--dataset", "a/b", "--dataset", "c/d"]) == 0
    )
    data = ModelCard.load(tmp_path / "out/README.md").data
    assert (data.license, data.license_name, data.license_link) == ("other", "my-own", "LICENSE")
    assert (data.datasets, data.base_model) == (["a/b", "c/d"], None)


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    assert main(["export", str(tmp_path / "broken.pt"), "--out", str(tmp_path / "out")]) == 1
    assert main(["export", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "DataError" in said
    assert "there is nothing there" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
