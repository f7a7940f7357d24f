"""CPU time of a process and all that it starts, by sampling /proc: Ray's daemons and workers included.

Of every process that was ever seen below the root the last reading of its own user and system time is kept, so that
what ended counts too, but for its last moments.
"""

import os
import threading
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
INTERVAL = 0.2  # seconds


class Tree:
    """Samples the descendants of ``root``, in a thread, until it is closed."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._seconds: dict[tuple[int, int], tuple[str, float]] = {}  # by id and start: its program, its CPU time
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def close(self) -> dict[str, float]:
        """CPU-seconds by program name, of all that was seen."""
        self._closed.set()
        self._thread.join()
        totals: dict[str, float] = {}
        for name, seconds in self._seconds.values():
            totals[name] = totals.get(name, 0.0) + seconds
        return totals

    def _sample(self) -> None:
        members = {self._root}
        while not self._closed.wait(INTERVAL):
            rows = _processes()
            parents = {pid: parent for pid, parent, *_ in rows}
            for pid in parents:
                chain, at = [], pid
                while at in parents and at not in members:
                    chain.append(at)
                    at = parents[at]
                if at in members:  # a process whose parent has ended stays: it was seen before
                    members.update(chain)
            for pid, _, start, seconds in rows:
                if pid in members:
                    known = self._seconds.get((pid, start), ("", 0.0))[0]
                    self._seconds[pid, start] = (_program(pid) or known, seconds)


def _processes() -> list[tuple[int, int, int, float]]:
    """Id, parent, start and CPU-seconds of every process."""
    rows = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            text = (path / "stat").read_text()
        except OSError:  # it has ended
            continue
        fields = text.rpartition(")")[2].split()
        rows.append((int(path.name), int(fields[1]), int(fields[19]), (int(fields[11]) + int(fields[12])) / TICKS))
    return rows


def _program(pid: int) -> str:
    """Its name: what it calls itself, or its file; nothing once it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""
    return words.split(" ")[0].rpartition("/")[2] if words.startswith("/") else words[:40]
