"""What a pool loses on the way into the source stage: rejects, tars that cannot be read, and what is passed over."""

import gzip
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from flows.stages import summary
from siglino_core.config import Keep
from siglino_core.errors import ConfigError, DataError
from tests.pipelines.test_source import read
from tests.pools import parquet_file, pictures, stored, tar_bytes, write_files


def test_an_entry_that_is_no_regular_file_is_a_reject(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(30))})
    os.mkfifo(pool / "pipe.jpg")
    (pool / "gone.jpg").symlink_to("nowhere.jpg")
    (pool / "self.jpg").symlink_to("self.jpg")
    (pool / "null.jpg").symlink_to("/dev/null")
    (pool / "2.txt").symlink_to("/dev/zero")  # a caption without an end
    run, result = read(tmp_path, pool)
    assert (result.manifest.rows, result.manifest.rejects) == (30, {"unreadable": 4})
    errors = {r["source_key"]: r["error"].removeprefix(f"{pool}/") for r in stored(run, result.manifest, "rejects/")}
    assert errors == {
        "pipe.jpg": "pipe.jpg is a pipe and no regular file",
        "gone.jpg": "gone.jpg is a link to nowhere.jpg, which is not there",
        "self.jpg": "self.jpg cannot be opened (Too many levels of symbolic links)",
        "null.jpg": "null.jpg is a device and no regular file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_access_is_a_reject(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(10))})
    (pool / "1.jpg").chmod(0)
    assert read(tmp_path, pool)[1].manifest.rejects == {"unreadable": 1}


def test_tars_that_cannot_be_read_count_as_the_images_they_held(tmp_path: Path) -> None:
    tars = [tar_bytes([(f"{t}{i:02d}.jpg", d) for i, d in enumerate(pictures(20, 20 * t))]) for t in range(4)]
    files = {"0.tar": tars[0], "1.tar": tars[1], "2.tar": tars[2][:700], "3.tar": b"\x1f\x9d" + tars[3][2:600]}
    pool = write_files(tmp_path / "p", files)
    with pytest.raises(
        DataError, match=r"40 of 80 images cannot be used.*about 38 more in tars that could not be read"
    ):
        read(tmp_path, pool)
    _, result = read(tmp_path, pool, max_reject_share=0.5)
    assert result.manifest.rows == 40


def test_a_tar_that_is_cut_counts_the_images_it_was_planned_to_hold(tmp_path: Path) -> None:
    tars = [tar_bytes([(f"{t}{i:02d}.jpg", d) for i, d in enumerate(pictures(20, 20 * t))]) for t in range(5)]
    broken = tars[4][:1000] + b"x" * (len(tars[4]) - 1000)
    pool = write_files(tmp_path / "p", {f"{i}.tar": t for i, t in enumerate([*tars[:4], broken])})
    run, result = read(tmp_path, pool, max_reject_share=0.5)
    image, tar = stored(run, result.manifest, "rejects/")
    assert (image["images"], tar["images"]) == (1, pytest.approx(20, abs=8))
    assert result.manifest.rejects == {"truncated": 1, "corrupt_tar": tar["images"]}


def test_failed_downloads_are_outside_the_reject_share(tmp_path: Path) -> None:
    columns = {
        "jpg": pa.array([pictures(1, i)[0] if i < 2 else None for i in range(40)], pa.binary()),
        "status": ["success"] * 2 + ["failed_to_download"] * 38,
    }
    _, result = read(tmp_path, parquet_file(tmp_path / "p" / "0.parquet", columns))
    assert (result.manifest.rows, result.manifest.rejects) == (2, {"not_downloaded": 38})


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    members = [("a.jpg", pictures(1)[0]), ("a.seg.png", b"m"), ("b.txt", b"of none"), ("._a.jpg", b"mac")]
    pool = write_files(tmp_path / "p", {"0.tar": tar_bytes(members), "0.parquet": b"x", "0_stats.json": b"{}"})
    _, result = read(tmp_path, pool)
    assert result.manifest.facts["passed_over"] == {
        "hidden": 1,
        "json_file": 1,
        "other_image_of_a_sample": 1,
        "parquet_file": 1,
        "text_without_image": 1,
    }


def test_a_pointer_into_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {"0.tgz": gzip.compress(tar_bytes([("a.jpg", pictures(1)[0])]))})
    with pytest.raises(ConfigError, match="no pointer leads into it"):
        read(tmp_path, pool, keep=Keep.POINTER)


def test_rows_of_a_metadata_file_that_came_to_nothing_are_counted_after_a_resume_too(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(5))})
    rows = b'{"file_name": "0.jpg"}\n{"file_name": "0.jpg"}\nno row\n{"file_name": "9.jpg"}\n{"file_name": "8.jpg"}\n'
    write_files(pool, {"metadata.jsonl": rows})
    lost = {
        "metadata_row_not_read": 1,
        "metadata_row_replaced_by_another_of_its_image": 1,
        "text_without_image": 2,
    }
    run, result = read(tmp_path, pool)
    assert result.manifest.facts["passed_over"] == lost
    assert "4 passed over (1 metadata_row_not_read, 1 metadata_row_" in summary(result)
    run.stage("source").files.delete(["manifest.json"])
    assert read(tmp_path, pool)[1].manifest.facts["passed_over"] == lost


@pytest.mark.parametrize("keep", list(Keep))
def test_without_the_pool_a_finished_stage_says_how_to_go_on(tmp_path: Path, keep: Keep) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(5))})
    read(tmp_path, pool, keep=keep)
    shutil.rmtree(pool)
    with pytest.raises(DataError, match="nothing is there") as caught:
        read(tmp_path, pool, keep=keep)
    assert ("--from embed goes on without the pool" in str(caught.value)) == (keep is Keep.BYTES)
