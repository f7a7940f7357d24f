"""Other people's text: nothing that a terminal obeys, one line, copied as it was by a shell and by DuckDB."""

import ast
import logging
import os
import pickle
import re
import subprocess
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings

from siglino_core.errors import ConfigError, SiglinoError
from siglino_core.foreign import logger, printable, shown, sql_files, word
from tests.hostile import ALL, FOLDER, texts

ROOT = Path(__file__).resolve().parents[2]
OBEYED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # categories of Unicode: none of these is drawn


@given(texts())
def test_one_line_of_what_is_drawn(text: str) -> None:
    line = printable(text)
    assert not {unicodedata.category(c) for c in line} & OBEYED
    assert printable(line) == line, "twice is once"
    line.encode("utf-8")
    if text.isprintable():
        assert line == text


def test_escapes_say_what_they_were() -> None:
    assert printable("a\x1b[31m\nb\u202e\ud800\x9b\u200d é日本") == r"a\x1b[31m\nb\u202e\ud800\x9b\u200d é日本"


def test_the_middle_of_what_is_long_is_left_out() -> None:
    line = printable("a" * 3000 + "b" * 3000)
    assert len(line) < 2100
    assert line.startswith("aaa")
    assert line.endswith("bbb")
    assert len(printable("\x00" * 10**6)) < 10_000


@given(texts())
def test_a_page_keeps_what_scripts_are_made_with(text: str) -> None:
    kept = shown(text)
    kept.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", kept)
    assert shown("👩‍👩‍👧 می‌خواهم\n\tא") == "👩‍👩‍👧 می‌خواهم\n\tא"


@settings(max_examples=40)
@given(texts())
@example("\x1b\x9bé\udcff'\\")
def test_a_shell_takes_a_word_as_it_was(text: str) -> None:
    text = text.replace("\0", "").encode("utf-8", "ignore").decode()
    command = word(text)
    assert printable(command, len(command) + 1) == command, "it can be copied from a terminal"
    out = subprocess.run(["bash", "-c", f"printf %s {command}"], capture_output=True, check=True).stdout
    assert out == os.fsencode(f"./{text}" if text.startswith("-") else text)


def test_bytes_that_are_no_text_are_a_word_too() -> None:
    assert word("a\udcff") == "$'a\\xff'"


@pytest.mark.parametrize("name", ["a[1]*?'b", "**", "'; DROP TABLE x; --", "a]b[c", "{x,y}", "-x"])
def test_duckdb_reads_the_folder_that_was_meant(name: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    for folder, value in ((name, 1), ("a1xx'b", 2)):  # the second matches the first's name as a pattern
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"x": [value]}), tmp_path / folder / "part-0.parquet")
    found = duckdb.sql(f"SELECT x FROM {sql_files(str(tmp_path / name), 'part-*.parquet')}").fetchall()
    assert found == [(1,)]


@given(texts(), texts())
def test_an_error_has_the_lines_that_it_was_given(one: str, two: str) -> None:
    error = ConfigError(f"{one}:", f"  {two}")
    assert str(error).split("\n") == [printable(f"{one}:"), printable(f"  {two}")]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (ConfigError, str(error))


def test_a_logger_says_it_visibly(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "siglino.test"):
        logger("siglino.test").warning("%s: %d%%", "\x1b[31m\nforged", 5)
    assert [r.getMessage() for r in caplog.records] == [r"\x1b[31m\nforged: 5%"]


def test_no_error_of_ours_breaks_its_own_lines() -> None:
    """Lines are arguments: a line break inside one would be shown as what a name had in it."""
    names = {c.__name__ for c in (SiglinoError, *SiglinoError.__subclasses__())} | {"DamagedError"}
    found = []
    for path in (p for package in ("siglino_core", "pipelines", "flows") for p in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                found += [f"{path.name}:{n.lineno}" for n in texts if "\n" in n.value]
    assert not found


def test_the_folder_of_the_tests_is_hostile() -> None:
    assert len(os.fsencode(FOLDER)) <= 255
    assert {"/", "\0"}.isdisjoint(FOLDER)
    assert printable(FOLDER) != FOLDER
    assert len(ALL) > 40


def test_a_leading_dash_is_no_option() -> None:
    assert (word("-x"), word("a b")) == ("./-x", "'a b'")
