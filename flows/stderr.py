"""Warnings of ours (loggers below `siglino`) as plain lines on stderr."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _OnStderr(logging.Handler):
    """Writes to what stderr is at that time: a moving display stands before it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr, flush=True)


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """Within, warnings are shown, once: not by handlers of Prefect's or Ray's, too."""
    log, handler = logging.getLogger("siglino"), _OnStderr(logging.WARNING)
    above, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = above
