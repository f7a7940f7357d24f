"""What the files call a class, and its name."""

import pickle
from pathlib import Path

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.data.naming import naming, read_classes
from siglino_core.evaluation.data.recipe import load_recipe


def test_without_a_recipe_labels_stay() -> None:
    named = naming(["b", "a"])
    assert named.classes == ("b", "a")
    assert [named("a"), named("other"), named(None)] == ["a", "other", None]


def test_imagenet_by_folder_number_and_name() -> None:
    recipe = load_recipe("imagenet")
    named = pickle.loads(pickle.dumps(naming([], recipe)))
    assert [named("n01440764"), named("0"), named("Tench"), named("n04008634"), named("744")] == [
        "tench",
        "tench",
        "tench",
        "missile (n04008634)",
        "missile (n04008634)",
    ]
    for wrong in ("1000", "missile", "n99999999"):
        with pytest.raises(DataError, match="do not match: the label"):
            named(wrong)


def test_a_class_label_of_other_names_goes_by_its_order_and_folders_do_not() -> None:
    recipe = load_recipe("imagenet")
    other = [f"synonym {i}" for i in range(1000)]
    assert naming(other, recipe, listed=True)("synonym 744") == "missile (n04008634)"
    with pytest.raises(DataError, match="do not match"):
        naming(other, recipe)("synonym 744")


def test_folders_that_count_from_one() -> None:
    recipe = load_recipe("flowers102")
    named = naming([str(i) for i in range(1, 103)], recipe)
    assert (named("1"), named("102")) == ("pink primrose", "blackberry lily")
    assert naming([str(i) for i in range(102)], recipe)("0") == "pink primrose"


def test_folders_name_the_classes() -> None:
    recipe = load_recipe("cub200")
    folders = [f"{i:03d}.Bird_{i}" for i in range(1, 201)]
    named = naming(folders, recipe)
    assert named.classes[:2] == ("Bird 1", "Bird 2")
    assert named("200.Bird_200") == "Bird 200"
    with pytest.raises(DataError, match=r"the files have 199 classes, such as '001.Bird_1'.* has 200"):
        naming(folders[:-1], recipe)
    with pytest.raises(DataError, match="would be named 'Bird 1'"):
        naming([*folders[:-1], "999.Bird_1"], recipe)
    assert naming([], recipe)("007.Some_Bird") == "Some Bird"


def test_folders_that_are_no_class_are_left_out() -> None:
    recipe = load_recipe("caltech101")
    folders = ["BACKGROUND_Google", "Faces", *(f"c{i}" for i in range(100))]
    assert naming(folders, recipe).classes[0] == "face with surroundings"


def test_the_users_own_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("n02\tgoldfish\n\nn01\ttench\nhen\n")
    asked = read_classes(str(tmp_path / "classes.txt"))
    assert asked == (("goldfish", "tench", "hen"), ("n02", "n01", "hen"))
    named = naming(["n01", "n02"], None, asked)
    assert [named("n02"), named("1"), named("Hen")] == ["goldfish", "tench", "hen"]
    with pytest.raises(DataError, match=r"the label 'goldfisch' .* Did you mean 'goldfish'"):
        named("goldfisch")


def test_names_that_differ_by_case_alone_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("Polish\npolish\nred\n")
    named = naming([], None, read_classes(str(tmp_path / "classes.txt")))
    assert [named("Polish"), named("polish"), named("RED")] == ["Polish", "polish", "red"]
    with pytest.raises(DataError, match="do not match"):
        named("POLISH")


@pytest.mark.parametrize(("text", "says"), [("a\nb\na\n", "it names 'a' twice"), ("\n", "it names no class")])
def test_class_files_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=f"classes=.*{says}"):
        read_classes(str(tmp_path / "classes.txt"))
