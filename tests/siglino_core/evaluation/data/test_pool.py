"""Data sets laid out as pools: names of samples, all captions, classes, and what cannot be read."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from siglino_core.config import LabelFolder, SourceConfig
from siglino_core.errors import DataError
from siglino_core.evaluation.data.pool import PoolSplit, open_pool_split
from siglino_core.evaluation.data.sample import EvalSample, Unreadable
from tests.pools import parquet_file, tar_bytes, write_files


def opened(path: Path | str, leave_out: tuple[str, ...] = (), **settings: Any) -> PoolSplit:
    return open_pool_split(SourceConfig(uri=str(path), **settings), leave_out)


def samples(split: PoolSplit) -> list[EvalSample | Unreadable]:
    sent = pickle.loads(pickle.dumps(split))  # it reads units, and need not make any
    found = [s for unit in split.units() for s in split.read(unit)]
    assert [s for unit in split.units() for s in sent.read(unit)] == found
    assert len({s.sample_id for s in found}) == len(found)
    return found


def test_folders_that_are_classes(tmp_path: Path) -> None:
    write_files(tmp_path, {"val/b10/1.jpg": b"1", "val/b9/1.png": b"2", "val/b9/notes.pdf": b"", "val/b9/1.txt": b"x"})
    split = opened(tmp_path)
    assert samples(split) == [
        EvalSample(sample_id="val/b10/1.jpg", data=b"1", label="b10"),
        EvalSample(sample_id="val/b9/1.png", data=b"2", label="b9", captions=("x",)),
    ]
    assert split.classes == ("b9", "b10")
    assert split.passed == {"pdf_file": 1}


@pytest.mark.parametrize(
    ("files", "captions"),
    [
        ({"a.txt": b"one\n\n two \r\nthree"}, ("one", "two", "three")),
        ({"a.json": b'{"captions": ["x", " ", "y"], "label": 3}'}, ("x", "y")),
        ({"metadata.jsonl": b'{"file_name": "a.jpg", "text": ["p", "q"]}'}, ("p", "q")),
        ({"a.txt": b"own", "a.json": b'{"caption": ["x", "y"]}'}, ("own",)),
    ],
)
def test_all_captions_beside_an_image(tmp_path: Path, files: dict[str, bytes], captions: tuple[str, ...]) -> None:
    write_files(tmp_path, {"a.jpg": b"1", **files})
    assert [s.captions for s in samples(opened(tmp_path))] == [captions]


def test_what_cannot_be_read_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    write_files(tmp_path, {"cat/a.jpg": b"long", "dog/b.jpg": b"1", "cat/a.txt": b"x\ny"})
    (tmp_path / "dog/c.jpg").symlink_to("nowhere")
    long, _, gone = samples(opened(tmp_path, max_bytes=3))
    assert isinstance(long, Unreadable)
    assert (long.reason, long.label, long.captions) == ("too_many_bytes", "cat", ("x", "y"))
    assert isinstance(gone, Unreadable)
    assert (gone.sample_id, gone.reason, gone.label) == ("dog/c.jpg", "unreadable", "dog")


def hugging_face(path: Path, **columns: Any) -> Path:
    names = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    return parquet_file(path, columns, row_group_size=2, huggingface=json.dumps(names).encode())


def test_parquet_by_rows(tmp_path: Path) -> None:
    images = [{"bytes": b"1", "path": "x.jpg"}, {"bytes": b"2", "path": "x.jpg"}, {"bytes": None, "path": None}]
    hugging_face(tmp_path / "a.parquet", image=images, label=[1, 0, 1], caption=[["p", "q"], [], ["r"]])
    hugging_face(tmp_path / "b.parquet", image=images[:1], label=[-1], caption=[["s"]])
    split = opened(tmp_path, rows_per_shard=2)
    assert samples(split) == [
        EvalSample(sample_id="a.parquet:0", data=b"1", label="dog", captions=("p", "q")),
        EvalSample(sample_id="a.parquet:1", data=b"2", label="cat"),
        Unreadable(
            sample_id="a.parquet:2", reason="no_bytes", error="row 2 holds no image", label="dog", captions=("r",)
        ),
        EvalSample(sample_id="b.parquet:0", data=b"1", captions=("s",)),
    ]
    assert split.classes == ("cat", "dog")
    assert split.listed
    assert len(split.units()) == 2


def test_a_failed_download_is_a_sample_too(tmp_path: Path) -> None:
    parquet_file(tmp_path / "0.parquet", {"jpg": [b"1", None], "status": ["success", "failed_to_download"]})
    assert [getattr(s, "reason", "") for s in samples(opened(tmp_path))] == ["", "not_downloaded"]


def test_tars(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.cls", b"7"), ("a.txt", b"x\ny"), ("b.jpg", b"2222"), ("b.cls", b"8")]
    write_files(tmp_path, {"0.tar": tar_bytes(members), "1.tar": tar_bytes(members[:3])})
    split = opened(tmp_path, max_bytes=3)
    assert [(s.sample_id, s.label, s.captions) for s in samples(split)] == [
        ("0.tar/a", "7", ("x", "y")),
        ("0.tar/b", "8", ()),
        ("1.tar/a", "7", ("x", "y")),
    ]
    assert split.classes == ()


def test_a_damaged_tar_is_no_data_set(tmp_path: Path) -> None:
    data = tar_bytes([("a.jpg", b"1"), ("b.jpg", b"2")])
    write_files(tmp_path, {"0.tar": data[:1200]})
    with pytest.raises(DataError, match=r"0.tar cannot be read whole .* cannot be counted"):
        samples(opened(tmp_path))


def test_folders_that_are_left_out(tmp_path: Path) -> None:
    write_files(tmp_path, {"x/BACK/1.jpg": b"1", "x/BACK/2.jpg": b"2", "x/dog/1.jpg": b"3", "x/cat": b""})
    write_files(tmp_path, {"x/fox/1.jpg": b"4"})
    split = opened(tmp_path, ("BACK",))
    assert [s.label for s in samples(split)] == ["dog", "fox"]
    assert split.classes == ("dog", "fox")
    assert split.passed == {"image_of_a_folder_that_is_no_class": 2, "other_file": 1}
    assert split.identity != opened(tmp_path).identity
    with pytest.raises(DataError, match="all images are of BACK, dog, fox"):
        opened(tmp_path, ("BACK", "dog", "fox"))


def test_the_identity_follows_names_sizes_and_settings(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.jpg": b"1"})
    first = opened(tmp_path)
    assert opened(tmp_path, rows_per_shard=1).identity == first.identity
    others = [opened(tmp_path, label_folder=LabelFolder.NONE).identity]
    write_files(tmp_path, {"a/1.jpg": b"22"})
    others.append(opened(tmp_path).identity)
    write_files(tmp_path, {"a/2.jpg": b"1"})
    others.append(opened(tmp_path).identity)
    assert len({first.identity, *others}) == 4


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"uri=.*none: nothing is there"):
        opened(tmp_path / "none")
    write_files(tmp_path, {"x.pdf": b""})
    with pytest.raises(DataError, match="none of which holds images"):
        opened(tmp_path)


def test_a_url(tmp_path: Path) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe_file("/evalset/dog/1.jpg", b"1")
    try:
        assert [s.sample_id for s in samples(opened("memory://evalset"))] == ["dog/1.jpg"]
    finally:
        fs.rm("/evalset", recursive=True)
