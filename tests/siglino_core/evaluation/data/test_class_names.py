"""Class names from installed packages: counts, order, and names that two classes share."""

import pytest

from siglino_core.errors import ConfigError
from siglino_core.evaluation.data import class_names
from siglino_core.evaluation.data.class_names import distinct, flowers, imagenet, imagenet_templates


def test_imagenet_has_a_thousand_names_of_which_998_differ_when_spoken() -> None:
    known = imagenet()
    assert len(set(known.names)) == len(set(known.keys)) == 1000
    assert (known.names[0], known.keys[0]) == ("tench", "n01440764")
    assert known.names[657] == "missile (n03773504)"
    assert known.names[744] == "missile (n04008634)"
    assert list(known.keys) == sorted(known.keys)
    assert sorted(known.spoken.values()) == ["missile", "missile", "sunglasses", "sunglasses"]


def test_templates() -> None:
    templates = imagenet_templates()
    assert len(templates) == len(set(templates)) == 80
    assert templates[0] == "a bad photo of a {}."
    assert all(t.count("{}") == 1 for t in templates)


def test_flowers() -> None:
    names = flowers().names
    assert len(set(names)) == 102
    assert (names[0], names[101]) == ("pink primrose", "blackberry lily")


def test_distinct() -> None:
    known = distinct(["a", "b", "a"], ["x", "y", "z"])
    assert known.names == ("a (x)", "b", "a (z)")
    assert known.spoken == {"a (x)": "a", "a (z)": "a"}


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_names.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="timm is not installed"):
        imagenet()
