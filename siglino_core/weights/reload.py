"""Whether an exported folder loads, by its own code files, as the model that was written."""

import importlib
import importlib.util
import sys
import uuid
from pathlib import Path
from typing import Any

import torch

from siglino_core.errors import DataError
from siglino_core.models.flat import CONFIG, MODEL, PROCESSOR
from siglino_core.models.hf import SigLinoModel

ALLOWED = 1e-5  # of the features' largest value


def require_same(folder: Path, model: SigLinoModel) -> None:
    """Load what was written as a stranger would, and compare a picture's features.

    Raises:
        DataError: it does not load, or has other features.
    """
    torch.manual_seed(0)
    side = 4 * model.spec.patch_size
    images = (torch.rand(1, model.spec.channels, side, side) * 2 - 1).to(model.cls_token)
    with torch.no_grad():
        wanted: Any = model(images)
    if not all(x.isfinite().all() for x in wanted.patch_features.values()):
        raise DataError("the student's features are not finite: its weights hold NaN or infinity")
    try:
        with torch.no_grad():
            found = _by_its_own_code(folder, model)(images)
    except Exception as e:  # transformers', torch's and the code's own
        raise DataError(
            f"the exported folder does not load: {type(e).__name__}: {' '.join(str(e).split())[:300]}"
        ) from e
    for name, theirs in wanted.patch_features.items():
        difference = (theirs - found.patch_features[name]).abs().max() / theirs.abs().max().clamp(min=1e-9)
        if not difference <= ALLOWED:
            raise DataError(f"the exported folder has other features of {name}: they differ by {float(difference):.2g}")


def _by_its_own_code(folder: Path, model: SigLinoModel) -> Any:
    package = f"siglino_exported_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_loader(package, loader=None, is_package=True)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__path__ = [str(folder)]
    sys.modules[package] = module
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the folder is to hold what was written, and nothing else
    try:
        cls = importlib.import_module(f"{package}.{MODEL}").SigLinoModel
        return cls.from_pretrained(folder, dtype=model.cls_token.dtype, use_safetensors=True).eval()
    finally:
        sys.dont_write_bytecode = written
        for name in (package, *(f"{package}.{part}" for part in (CONFIG, MODEL, PROCESSOR, "grouped_triton"))):
            sys.modules.pop(name, None)
