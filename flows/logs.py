"""What a flow run says where nobody watches a terminal: little, and no traceback for an error of the user's."""

import logging
import time

from prefect import get_run_logger

from siglino_core.config.credentials import redacted
from siglino_core.errors import WARNING, SiglinoError
from siglino_core.foreign import printable

EVERY = 60.0  # seconds between two lines of progress


class ProgressLog:
    """A :class:`pipelines.support.runtime.Progress`: a line a minute, so that short stages say nothing; warnings."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith(WARNING):
            get_run_logger().warning("%s: %s", stage, printable(note.removeprefix(WARNING)))
        elif time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            get_run_logger().info("%s: %s of %s, %s", stage, f"{done:,}", f"{total:,}", printable(note))


def without_tracebacks(record: logging.LogRecord) -> bool:
    """A logging filter: an error that tells the user what to mend is shown as that alone; no message holds a secret."""
    lines = redacted(record.getMessage()).split("\n")
    record.msg, record.args = "\n".join(map(printable, lines)), ()
    if record.exc_info and isinstance(record.exc_info[1], SiglinoError):
        record.exc_info = record.exc_text = None
    return True


def calm() -> None:
    """Keep tracebacks of the user's errors out of this process's flow and task runs; safe to repeat."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(without_tracebacks)
