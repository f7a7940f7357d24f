"""A local Ray for tests: three CPUs, whose processes bear a mark by which they are found and ended."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipelines.support.runtime import start_ray
from siglino_core.config import RuntimeConfig
from tests.e2e.tiny import MARK, kill_marked


@contextmanager
def marked_ray() -> Iterator[str]:
    """Start it; yields the mark."""
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        module = start_ray(RuntimeConfig(cpus=3, device="cpu"))
    yield mark
    module.shutdown()
    kill_marked(mark)
