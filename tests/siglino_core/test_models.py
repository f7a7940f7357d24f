"""The student's package: what decodes images imports it, and must not wait for torch."""

import subprocess
import sys

import pytest

from siglino_core import models


def test_decoding_images_imports_no_torch() -> None:
    code = "import sys, siglino_core.images.decode, siglino_core.models.resolution; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_name_is_there() -> None:
    assert all(hasattr(models, name) for name in models.__all__)
    with pytest.raises(AttributeError, match=r"module 'siglino_core\.models' has no attribute 'Sig'"):
        _ = models.Sig  # type: ignore[attr-defined]
