"""Progress: a line a minute, and one when a stage ends; on a terminal lines that move; warnings on both."""

import io
import re
import threading

import pytest
from rich.console import Console

from flows import display as module
from flows.display import Display
from siglino_core.errors import WARNING


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


class Heard(io.StringIO):
    """A file that says when lines have come."""

    def __init__(self) -> None:
        super().__init__()
        self.come = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("\n") >= 2:
            self.come.set()
        return written


def test_without_a_terminal_a_line_every_so_often_also_while_no_unit_ends() -> None:
    out = Heard()
    with Display(["source", "embed"], Console(file=out, force_terminal=False, width=100), every=0.01) as display:
        display("source", 1, 1, "Reused\t12 rows in 4 shards")
        display("embed", 1_000, 4_000, "CPU")
        assert out.come.wait(30)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("source   Reused ")
    assert set(lines[1:]) == {"embed    running   1,000/4,000, CPU"}, "what an earlier run did says nothing of the pace"
    out.come.clear()
    assert not out.come.wait(0.1), "it tells nothing after the end"


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(0.1, "about 1 s left"), (30.0, "about 60 s left"), (50.0, "about 2 min left"), (3_600.0, "about 2 h left")],
)
def test_the_rest_takes_as_long_as_its_share_did(seconds: float, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    display = Display(["embed"], Console(file=io.StringIO()))
    line = display._lines["embed"]
    display("embed", 4, 10)
    assert module._left(line) == ""
    now[0] += seconds
    display("embed", 6, 10)
    assert module._left(line) == left
    display("embed", 10, 10)
    assert module._left(line) == ""


def test_begun_again_it_forgets_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    display = Display(["train"], Console(file=io.StringIO()))
    for at, done in ((0.0, 0), (10.0, 50), (20.0, 20), (30.0, 30)):
        now[0] = at
        display("train", done, 100)
    assert module._left(display._lines["train"]) == "about 70 s left"
    now[0] = 40.0
    display("train", 1, 1, "Computed\tall")
    assert display._lines["train"].seconds == 40.0, "the stage began where it began"


@pytest.mark.parametrize("terminal", [False, True])
def test_warnings_are_lines_that_stay(terminal: bool) -> None:
    out = io.StringIO()
    with Display(["train"], Console(file=out, force_terminal=terminal, width=100)) as display:
        display("train", 3, 8, "loss 2.0")
        display("train", 4, 8, f"{WARNING}step 4: the loss is not finite (1 in a row), step left out")
        display("train", 5, 8, "loss 1.9")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    lines = [line.rstrip() for line in plain.splitlines()]
    assert "train    warning   step 4: the loss is not finite (1 in a row), step left out" in lines
    assert any("loss 1.9" in line for line in lines) == terminal
