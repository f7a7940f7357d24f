"""A clustered run for each test of the sample's modules."""

from pathlib import Path

import pytest

from siglino_core.store import Run
from tests.pipelines.sampling import clustered
from tests.stages import config


@pytest.fixture(autouse=True)
def _no_waiting(no_waiting_for_the_disk: None) -> None:
    """Applies to every test here."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return clustered(tmp_path / "run", config())
