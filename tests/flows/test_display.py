"""Progress: one line a stage when it ends, without a terminal; lines that move, with one."""

import io
import re

from rich.console import Console

from flows.display import Display


def shown(terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    with Display(["source", "embed"], console) as display:
        display("source", 0, 4, "reading [bold]pool[/] at x")
        display("source", 2, 4, "half")
        display("source", 1, 1, "Computed\t12 rows in 4 shards")
        display("embed", 1, 1, "Reused\t12 rows in 4 shards")
    return out.getvalue()


def test_without_a_terminal_a_line_a_stage_and_no_escapes() -> None:
    lines = shown(False).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"source   Computed  12 rows in 4 shards  \(\d+\.\d s\)", lines[0])
    assert re.fullmatch(r"embed    Reused    12 rows in 4 shards  \(\d+\.\d s\)", lines[1])


def test_on_a_terminal_the_last_picture_has_every_stage() -> None:
    text = shown(True)
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    last = plain[plain.rindex("source") :]
    assert "Computed" in last
    assert "Reused" in last
    assert "running" not in last


def test_a_stage_that_only_began_says_nothing_without_a_terminal() -> None:
    out = io.StringIO()
    with Display(["source"], Console(file=out, force_terminal=False)) as display:
        display("source", 0, 4, "begun")
    assert out.getvalue() == ""
