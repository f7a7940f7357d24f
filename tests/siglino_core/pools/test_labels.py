"""Labels that folders give."""

import pytest

from siglino_core.config import LabelFolder
from siglino_core.pools.labels import folder_label


@pytest.mark.parametrize(
    ("name", "auto", "first", "parent"),
    [
        ("1.jpg", None, None, None),
        ("cat/1.jpg", "cat", "cat", "cat"),
        ("cat/tabby/1.jpg", "cat", "cat", "tabby"),
        ("train/cat/1.jpg", "cat", "train", "cat"),
        ("Validation/cat/tabby/1.jpg", "cat", "Validation", "tabby"),
        ("train/1.jpg", None, "train", "train"),
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
    got = [folder_label(name, rule) for rule in (LabelFolder.AUTO, LabelFolder.FIRST, LabelFolder.PARENT)]
    assert got == [auto, first, parent]
    assert folder_label(name, LabelFolder.NONE) is None
