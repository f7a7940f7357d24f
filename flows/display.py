"""One calm progress display: a line a stage, moving on a terminal; elsewhere a line a minute, and one at each end."""

import threading
import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from siglino_core.errors import WARNING
from siglino_core.foreign import printable

EVERY = 60.0  # seconds between two lines of what is under way, where nothing moves


@dataclass
class _Line:
    """What is known of a stage.

    Attributes:
        state: empty until it is done.
        since: when it began; None: it has not.
        first: when the units began that are counted, and how many were done by then: of an earlier run.
    """

    done: int = 0
    total: int = 0
    note: str = ""
    state: str = ""
    since: float | None = None
    first: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0


class Display:
    """A :class:`pipelines.support.runtime.Progress`; use as a context manager around the work.

    Args:
        every: seconds between two lines, off a terminal.
    """

    def __init__(self, stages: list[str], console: Console, every: float = EVERY) -> None:
        self.console, self._every = console, every
        self._lines = {stage: _Line() for stage in stages}
        self._live = Live(self._table(), console=self.console, refresh_per_second=4, transient=False)
        self._moving = self.console.is_terminal
        self._over = threading.Event()
        self._teller = threading.Thread(target=self._tell, daemon=True, name="progress")

    def __enter__(self) -> "Display":
        if self._moving:
            self._live.start()
        else:
            self._teller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._moving:
            self._live.update(self._table(), refresh=True)
            self._live.stop()
        else:
            self._over.set()
            self._teller.join(1.0)

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        line = self._lines[stage]
        now = time.monotonic()
        if line.since is None:
            line.since, line.first = now, (now, done)
        if note.startswith(WARNING):
            self._print(f"{stage:<8} warning   {printable(note.removeprefix(WARNING))}")
            return
        line.state, line.note = (printable(part) for part in note.rpartition("\t")[::2])
        if done < line.done:  # begun again from there
            line.first = now, done
        line.done, line.total = done, total
        if line.state:
            line.seconds = now - line.since
            if not self._moving:
                self._print(f"{stage:<8} {line.state:<9} {line.note}  ({line.seconds:.1f} s)")
        elif self._moving:
            self._live.update(self._table())

    def _print(self, text: str) -> None:
        self.console.print(Text(text), highlight=False, soft_wrap=True)

    def _tell(self) -> None:
        """Off a terminal: every so often a line of what is under way, also while no unit of it ends."""
        while not self._over.wait(self._every):
            for stage, line in list(self._lines.items()):
                if line.since is not None and not line.state:
                    words = [word for word in (_share(line), _left(line), line.note) if word]
                    self._print(f"{stage:<8} running   {', '.join(words)}")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for stage, line in self._lines.items():
            if line.state:
                mark, progress, seconds = Text(line.state, "green"), "", f"{line.seconds:.1f} s"
            elif line.since is not None:
                progress = ", ".join(word for word in (_share(line), _left(line)) if word)
                mark, seconds = Text("running", "yellow"), f"{time.monotonic() - line.since:.0f} s"
            else:
                mark, progress, seconds = Text(), "", ""
            table.add_row(f"  {stage}", mark, progress, Text(line.note), Text(seconds, "dim"))
        return table


def _share(line: _Line) -> str:
    return f"{line.done:,}/{line.total:,}" if line.total else ""


def _left(line: _Line) -> str:
    """How long the rest takes if it goes on as it did; empty: nobody knows yet."""
    began, before = line.first
    units = line.done - before
    if units <= 0 or line.done >= line.total:
        return ""
    seconds = (time.monotonic() - began) / units * (line.total - line.done)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit} left"
    return f"about {max(1, round(seconds))} s left"
