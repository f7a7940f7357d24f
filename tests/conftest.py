"""How the tests are dealt to processes: a file stays together, and so do the runs that share fixtures."""

import os
import sys
from typing import Any

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("any machine", parent=settings(), deadline=None)
settings.load_profile("any machine")

# One thread a process, and in those that a test starts: the test processes are the parallelism, and threads that wait
# for one another on busy cores take a multiple of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = "tests/e2e/"  # tests of this folder share one pool and one undisturbed run
APART = (
    "tests/e2e/test_deployment.py",
    "tests/e2e/test_train_kills.py",
    "tests/e2e/test_train_store.py",
)  # but for those that share none of it
LONGEST = ("tests/e2e/", "tests/test_readme.py")  # dealt first, so that none of them is what all wait for


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    """Torch's own generator is as new for every test, whichever ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """A stage that failed in a test still holds its lease, whose folder is about to be removed under it."""
    if lease := sys.modules.get("siglino_core.store.lease"):
        lease.release_mine()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of `--dist loadscope`, with scopes of ours. (Marks of `loadgroup` go unheeded with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return SHARED if path.startswith(SHARED) and path not in APART else path

    config.option.loadscopereorder = False  # by number of tests; ours is by time
    return ByFixtures(config, log)
