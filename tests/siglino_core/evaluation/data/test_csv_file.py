"""Data sets by CSV: captions over rows, separators, paths, and what is said of files that cannot be used."""

import pickle
from pathlib import Path

import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.csv_file import CsvFile, open_csv
from siglino_core.evaluation.data.sample import EvalSample, Unreadable
from tests.pools import write_files


def opened(path: Path, text: str, **settings: str) -> list[EvalSample | Unreadable]:
    (path / "set.csv").write_text(text, encoding="utf-8")
    split = open_csv(CsvFile(annotations=str(path / "set.csv"), **settings))
    sent = pickle.loads(pickle.dumps(split))
    assert "entries" not in sent.__dict__
    assert sent.units() == split.units()
    return [sample for unit in split.units() for sample in sent.read(unit)]


def test_rows_of_one_image_are_its_captions(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": b"A", "b/c.jpg": b"C"})
    samples = opened(tmp_path, 'filepath\ttitle\na.jpg\tone, two\nb/c.jpg\tthree\na.jpg\tfour "x"\n')
    assert samples == [
        EvalSample(sample_id="a.jpg", data=b"A", captions=("one, two", 'four "x"')),
        EvalSample(sample_id="b/c.jpg", data=b"C", captions=("three",)),
    ]


def test_labels_and_a_json_list_of_captions(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": b"A", "b.jpg": b"B"})
    text = 'image,label,caption\na.jpg,dog,"[""x"", ""y""]"\nb.jpg,3.0,[z]\n\n'
    samples = opened(tmp_path, text)
    assert [(s.label, s.captions) for s in samples] == [("dog", ("x", "y")), ("3.0", ("[z]",))]


def test_classes_are_in_the_order_of_counting(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"A"})
    (tmp_path / "set.csv").write_text("path,class\na,10\nb,2\nc,\n")
    assert open_csv(CsvFile(annotations=str(tmp_path / "set.csv"))).classes == ("2", "10")


def test_paths_may_lead_anywhere_and_a_missing_file_counts(tmp_path: Path) -> None:
    write_files(tmp_path, {"sets/here.jpg": b"1", "else/there.jpg": b"2", "far.jpg": b"3"})
    text = f"image,label\n../else/there.jpg,x\n{tmp_path / 'far.jpg'},y\nhere.jpg,z\ngone.jpg,w\nelse,v\n"
    samples = opened(tmp_path / "sets", text)
    assert [s.data for s in samples if isinstance(s, EvalSample)] == [b"2", b"3", b"1"]
    gone = [s for s in samples if isinstance(s, Unreadable)]
    assert [(s.sample_id, s.reason, s.label) for s in gone] == [("gone.jpg", "missing", "w"), ("else", "missing", "v")]
    assert [s.data for s in opened(tmp_path, "image\nhere.jpg\n", uri=str(tmp_path / "sets"))[:1]] == [b"1"]


def test_a_file_that_is_a_folder_is_unreadable(tmp_path: Path) -> None:
    write_files(tmp_path, {"folder/x": b""})
    assert [s.reason for s in opened(tmp_path, "image\nfolder\n") if isinstance(s, Unreadable)] == ["unreadable"]


def test_the_identity_follows_text_and_sizes(tmp_path: Path) -> None:
    def identity(text: str, data: bytes) -> str:
        write_files(tmp_path, {"set.csv": text.encode(), "a": data})
        return open_csv(CsvFile(annotations=str(tmp_path / "set.csv"))).identity

    first = identity("image,label\na,x\n", b"1")
    assert identity("image,label\na,x\n", b"2") == first
    assert len({first, identity("image,label\na,y\n", b"1"), identity("image,label\na,x\n", b"22")}) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("image,label\n", "no rows"),
        ("a,b\n1,2\n", "no column of file names was found; its header has a, b"),
        ("image,label\nx,1\n,2\n", "line 3: no file is named in column image"),
        ("image,label\nx,1\nx,2\n", "x is '2' here and '1' above"),
        ("image,caption\nx,one, two\n", "3 values for 2 columns"),
        ("image,image\nx,y\n", "two columns are named image"),
        ("image,label\n\udcff,1\n", "no text in UTF-8"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "set.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=says):
        open_csv(CsvFile(annotations=str(tmp_path / "set.csv")))


def test_a_column_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("image,species\nx,1\n")
    with pytest.raises(ConfigError, match=r"label_column=specie: .* \(did you mean species"):
        open_csv(CsvFile(annotations=str(tmp_path / "set.csv"), label_column="specie"))
    with pytest.raises(DataError, match=r"annotations=.*none.csv: nothing is there"):
        open_csv(CsvFile(annotations=str(tmp_path / "none.csv")))
    with pytest.raises(DataError, match="folder or several files"):
        open_csv(CsvFile(annotations=str(tmp_path)))
