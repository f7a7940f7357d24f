"""Keeps one harmless line of Ray's C++ core out of the terminal, and lets everything else through."""

import contextlib
import os
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def without(*patterns: bytes) -> Iterator[None]:
    """Within, lines written to this process's stderr, by whatever code, are dropped if they hold a pattern."""
    original = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    ours = os.fstat(2)

    def pump() -> None:
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                if not any(p in line for p in patterns):
                    os.write(original, line)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if os.path.samestat(os.fstat(2), ours):  # else it was led elsewhere meanwhile, and stays there
            os.dup2(original, 2)  # the pipe's last writer goes, so the thread ends
        thread.join(timeout=5)
        os.close(original)
