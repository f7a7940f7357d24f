"""Hugging Face's metadata files."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.config import SourceConfig
from siglino_core.pools.metadata import is_metadata, lines_of, row, spans
from siglino_core.pools.record import Found, Passed
from siglino_core.pools.sniff import open_pool, read
from tests.pools import write_files

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@given(st.lists(TEXT, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_a_span_holds_its_row_whatever_is_in_it(texts: list[str], end: str) -> None:
    rows = [{"file_name": f"{i}.png", "text": text, "label": str(i)} for i, text in enumerate(texts)]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, ["file_name", "text", "label"], lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    lines = "".join(json.dumps(r) + end for r in rows)
    for name, data in (("t/metadata.csv", table.getvalue().encode()), ("t/metadata.jsonl", lines.encode())):
        passed: Counter[str] = Counter()
        found = list(spans(name, lines_of(io.BytesIO(data)), {f"t/{i}.png" for i in range(6)}, passed))
        assert not passed
        assert [image for image, _, _ in found] == [f"t/{i}.png" for i in range(len(rows))]
        head = data.partition(b"\n")[0] + b"\n"
        assert [row(name, head, data[start : start + length]) for _, start, length in found] == rows


@pytest.mark.parametrize(
    ("name", "data", "not_read"),
    [
        (
            "metadata.jsonl",
            b'{"file_name": "a.png"}\nnot json\n[1]\n\n{"file_name": 3}\n{"text": "x"}\n'
            + b'{"a":' * 5000
            + b'\n{"file_name": "c.png"}\n{"text": "'
            + b"x" * (3 << 20)
            + b'"}\n{"file_name": "sub/../b.png"}',
            6,
        ),
        (
            "metadata.csv",
            b"text,file_name\nx,a.png\n\nonly a text\nx,c.png\n" + b"x" * 1_048_577 + b",d.png\nx,b.png\n",
            2,
        ),
    ],
)
def test_lines_that_are_no_rows_are_counted(name: str, data: bytes, not_read: int) -> None:
    passed: Counter[str] = Counter()
    found = spans(name, lines_of(io.BytesIO(data)), {"a.png", "b.png"}, passed)
    assert [image for image, _, _ in found] == ["a.png", "b.png"]
    assert passed == {"metadata_row_not_read": not_read, "text_without_image": 1}


def test_which_files_they_are() -> None:
    assert is_metadata("train/metadata.jsonl")
    assert is_metadata("Metadata.CSV")
    assert not is_metadata("my_metadata.csv")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_folder_with_metadata(tmp_path: Path, kind: str) -> None:
    rows = [{"file_name": f"{i}.png", "text": f"caption {i}, “quoted”", "label": "ab"[i % 2]} for i in range(5)]
    if kind == "csv":
        lines = "file_name,text,label\r\n" + "".join(f'{r["file_name"]},"{r["text"]}",{r["label"]}\r\n' for r in rows)
    else:
        lines = "\n".join(map(json.dumps, rows))
    write_files(tmp_path, {f"train/{i}.png": b"%d" % i for i in range(4)} | {"train/3.txt": b"beside"})
    write_files(tmp_path, {f"train/metadata.{kind}": lines.encode()})
    config = SourceConfig(uri=str(tmp_path), rows_per_shard=3)
    pool = open_pool(config)
    items = [i for shard in pool.plan(config) for i in read(pool.format, pool.location, shard, config)]
    assert [(i.data, i.caption, i.label) for i in items if isinstance(i, Found)] == [
        (b"0", "caption 0, “quoted”", "a"),
        (b"1", "caption 1, “quoted”", "b"),
        (b"2", "caption 2, “quoted”", "a"),
        (b"3", "beside", "b"),
    ]
    assert not pool.passed
    assert [(i.what, i.times) for i in items if isinstance(i, Passed)] == [("text_without_image", 1)]
