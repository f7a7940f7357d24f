"""Tars: samples, and every way in which a tar can be damaged."""

import gzip
import io
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from siglino_core.config import SourceConfig
from siglino_core.errors import ConfigError
from siglino_core.pools import webdataset
from siglino_core.pools.location import find
from siglino_core.pools.record import Found, Passed, Refused
from siglino_core.pools.sniff import open_pool
from tests.pools import tar_bytes, write_files


def everything(path: Path, data: bytes, **settings: Any) -> list[Found | Refused | Passed]:
    write_files(path, {"a.tar": data})
    location, _ = find(str(path))
    return list(webdataset.read(location, {"file": "a.tar"}, SourceConfig(**settings)))


def described(items: list[Found | Refused | Passed]) -> list[tuple[str, bytes, str | None, str | None]]:
    return [(i.key, i.data, i.caption, i.label) for i in items if isinstance(i, Found)]


def test_samples(tmp_path: Path) -> None:
    items = everything(
        tmp_path,
        tar_bytes(
            [
                ("./a/000.txt", b"before its image "),
                ("./a/000.JPG", b"1"),
                ("./a/000.cls", b"42"),
                ("a/001.png", b"2"),
                ("a/001.json", b'{"caption": "from json", "label": "dog"}'),
                ("a/002.left.jpg", b"3"),
                ("a/002.right.jpg", b"4"),
                ("a/002.json", b'{"caption": "of both"}'),
                ("b/002.webp", b"5"),
                ("b/003.json", b'{"caption": "of no image"}'),
                ("b/004.npy", b"xx"),
            ]
        ),
    )
    assert described(items) == [
        ("a/000", b"1", "before its image", "42"),
        ("a/001", b"2", "from json", "dog"),
        ("a/002.left", b"3", "of both", "a"),
        ("a/002.right", b"4", "of both", "a"),
        ("b/002", b"5", None, "b"),
    ]
    passed = {(i.key, i.what) for i in items if isinstance(i, Passed)}
    assert passed == {("b/003.json", "text_without_image"), ("b/004.npy", "npy_file")}
    data = (tmp_path / "a.tar").read_bytes()
    assert all(data[i.offset : i.offset + 1] == i.data for i in items if isinstance(i, Found))


def test_a_name_that_is_one_for_all_does_not_gather_the_whole_tar(tmp_path: Path) -> None:
    items = everything(tmp_path, tar_bytes([(f"img.{i:04d}.jpg", b"%d" % i) for i in range(200)]))
    assert [i.key for i in items] == [f"img.{i:04d}" for i in range(200)]


