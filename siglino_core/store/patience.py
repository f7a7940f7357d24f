"""How long a store is waited for, and what is said meanwhile."""

import logging
import threading
import time
from dataclasses import dataclass

NOTICE = 20.0  # seconds that a request may take before somebody is told
AGAIN = 60.0  # seconds until it is told again
LOG = logging.getLogger("siglino.store")


class UnansweredError(OSError):
    """A store's client has asked long enough; `siglino_core.store.files.reported` says it to the user."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how many seconds after a request began it is begun anew when it meets a fault that may pass.

    Attributes:
        known: of a store that has answered this process before.
        stranger: of one that has not: its address may be wrong.
    """

    known: float = 60.0
    stranger: float = 15.0


_patience = Patience()
_lock = threading.Lock()
_told: dict[str, float] = {}  # when, by store


def patience() -> Patience:
    """This process's."""
    return _patience


def be_patient(now: Patience) -> Patience:
    """Change this process's patience, in all its threads; returns what it was before."""
    global _patience
    before, _patience = _patience, now
    return before


def tell(url: str, why: str) -> None:
    """Warn that a store is waited for: once every :data:`AGAIN` seconds a process and store.

    Args:
        url: of anything in the store.
    """
    scheme, _, rest = url.partition("://")
    store = f"{scheme}://{rest.partition('/')[0]}" if rest else url
    now = time.monotonic()
    with _lock:
        if store in _told and now - _told[store] < AGAIN:
            return
        _told[store] = now
    LOG.warning("waiting for the store %s: %s", store, why)
