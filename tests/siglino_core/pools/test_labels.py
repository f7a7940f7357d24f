"""Labels that folders give."""

import pytest

from siglino_core.config import LabelFolder, SourceConfig
from siglino_core.pools.labels import folder_label, shared_folders


@pytest.mark.parametrize(
    ("name", "auto", "first", "parent"),
    [
        ("1.jpg", None, None, None),
        ("cat/1.jpg", "cat", "cat", "cat"),
        ("cat/tabby/1.jpg", "cat", "cat", "tabby"),
        ("train/cat/1.jpg", "cat", "train", "cat"),
        ("Validation/cat/tabby/1.jpg", "cat", "Validation", "tabby"),
        ("train2017/1.jpg", None, "train2017", "train2017"),
        ("train_val2018/Aves/1.jpg", "Aves", "train_val2018", "Aves"),
        ("training_set/cats/1.jpg", "cats", "training_set", "cats"),
        ("trains/steam/1.jpg", "trains", "trains", "steam"),
        ("train/1.jpg", None, "train", "train"),
        ("train_0/1.jpg", None, "train_0", "train_0"),
        ("val2/cat/1.jpg", "cat", "val2", "cat"),
        ("ILSVRC/Data/CLS-LOC/train/n01440764/1.JPEG", "n01440764", "ILSVRC", "n01440764"),
        ("food-101/images/apple_pie/1.jpg", "food-101", "food-101", "apple_pie"),
        ("images/apple_pie/1.jpg", "apple_pie", "images", "apple_pie"),
        ("train/images/1.jpg", None, "train", "images"),
        ("00012/000120003.jpg", None, "00012", "00012"),
        ("7/1.png", "7", "7", "7"),
        ("./cat//1.jpg", "cat", "cat", "cat"),
    ],
)
def test_rules(name: str, auto: str | None, first: str | None, parent: str | None) -> None:
    got = {rule: folder_label(name, SourceConfig(label_folder=rule)) for rule in LabelFolder}
    assert list(got.values()) == [auto, None, first, parent]
    assert folder_label(name, SourceConfig(label_column="class")) is None, "who names a column wants no folders"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["101_ObjectCategories/ant/1.jpg", "101_ObjectCategories/bee/1.jpg"], ["ant", "bee"]),
        (["food-101/images/pie/1.jpg", "food-101/images/pizza/1.jpg"], ["pie", "pizza"]),
        (["img_align_celeba/1.jpg", "img_align_celeba/2.jpg"], [None, None]),
        (["VOCdevkit/VOC2012/JPEGImages/1.jpg", "VOCdevkit/VOC2012/JPEGImages/2.jpg"], [None, None]),
        (["jpg/1.jpg"], [None]),
        (["d/train_0/cat/1.jpg", "d/train_0/cow/1.jpg", "d/val2/cat/2.jpg"], ["cat", "cow", "cat"]),
        (["cat/1.jpg", "car/1.jpg", "2.jpg"], ["cat", "car", None]),
        (["pets/1.jpg", "pets/cat/1.jpg"], [None, "cat"]),
    ],
)
def test_folders_that_all_images_share_are_no_label(names: list[str], labels: list[str | None]) -> None:
    shared = shared_folders(names)
    assert [folder_label(name, SourceConfig(), shared) for name in names] == labels
    parents = [folder_label(name, SourceConfig(label_folder=LabelFolder.PARENT), shared) for name in names]
    assert parents == [name.rpartition("/")[0].rpartition("/")[2] or None for name in names]