def test_links_folders_and_long_names(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, to in (
            ("folder", tarfile.DIRTYPE, ""),
            ("gone.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("folder/soft.jpg", tarfile.SYMTYPE, "../1.jpg"),
            ("hard.jpg", tarfile.LNKTYPE, "1.jpg"),
            ("pipe.jpg", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, to
            tar.addfile(info)
        for name in ("1.jpg", "folder/" + "x" * 200 + "\u00e9.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    items = everything(tmp_path, buffer.getvalue())
    assert sorted(described(items)) == [
        ("1", b"abc", None, None),
        ("folder/soft", b"abc", None, "folder"),
        ("folder/" + "x" * 200 + "\u00e9", b"abc", None, "folder"),
        ("hard", b"abc", None, None),
    ]
    assert [(i.reason, i.error) for i in items if isinstance(i, Refused)] == [
        ("unreadable", "gone.jpg is a link to /etc/passwd and no regular file"),
        ("unreadable", "pipe.jpg is a device or pipe and no regular file"),
    ]


def test_a_long_member_is_refused_and_the_rest_read(tmp_path: Path) -> None:
    items = everything(tmp_path, tar_bytes([("1.jpg", bytes(600)), ("2.jpg", b"ok")]), max_bytes=599)
    assert isinstance(items[0], Refused)
    assert (items[0].key, items[0].reason) == ("1", "too_many_bytes")
    assert described(items) == [("2", b"ok", None, None)]


WHOLE = tar_bytes([(f"{i}.jpg", bytes([i]) * 700) for i in range(5)])  # 512 + 1024 bytes a member
SPAN = 1536


@pytest.mark.parametrize(
    ("cut", "images"),
    [
        (0, 0),
        (100, 0),
        (512, 0),  # after a header
        (900, 0),  # within the data
        (SPAN, 1),  # between two members
        (SPAN + 1, 1),
        (SPAN + 511, 1),  # within a header
        (2 * SPAN + 512 + 699, 2),
        (2 * SPAN + 512 + 700, 3),  # the data is whole, its padding is not
        (5 * SPAN, 5),  # the end mark is gone
    ],
)
def test_wherever_a_tar_is_cut_its_images_are_read_and_one_reject_names_it(
    tmp_path: Path, cut: int, images: int
) -> None:
    *found, last = everything(tmp_path, WHOLE[:cut])
    assert isinstance(last, Refused)
    assert (last.reason, last.key, last.uri) == ("truncated_tar", "a.tar", f"{tmp_path}/a.tar")
    assert [i.data[0] for i in found if isinstance(i, Found)] == list(range(images)) == list(range(len(found)))


def test_damage_within_a_tar_is_another_reason(tmp_path: Path) -> None:
    damaged = WHOLE[: 2 * SPAN] + b"\x07" * 512 + WHOLE[2 * SPAN + 512 :]
    *found, last = everything(tmp_path, damaged)
    assert (len(found), isinstance(last, Refused) and last.reason) == (2, "corrupt_tar")
    (only,) = everything(tmp_path, b"<html>" * 200)
    assert isinstance(only, Refused)
    assert only.reason == "corrupt_tar"


def test_an_empty_tar_has_neither_images_nor_rejects(tmp_path: Path) -> None:
    assert everything(tmp_path, tar_bytes([])) == []


def test_the_plan_guesses_rows_from_the_first_tar(tmp_path: Path) -> None:
    members = [(f"{i}{s}", bytes(5000)) for i in range(300) for s in (".jpg", ".txt")]
    write_files(tmp_path, {"a.tar": tar_bytes(members), "b.tar": tar_bytes(members[:300]), "c.tar": b"junk"})
    pool = open_pool(SourceConfig(uri=str(tmp_path)))
    shards = list(pool.plan(SourceConfig()))
    assert [s["file"] for s in shards] == ["a.tar", "b.tar", "c.tar"]
    assert [s["rows"] for s in shards] == [pytest.approx(300, rel=0.03), pytest.approx(150, rel=0.03), 1]
    write_files(tmp_path, {"0.tar": b"junk"})
    assert len(list(open_pool(SourceConfig(uri=str(tmp_path))).plan(SourceConfig()))) == 4


def test_members_in_any_order(tmp_path: Path) -> None:
    images = [(f"{i:04d}.png", b"%d" % i) for i in range(8)]
    texts = [(f"{i:04d}.txt", f"caption {i}".encode()) for i in range(8)]
    classes = [(f"{i:04d}.cls", str(i % 2).encode()) for i in range(8)]
    expected = [(f"{i:04d}", b"%d" % i, f"caption {i}", str(i % 2)) for i in range(8)]
    for members in (images + texts + classes, texts + classes + images):
        assert described(everything(tmp_path, tar_bytes(members))) == expected


def test_metadata_inside_a_tar(tmp_path: Path) -> None:
    lines = b'{"file_name": "1.png", "text": "old"}\n{"file_name": "1.png", "text": "one", "label": "a"}\nno row\n'
    lines += b'{"file_name": "9.png", "text": "of none"}\n'
    items = everything(tmp_path, tar_bytes([("x/1.png", b"1"), ("x/2.png", b"2"), ("x/metadata.jsonl", lines)]))
    assert described(items) == [("x/1", b"1", "one", "a"), ("x/2", b"2", None, "x")]
    assert {i.what: i.times for i in items if isinstance(i, Passed)} == {
        "metadata_row_not_read": 1,
        "metadata_row_replaced_by_another_of_its_image": 1,
        "text_without_image": 1,
    }


def test_a_long_caption_is_counted(tmp_path: Path) -> None:
    items = everything(tmp_path, tar_bytes([("1.png", b"1"), ("1.txt", bytes((1 << 20) + 1))]))
    assert described(items) == [("1", b"1", None, None)]
    assert [(i.key, i.what) for i in items if isinstance(i, Passed)] == [("1.txt", "text_too_long")]


def test_rows_are_guessed_from_a_tar_that_can_be_read(tmp_path: Path) -> None:
    whole = tar_bytes([(f"{i}.jpg", bytes(5000)) for i in range(100)])
    write_files(tmp_path, {"0.tar": b"junk" * 1000, "1.tar": whole, "2.tar.gz": gzip.compress(whole)})
    shards = list(open_pool(SourceConfig(uri=str(tmp_path))).plan(SourceConfig()))
    assert [s["rows"] for s in shards][:2] == [1, pytest.approx(100, rel=0.03)]


@pytest.mark.parametrize("kind", ["jpg", "seg.png"])
def test_a_setting_chooses_the_member(tmp_path: Path, kind: str) -> None:
    members = [(f"s{i}{end}", b"%d" % i) for i in range(3) for end in (".jpg", ".seg.png")] + [
        ("s0.json", b'{"caption": "c"}')
    ]
    items = everything(tmp_path, tar_bytes(members), image_column=kind)
    assert [i.caption for i in items if isinstance(i, Found)] == ["c", None, None]
    assert len([i for i in items if isinstance(i, Passed)]) == 3


def test_tars_that_are_joined_and_what_stands_behind_the_end(tmp_path: Path) -> None:
    two = [tar_bytes([(f"{t}{i}.jpg", b"%d" % i) for i in range(5)]) for t in "ab"]
    items = everything(tmp_path, two[0] + two[1])
    assert [i.key for i in items] == [f"{t}{i}" for t in "ab" for i in range(5)]
    assert [i.data for i in items if isinstance(i, Found)] == [b"%d" % i for i in range(5)] * 2
    lone = WHOLE[: 2 * SPAN] + bytes(512) + WHOLE[2 * SPAN + 512 :]  # a header of zeros
    *found, last = everything(tmp_path, lone)
    assert (len(found), isinstance(last, Refused) and last.reason) == (2, "corrupt_tar")
    assert len(everything(tmp_path, WHOLE + bytes(3 << 20))) == 5


def test_nothing_of_a_tar_is_lost_without_a_count(tmp_path: Path) -> None:
    members = [("a.png", b"1"), ("a.png", b"2"), ("u0", b"p"), ("v.mp4", b"m"), ("b.png", b"3")]
    items = everything(tmp_path, tar_bytes(members))
    assert described(items) == [("a", b"2", None, None), ("b", b"3", None, None)]
    assert sorted(i.what for i in items if isinstance(i, Passed)) == [
        "mp4_file",
        "other_file",
        "replaced_by_a_member_of_its_name",
    ]


def test_what_lies_before_a_cut_in_a_compressed_tar(tmp_path: Path) -> None:
    rng = random.Random(0)
    data = gzip.compress(tar_bytes([(f"{i:02d}.jpg", rng.randbytes(100_000)) for i in range(20)]))
    *found, last = everything(tmp_path, data[: len(data) * 3 // 4])
    assert (len(found), isinstance(last, Refused) and last.reason) == (15, "truncated_tar")


def test_what_stands_behind_a_compressed_tar_is_one_reject(tmp_path: Path) -> None:
    *found, last = everything(tmp_path, gzip.compress(WHOLE) + b"garbage")
    assert [i.data[0] for i in found if isinstance(i, Found)] == list(range(5))
    assert isinstance(last, Refused)
    assert (last.reason, last.images) == ("truncated_tar", 1)


def test_a_link_to_a_link(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, to in (("3.png", "2.png"), ("2.png", "1.png"), ("loop.png", "loop.png")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, to
            tar.addfile(info)
        info = tarfile.TarInfo("1.png")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    items = everything(tmp_path, buffer.getvalue())
    assert sorted(i.key for i in items if isinstance(i, Found)) == ["1", "2", "3"]
    assert [i.key for i in items if isinstance(i, Refused)] == ["loop"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("first", [True, False])
def test_a_link_to_its_own_name_replaces_nothing(tmp_path: Path, kind: bytes, first: bool) -> None:
    image, link = tarfile.TarInfo("a/1.png"), tarfile.TarInfo("a/1.png")
    image.size, link.type = 1, kind
    link.linkname = "1.png" if kind == tarfile.SYMTYPE else "a/1.png"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info in (link, image) if first else (image, link):
            tar.addfile(info, io.BytesIO(b"x") if info is image else None)
    (only,) = everything(tmp_path, buffer.getvalue())
    assert described([only]) == [("a/1", b"x", None, "a")]


def test_a_bound_is_sure_or_there_is_none(tmp_path: Path) -> None:
    tar = tar_bytes([(f"{i}.jpg", b"%d" % i) for i in range(100)])
    location, listing = find(str(write_files(tmp_path, {"a.tar": tar, "b.tar": tar})))
    bound = webdataset.most(location, listing.sizes, 10**9)
    assert bound is not None
    assert 200 <= bound == 2 * len(tar) // 1024
    assert webdataset.most(location, listing.sizes, bound) is None, "there may be enough"
    location, listing = find(str(write_files(tmp_path, {"c.tar": gzip.compress(tar)})))
    assert webdataset.most(location, listing.sizes, 10**9) is None


def test_a_key_that_no_member_has_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.tar": tar_bytes([("1.png", b"1"), ("1.json", b'{"caption": "c", "id": 3}')])})
    config = SourceConfig(uri=str(tmp_path), caption_column="zzz")
    with pytest.raises(ConfigError, match=r"source\.caption_column=zzz is not there.*has caption, id"):
        list(open_pool(config).plan(config))
