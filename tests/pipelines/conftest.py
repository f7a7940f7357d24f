"""A curated run of the tests' own, and teachers for it: made once a file, copied for each test."""

import os
import shutil
from pathlib import Path

import pytest

from siglino_core.store import Run
from tests.pipelines.curated import curated, teachers


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curated")
    curated(folder)
    return folder


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return teachers(tmp_path_factory.mktemp("teachers"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    shutil.copytree(made / "run" / "sample", tmp_path / "run" / "sample")
    return Run(str(tmp_path / "run"))
