"""How the tests are dealt to two processes: a file stays together, and so do the runs that share fixtures."""

from pathlib import Path

import pytest

SHARED = "e2e"  # tests of this folder share one pool and one undisturbed run
APART = ("test_deployment",)  # but for those that start a server of their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = Path(item.path)
        together = path.parent.name == SHARED and path.stem not in APART
        item.add_marker(pytest.mark.xdist_group(SHARED if together else str(path)))
