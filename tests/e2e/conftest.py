"""One pool, one encoder and one undisturbed run for all whole-run tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tiny import Tiny, write_encoder, write_pool
from tests.prefect_server import prefect_server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "home").mkdir()
    pool, encoder = write_pool(folder / "pool"), write_encoder(folder / "encoder")
    with prefect_server(folder / "server") as server:
        yield Tiny(pool=pool, encoder=encoder, home=folder / "home", api=server.url)


@pytest.fixture(scope="session")
def undisturbed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through Ray on two CPUs that nothing went wrong with."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    tiny.run(run, runner="ray")
    return run
