"""One pool, one encoder and one undisturbed run for all whole-run tests."""

from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, write_encoder, write_pool


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "home").mkdir()
    return Tiny(pool=write_pool(folder / "pool"), encoder=write_encoder(folder / "encoder"), home=folder / "home")


@pytest.fixture(scope="session")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by one process that nothing went wrong with; those that are held against it go through Ray, too."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    tiny.run(run)
    return run
