"""Which layout a pool is taken for."""

from pathlib import Path

import pytest

from siglino_core.config import Format, SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools.sniff import Pool, open_pool
from tests.pools import parquet_file, pictures, tar_bytes, write_files


def look(folder: Path, kind: Format = Format.AUTO) -> Pool:
    return open_pool(SourceConfig(uri=str(folder), format=kind))


def test_tars_beside_the_parquet_files_that_img2dataset_adds(tmp_path: Path) -> None:
    parquet_file(tmp_path / "00000.parquet", {"url": ["u"]})
    write_files(tmp_path, {"00000.tar": tar_bytes([("1.jpg", b"x")]), "00000_stats.json": b"{}"})
    assert look(tmp_path).format is Format.WEBDATASET
    assert list(look(tmp_path).files) == ["00000.tar"]


def test_images_beside_parquet_files_without_images(tmp_path: Path) -> None:
    parquet_file(tmp_path / "00000.parquet", {"url": ["u"]})
    write_files(tmp_path, {"00000/1.JPG": b"x", "00000/1.txt": b"t", "README.txt": b"r", "00000_stats.json": b"{}"})
    assert look(tmp_path).format is Format.IMAGEFOLDER
    assert list(look(tmp_path).files) == ["00000/1.JPG", "00000/1.txt"]


def test_parquet_files_with_images_beside_a_thumbnail(tmp_path: Path) -> None:
    parquet_file(tmp_path / "data/a.parquet", {"image": pictures(1)})
    write_files(tmp_path, {"cover.png": b"x"})
    assert look(tmp_path).format is Format.PARQUET
    assert look(tmp_path, Format.IMAGEFOLDER).format is Format.IMAGEFOLDER


def test_what_is_no_pool_says_what_was_found(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.csv": b"1", "b.zip": b"2"})
    with pytest.raises(DataError, match=r"2 files, none of which holds images \(such as a\.csv, b\.zip\)"):
        look(tmp_path)
    write_files(tmp_path, {"c.png": b"3"})
    with pytest.raises(DataError, match=r"found 1 images, and source\.format=webdataset was asked for"):
        look(tmp_path, Format.WEBDATASET)


def test_the_listing_changes_with_names_and_sizes_only(tmp_path: Path) -> None:
    one = look(write_files(tmp_path / "1", {"a.jpg": b"x", "notes.md": b""})).listing()
    assert look(write_files(tmp_path / "2", {"a.jpg": b"y"})).listing() == one
    assert look(write_files(tmp_path / "3", {"a.jpg": b"xx"})).listing() != one
    assert look(write_files(tmp_path / "4", {"b.jpg": b"x"})).listing() != one


def test_a_tar_left_beside_images_is_asked_about(tmp_path: Path) -> None:
    write_files(tmp_path, {f"cat/{i}.png": b"x" for i in range(5)} | {"demo.tar": tar_bytes([("1.jpg", b"x")])})
    with pytest.raises(DataError, match=r"5 images, 1 tars.*source\.format=imagefolder or source\.format=webdataset"):
        look(tmp_path)
    assert look(tmp_path, Format.IMAGEFOLDER).passed == {"tar_file": 1}
    assert look(tmp_path, Format.WEBDATASET).passed == {"png_file": 5}
