"""Masks beside images, in the layouts of VOC, ADE20K and Cityscapes, and everything that can be wrong with one."""

import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.masks import ADE20K, CITYSCAPES, VOC, MaskOptions, Masks, renumbered
from siglino_core.evaluation.data.sample import EvalSample, Unreadable
from siglino_core.images.decode import BadImage, decode_numbers
from tests.pictures import broken, encode, picture, pixels

SIZE = (6, 4)  # width, height


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def numbers(seed: int, top: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, SIZE[::-1]).astype(np.uint8)


def mask_of(sample: EvalSample | Unreadable) -> np.ndarray:
    assert isinstance(sample, EvalSample), sample
    assert sample.mask is not None
    return decode_numbers(sample.mask, max_pixels=10_000, max_bytes=10_000)


def rows(of: Masks) -> dict[str, EvalSample | Unreadable]:
    return {s.sample_id: s for unit in of.units() for s in of.read(unit)}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Five images; masks of the first four, with palettes; the list names the second and third."""
    for i in range(5):
        write(tmp_path / f"JPEGImages/2007_{i}.jpg", picture(i, size=SIZE))
    for i in range(4):
        im = Image.fromarray(numbers(i)).convert("P")
        im.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        write(tmp_path / f"SegmentationClass/2007_{i}.png", encode(im, "png"))
    write(tmp_path / "val.txt", b"2007_2\n2007_1\n")
    return tmp_path


def opened(root: Path, options: MaskOptions = VOC, **settings: Any) -> Masks:
    return Masks(str(root / "JPEGImages"), str(root / "SegmentationClass"), options=options, **settings)


def test_voc_lists_its_names_and_its_colours_are_numbers(voc: Path) -> None:
    of = opened(voc, MaskOptions(names=str(voc / "val.txt")), classes=["background", "cat", "dog"])
    found = rows(of)
    assert list(found) == ["2007_2", "2007_1"]
    assert len(of) == 2
    assert np.array_equal(mask_of(found["2007_1"]), numbers(1))
    assert found["2007_1"].data == (voc / "JPEGImages/2007_1.jpg").read_bytes()  # type: ignore[union-attr]
    assert of.classes == ("background", "cat", "dog")
    assert of.left_out == {"image_not_named": 3, "mask_of_no_image": 2}


def test_an_image_without_a_mask_counts_as_one_that_cannot_be_read(voc: Path) -> None:
    found = rows(opened(voc))
    assert [type(s).__name__ for s in found.values()] == ["EvalSample"] * 4 + ["Unreadable"]
    assert found["2007_4"].reason == "missing_mask"  # type: ignore[union-attr]


def test_a_name_without_an_image_counts_too(voc: Path) -> None:
    write(voc / "val.txt", b"2007_1\nelsewhere\n\n")
    found = rows(opened(voc, MaskOptions(names=str(voc / "val.txt"))))
    assert found["elsewhere"].reason == "missing_image"  # type: ignore[union-attr]
    assert len(found) == 2


def test_ade20k_has_folders_and_a_zero_that_is_no_class(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2, 150, 255, 7]] * 4, np.uint8)
    write(tmp_path / "images/validation/ADE_val_00000001.jpg", picture(1, size=SIZE))
    write(tmp_path / "annotations/validation/ADE_val_00000001.png", encode(Image.fromarray(stored), "png"))
    of = Masks(
        str(tmp_path / "images"), str(tmp_path / "annotations"), options=ADE20K, classes=[str(i) for i in range(150)]
    )
    assert mask_of(rows(of)["validation/ADE_val_00000001"])[0].tolist() == [255, 0, 1, 149, 255, 6]


def test_cityscapes_has_suffixes_and_a_map(tmp_path: Path) -> None:
    stored = np.array([[0, 7, 8, 33, 10, 26]] * 4, np.uint8)
    stem = "frankfurt/frankfurt_000000_000294"
    write(tmp_path / f"leftImg8bit/{stem}_leftImg8bit.png", picture(1, "png", SIZE))
    write(tmp_path / f"gtFine/{stem}_gtFine_labelIds.png", encode(Image.fromarray(stored), "png"))
    write(tmp_path / f"gtFine/{stem}_gtFine_color.png", picture(2, "png", SIZE))
    of = Masks(str(tmp_path / "leftImg8bit"), str(tmp_path / "gtFine"), options=CITYSCAPES, classes=["?"] * 19)
    assert mask_of(rows(of)[stem])[0].tolist() == [255, 0, 1, 18, 255, 13]
    assert len(of) == 1


@pytest.mark.parametrize(
    ("options", "stored", "wanted"),
    [
        (VOC, [0, 1, 254, 255], [0, 1, 254, 255]),
        (ADE20K, [0, 1, 254, 255], [255, 0, 253, 255]),
        (MaskOptions(label_map={3: 0, 0: 1, 255: 2}), [0, 1, 3, 255], [1, 255, 0, 2]),
        (MaskOptions(label_map={300: 1, 7: 255}), [0, 7, 300, 2], [255, 255, 1, 255]),
        (VOC, [0, 255, 256, 300], [0, 255, 256, 300]),
    ],
)
def test_numbers(options: MaskOptions, stored: list[int], wanted: list[int]) -> None:
    kind = np.uint16 if max(stored) > 255 else np.uint8
    found = renumbered(np.array([stored], kind), options)
    assert found.tolist() == [wanted]
    assert found.dtype == (np.uint16 if max(wanted) > 255 else np.uint8)


def test_a_number_that_is_no_class_is_refused() -> None:
    with pytest.raises(BadImage, match="number 3, and classes go from 0 to 2"):
        renumbered(np.array([[3]], np.uint8), VOC, 3)
    assert renumbered(np.array([[2, 255]], np.uint8), VOC, 3).tolist() == [[2, 255]]
    with pytest.raises(BadImage, match="256 would become 255"):
        renumbered(np.array([[256]], np.uint16), ADE20K)


def test_masks_of_16_bits_come_out_as_such(voc: Path) -> None:
    big = np.full(SIZE[::-1], 300, np.uint16)
    write(voc / "SegmentationClass/2007_1.png", encode(Image.fromarray(big), "png"))
    assert np.array_equal(mask_of(rows(opened(voc))["2007_1"]), big)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture(1, "png", SIZE), "mask_colours"),
        (encode(Image.fromarray(numbers(1).T.copy()), "png"), "mask_of_another_size"),
        (broken()["truncated_png"][0], "mask_truncated"),
        (b"", "mask_zero_size"),
        (b"no image", "mask_not_an_image"),
        (encode(Image.fromarray(numbers(1) + 3), "png"), "mask_unknown_class"),
        (encode(Image.fromarray(numbers(1)), "jpeg"), "mask_colours"),
    ],
)
def test_a_mask_that_cannot_be_used_says_why(voc: Path, data: bytes, reason: str) -> None:
    write(voc / "SegmentationClass/2007_1.png", data)
    found = rows(opened(voc, classes=["a", "b", "c"]))
    assert found["2007_1"].reason == reason  # type: ignore[union-attr]
    assert isinstance(found["2007_2"], EvalSample)


def test_an_image_that_cannot_be_read_says_why(voc: Path) -> None:
    write(voc / "JPEGImages/2007_1.jpg", b"<!doctype html>")
    assert rows(opened(voc))["2007_1"].reason == "not_an_image"  # type: ignore[union-attr]
    write(voc / "JPEGImages/2007_1.jpg", picture(1, size=SIZE) + bytes(5000))
    assert rows(opened(voc, max_bytes=5000))["2007_1"].reason == "too_many_bytes"  # type: ignore[union-attr]


def test_a_turned_photographs_mask_is_of_its_upright_size(voc: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write(voc / "JPEGImages/2007_1.jpg", encode(pixels(1, SIZE), "jpeg", exif=exif))
    assert rows(opened(voc))["2007_1"].reason == "mask_of_another_size"  # type: ignore[union-attr]
    write(voc / "SegmentationClass/2007_1.png", encode(Image.fromarray(numbers(1).T.copy()), "png"))
    assert mask_of(rows(opened(voc))["2007_1"]).shape == SIZE


def test_what_is_wrong_with_every_mask_is_an_error_at_once(voc: Path) -> None:
    with pytest.raises(
        DataError, match=r"none of 5 names has a mask, the first is '2007_0'. Set image_suffix and mask_"
    ):
        opened(voc, MaskOptions(mask_suffix="_1.png"))
    for i in range(4):
        write(voc / f"SegmentationClass/2007_{i}.png", picture(i, "png", SIZE))
    with pytest.raises(DataError, match=r"none of the first 4 masks can be used. 2007_0: .*mode RGB"):
        opened(voc)


def test_files_that_are_not_there_are_named(voc: Path) -> None:
    with pytest.raises(
        DataError, match=r"SegmentationClass: no file's name ends in _mask.png; 4 files, such as 2007_0.png"
    ):
        opened(voc, MaskOptions(mask_suffix="_mask.png"))
    with pytest.raises(DataError, match="nothing is there"):
        Masks(str(voc / "none"), str(voc / "SegmentationClass"))
    write(voc / "JPEGImages/2007_1.png", picture(1, "png", SIZE))
    with pytest.raises(DataError, match=r"2007_1.jpg and 2007_1.png have one name"):
        opened(voc)


@pytest.mark.parametrize(
    ("text", "says"), [(b"\n", "names no image"), (b"a\nb\na\n", "1 of its 3 names stand there twice")]
)
def test_a_list_that_cannot_be_used_is_refused(voc: Path, text: bytes, says: str) -> None:
    write(voc / "val.txt", text)
    with pytest.raises(DataError, match=says):
        opened(voc, MaskOptions(names=str(voc / "val.txt")))


@pytest.mark.parametrize(
    "options",
    [
        MaskOptions(reduce_zero_label=True, label_map={1: 0}),
        MaskOptions(label_map={1: 3}),
        MaskOptions(label_map={-1: 0}),
    ],
)
def test_options_that_cannot_be_are_refused(voc: Path, options: MaskOptions) -> None:
    with pytest.raises(ConfigError, match="label_map"):
        opened(voc, options, classes=["a", "b", "c"])


def test_units_hold_each_image_once_and_the_identity_is_of_the_files(voc: Path, tmp_path_factory: Any) -> None:
    of = opened(voc, rows_per_unit=2)
    assert [u["rows"] for u in of.units()] == [2, 2, 1]
    assert list(rows(of)) == [f"2007_{i}" for i in range(5)]
    elsewhere = tmp_path_factory.mktemp("copy")
    for path in voc.rglob("*.*g"):
        write(elsewhere / path.relative_to(voc), path.read_bytes())
    assert opened(elsewhere).identity == of.identity
    others = [
        opened(voc, ADE20K),
        opened(voc, classes=["a", "b", "c"]),
        opened(voc, MaskOptions(names=str(voc / "val.txt"))),
    ]
    assert len({of.identity, *(o.identity for o in others)}) == 4
    write(voc / "SegmentationClass/2007_1.png", encode(Image.fromarray(numbers(1, 2)), "png"))
    assert opened(voc).identity != of.identity


def test_a_remote_folder_is_read_and_the_reader_may_be_pickled(voc: Path) -> None:
    fs = fsspec.filesystem("memory")
    for path in voc.rglob("*.*g"):
        fs.pipe_file(f"/masks-test/{path.relative_to(voc)}", path.read_bytes())
    of = Masks("memory://masks-test/JPEGImages", "memory://masks-test/SegmentationClass")
    assert rows(pickle.loads(pickle.dumps(of))) == rows(opened(voc))
    assert of.identity == opened(voc).identity
