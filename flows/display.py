"""One calm progress display: a line a stage, moving on a terminal, printed once elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from siglino_core.foreign import printable


class Display:
    """A :class:`pipelines.support.runtime.Progress`; use as a context manager around the work."""

    def __init__(self, stages: list[str], console: Console) -> None:
        self.console = console
        self._lines: dict[str, dict[str, Any]] = {s: {"done": 0, "total": 0, "note": "", "state": ""} for s in stages}
        self._live = Live(self._table(), console=self.console, refresh_per_second=4, transient=False)
        self._moving = self.console.is_terminal

    def __enter__(self) -> "Display":
        if self._moving:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._moving:
            self._live.update(self._table(), refresh=True)
            self._live.stop()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        line = self._lines[stage]
        line.setdefault("since", time.monotonic())
        state, _, text = note.rpartition("\t")
        state, text = printable(state), printable(text)
        line |= {"done": done, "total": total, "note": text, "state": state}
        if state:
            line["seconds"] = time.monotonic() - line["since"]
            if not self._moving:
                text = Text(f"{stage:<8} {state:<9} {text}  ({line['seconds']:.1f} s)")
                self.console.print(text, highlight=False)
        elif self._moving:
            self._live.update(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for stage, line in self._lines.items():
            if line["state"]:
                mark, progress, seconds = Text(line["state"], "green"), "", f"{line['seconds']:.1f} s"
            elif "since" in line:
                share = f"{line['done']}/{line['total']}" if line["total"] else ""
                mark, progress, seconds = Text("running", "yellow"), share, f"{time.monotonic() - line['since']:.0f} s"
            else:
                mark, progress, seconds = Text(), "", ""
            table.add_row(f"  {stage}", mark, progress, Text(line["note"]), Text(seconds, "dim"))
        return table
