"""What commands print: whatever others wrote, a terminal gets our own styles and newlines, and nothing else to obey."""

import io
import logging
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from rich.console import Console
from rich.table import Table

from flows.cli import main
from flows.config import experiments, quoted
from flows.display import Display
from flows.inspect import _table
from flows.logs import without_tracebacks
from flows.screen import Screen, said, say
from flows.words import parse
from siglino_core.errors import StoreError
from tests.hostile import texts

STYLE = re.compile(r"\x1b\[[0-9;]*m")  # rich's own, where a style is asked for
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def on_terminal(console_class: type[Console] = Screen) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return console_class(file=out, force_terminal=True, width=200, color_system="standard"), out


@given(texts())
def test_whatever_is_printed(text: str) -> None:
    console, out = on_terminal()
    console.print(f"our words: {text}")
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text, style="red")
    console.print(table)
    assert not OBEYED.search(STYLE.sub("", out.getvalue()))


@given(texts())
def test_a_line_stays_one(text: str) -> None:
    console, out = on_terminal(Console)  # even on one that would obey
    say(console, f"a {text}", f"b {text}", style="dim")
    lines = STYLE.sub("", out.getvalue()).split("\n")
    assert [line[:2] for line in lines] == ["a ", "b ", ""]
    assert not OBEYED.search("".join(lines))


@given(texts())
def test_tables_of_inspect(text: str) -> None:
    console, out = on_terminal(Console)
    _table(console, text, ["reason", text], [[text, "1"], ["kept", text]])
    plain = STYLE.sub("", out.getvalue())
    assert not OBEYED.search(plain)
    assert sum("kept" in line for line in plain.splitlines()) >= 1


@given(texts())
def test_notes_of_the_display(text: str) -> None:
    text = text.replace("\t", " ")
    for terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=100)
        with Display(["source"], console) as display:
            display("source", 1, 2, text)
            display("source", 2, 2, f"Computed\t{text}")
        moved = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]|\r", "", out.getvalue())  # rich moves the cursor over its own lines
        assert not OBEYED.search(moved), terminal
        if "\x1b[2J" in text:
            assert "\x1b[2J" not in out.getvalue()


def test_an_error_hides_secrets_and_shows_what_it_quotes() -> None:
    error = StoreError("s3://a:hunter2@b/c\x1b[31m: x\nForged: y", "  second")
    assert said(error) == "StoreError: s3://***@b/c\\x1b[31m: x\\nForged: y\n  second"


@given(texts())
def test_hydra_takes_a_quoted_value_as_it_was(text: str) -> None:
    assume("${" not in text)  # refused as a value, however it is written
    assert parse([f"run={quoted(text)}"], experiments(), [])[0].value == text


@pytest.mark.parametrize(
    "words", [["plan", "x\x1b[31m=1"], ["inspect", "no\x1b]0;x\x07\nwhere"], ["inspect", "-\x1b[2J"]]
)
def test_what_was_typed(words: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"[12]"):
        raise SystemExit(main(words))
    out, err = capfd.readouterr()
    assert not OBEYED.search(STYLE.sub("", out) + err)
    assert "Traceback" not in err


def test_what_prefect_logs() -> None:
    record = logging.LogRecord("x", 20, "", 1, "run %s ended\nour line", ("https://u:hunter2@h/p\x1b[31m",), None)
    assert without_tracebacks(record)
    assert record.getMessage() == "run https://***@h/p\\x1b[31m ended\nour line"
