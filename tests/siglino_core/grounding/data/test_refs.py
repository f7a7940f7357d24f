"""Pickles of references: what they hold, and that nothing in them runs."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data import refs as module
from siglino_core.grounding.data.refs import Ref, is_there, read_refs, refs_file, refs_there
from siglino_core.pools.location import find
from tests.refer import ref, write


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_references_in_the_files_order(tmp_path: Path, protocol: int) -> None:
    root, _ = write(tmp_path, [ref(8, 2, "val", "left cat"), ref(3, 1, "train", "a", "b  c")], protocol=protocol)
    assert read_refs(root, "refcoco", "unc") == [
        Ref(number=8, annotation=8, image=2, split="val", sentences=("left cat",)),
        Ref(number=3, annotation=3, image=1, split="train", sentences=("a", "b c")),
    ]


def test_the_clean_text_first_then_the_raw_one(tmp_path: Path) -> None:
    row = ref(1, 1, "train", "x", "y", "z")
    row["sentences"][1] |= {"sent": " ", "raw": "Y!"}
    row["sentences"][2] |= {"sent": "", "raw": ""}
    root, _ = write(tmp_path, [row])
    assert read_refs(root, "refcoco", "unc")[0].sentences == ("x", "Y!", "")


def test_python_2s_own_pickle(tmp_path: Path) -> None:
    (tmp_path / "refcocog").mkdir()
    stored = b"(lp0\n(dp1\nS'ref_id'\nI5\nsS'ann_id'\nL6L\nsS'image_id'\nI7\nsS'split'\nS'test'\ns"
    stored += b"S'sentences'\n(lp2\n(dp3\nS'sent'\nS'caf\\xe9 table'\nsS'raw'\nS''\nsasa."
    (tmp_path / "refcocog/refs(umd).p").write_bytes(stored)
    found = read_refs(str(tmp_path), "refcocog", "umd")
    assert found == [Ref(number=5, annotation=6, image=7, split="test", sentences=("café table",))]


def test_a_pickle_that_runs_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root, _ = write(tmp_path, [ref(1, 1, "train", "a")])
    (tmp_path / "data/refcoco/refs(unc).p").write_bytes(pickle.dumps([Runs()]))
    with pytest.raises(DataError, match="no pickle of plain values"):
        read_refs(root, "refcoco", "unc")
    assert not Path("made-by-a-pickle").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ref_id": "7"}, "a str for `ref_id`"),
        ({"ann_id": True}, "a bool for `ann_id`"),
        ({"image_id": None}, "a NoneType for `image_id`"),
        ({"split": 3}, "no `split`"),
        ({"sentences": {}}, "no list of `sentences`"),
        ({"sentences": ["a"]}, "no text"),
        ({"sentences": [{"sent": 4}]}, "no text"),
    ],
)
def test_what_is_of_another_form_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    root, _ = write(tmp_path, [ref(1, 1, "train", "a")])
    rows = [ref(1, 1, "train", "a"), ref(2, 1, "train", "a") | change]
    (tmp_path / "data/refcoco/refs(unc).p").write_bytes(pickle.dumps(rows))
    with pytest.raises(DataError, match=f"reference 1 .*{says}"):
        read_refs(root, "refcoco", "unc")


@pytest.mark.parametrize("stored", [{}, "text", [3], [[]]])
def test_what_is_no_list_of_references_is_refused(tmp_path: Path, stored: Any) -> None:
    root, _ = write(tmp_path, [ref(1, 1, "train", "a")])
    (tmp_path / "data/refcoco/refs(unc).p").write_bytes(pickle.dumps(stored))
    with pytest.raises(DataError, match="instead of a"):
        read_refs(root, "refcoco", "unc")


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = write(tmp_path, [])
    sentences = [{"sent": "a"}] * 1000
    rows = [ref(i, 1, "train") | {"sentences": sentences} for i in range(300)]  # one list, 300 times
    (tmp_path / "data/refcoco/refs(unc).p").write_bytes(pickle.dumps(rows, 2))
    monkeypatch.setattr(module, "MOST_SENTENCES", 299_000)
    with pytest.raises(DataError, match="more than 299000 sentences"):
        read_refs(root, "refcoco", "unc")
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="more than 100 bytes"):
        read_refs(root, "refcoco", "unc")


def test_what_is_asked_for_must_exist(tmp_path: Path) -> None:
    root, _ = write(tmp_path, [ref(1, 1, "train", "a")])
    with pytest.raises(ConfigError, match="there are refcoco, refcoco"):
        read_refs(root, "refclef", "unc")
    with pytest.raises(ConfigError, match="refcoco was split by unc and google"):
        read_refs(root, "refcoco", "umd")
    with pytest.raises(DataError, match=r"refs\(google\)\.p is not there"):
        read_refs(root, "refcoco", "google")


def test_which_data_sets_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = write(tmp_path, [ref(1, 1, "train", "a")])
    write(tmp_path, [ref(1, 1, "train", "a")], "refcocog", "google")
    assert refs_there(root) == [("refcoco", "unc")]
    assert is_there(root, "refcocog", "google")
    assert not is_there(root, "refcocog", "umd")
    assert not is_there(f"{root}/none", "refcoco", "unc")
    file = refs_file(root, "refcoco", "unc")
    assert file.digest == hashlib.sha256((tmp_path / "data/refcoco/refs(unc).p").read_bytes()).hexdigest()
    location, listing = find(root)
    listing.passed["folder_without_access"] = 1
    monkeypatch.setattr(module, "find", lambda uri: (location, listing))
    with pytest.raises(DataError, match="1 of its folders may not be looked into"):
        refs_there(root)
