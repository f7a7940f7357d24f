"""An export as strangers load it, without this package: from a folder and from the hub, by old releases and new.

The oldest release that is promised is fetched by pip; the newest is the one that is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from siglino_core.models import SigLinoConfig
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.weights.export import export
from siglino_core.weights.load import load_processor
from tests.siglino_core.models.tiny import DENSE, TINY, filled

OLDEST = ["transformers==4.57.1", "huggingface_hub==0.36.2", "tokenizers==0.22.2"]
REVISION = "0123456789abcdef0123456789abcdef01234567"
STRANGER = """
import sys
sys.modules["siglino_core"] = None  # not to be imported: this reader hasn't it
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoBackbone, AutoImageProcessor, AutoModel, pipeline

source, picture, out = sys.argv[1:]
processor = AutoImageProcessor.from_pretrained(source, trust_remote_code=True)
model = AutoModel.from_pretrained(source, trust_remote_code=True)
with torch.no_grad():
    found = model(**processor(images=Image.open(picture), return_tensors="pt"))
made = pipeline("image-feature-extraction", model=source, image_processor=source, trust_remote_code=True)
pooled = torch.tensor(made(picture, pool=True))
if transformers.__version__.startswith("4."):  # 5.24 takes no local folder, of any model
    backbone = AutoBackbone.from_pretrained(source, trust_remote_code=True, out_indices=[1, 2])
    assert [m.shape[1] for m in backbone(torch.zeros(1, 3, 32, 48)).feature_maps] == backbone.channels
half = AutoModel.from_pretrained(source, trust_remote_code=True, dtype=torch.bfloat16)
assert half.cls_token.dtype == torch.bfloat16 and half.freqs_cis_golden.dtype == torch.float32
model.save_pretrained(out + "-again")
processor.save_pretrained(out + "-again")
again = AutoModel.from_pretrained(out + "-again", trust_remote_code=True)
assert torch.equal(again.cls_token, model.cls_token)
save_file({"pooled": pooled, **{k: v.contiguous() for k, v in found.patch_features.items()}}, out)
print(transformers.__version__)
"""


def exported(into: Path, config: SigLinoConfig) -> tuple[Path, SigLinoModel]:
    model = filled(SigLinoModel(SigLinoHFConfig.of(config))).eval()
    assert isinstance(model, SigLinoModel)
    export(model, str(into / "student"), source="drawn")
    return into / "student", model


def as_cached(folder: Path, home: Path) -> str:
    """The folder as the hub's cache has one; returns its hub id."""
    cached = home / "hub" / "models--someone--student"
    shutil.copytree(folder, cached / "snapshots" / REVISION)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(REVISION)
    return "someone/student"


def read(source: str, tmp_path: Path, python_path: str = "") -> tuple[str, dict[str, torch.Tensor]]:
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, source, str(tmp_path / "picture.png"), str(tmp_path / "found.safetensors")],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1], load_file(tmp_path / "found.safetensors")


def check(tmp_path: Path, folder: Path, model: SigLinoModel, python_path: str = "") -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    with torch.no_grad():
        wanted = model(**load_processor(str(folder), model)(tmp_path / "picture.png"))
    sources = [str(folder), as_cached(folder, tmp_path / "home")]
    for source in sources:
        version, found = read(source, tmp_path, python_path)
        torch.testing.assert_close(found.pop("pooled").flatten(), wanted.pooler_output[0], atol=1e-5, rtol=0)
        for name, x in found.items():
            torch.testing.assert_close(x, wanted.patch_features[name], atol=1e-5, rtol=0)
    return version


@pytest.mark.slow
@pytest.mark.parametrize("config", [TINY, DENSE], ids=["mixture", "dense"])
def test_with_the_release_that_is_here(tmp_path: Path, config: SigLinoConfig) -> None:
    folder, model = exported(tmp_path, config)
    check(tmp_path, folder, model)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("config", [TINY, DENSE], ids=["mixture", "dense"])
def test_with_the_oldest_release_that_is_promised(
    tmp_path: Path, config: SigLinoConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packages = tmp_path_factory.getbasetemp() / "oldest"
    if not packages.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(packages), *OLDEST]
        if subprocess.run(pip).returncode:
            pytest.skip("pip cannot fetch the oldest release here")
    folder, model = exported(tmp_path, config)
    assert check(tmp_path, folder, model, str(packages)) == "4.57.1"


@pytest.mark.slow
def test_another_release_is_a_sentence(tmp_path: Path) -> None:
    folder, _ = exported(tmp_path, DENSE)
    code = folder / "configuration_siglino.py"  # as if the releases that it knows were others: none of those is here
    code.write_text(code.read_text().replace("TRANSFORMERS = (4, 57), (6, 0)", "TRANSFORMERS = (1, 0), (2, 0)"))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), "x", "y"],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert re.search(r"load with transformers 4\.57 to 5\.x; here is [\d.]+\. pip install", done.stderr), done.stderr
