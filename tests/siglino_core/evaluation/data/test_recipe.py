"""The known data sets: every recipe holds together, and names are made as their data sets need them."""

import pytest

from siglino_core.config.evaluate import Task
from siglino_core.errors import ConfigError
from siglino_core.evaluation.data.recipe import load_recipe, recipes

COUNTS = {
    "ade20k": (2000, 20210, 150),
    "aircraft": (3333, 6667, 100),
    "caltech101": (8677, None, 101),
    "cityscapes": (500, 2975, 19),
    "coco_retrieval": (5000, 113287, 0),
    "cub200": (5794, 5994, 200),
    "dtd": (1880, 1880, 47),
    "flickr30k_retrieval": (1000, 29000, 0),
    "flowers102": (6149, 1020, 102),
    "food101": (25250, 75750, 101),
    "imagenet": (50000, 1281167, 1000),
    "voc2012": (1449, 1464, 21),
}


def test_these_are_known() -> None:
    assert recipes() == sorted(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_recipe_holds_together(name: str) -> None:
    recipe = load_recipe(name)
    test, train = recipe.splits["test"], recipe.splits.get("train")
    assert (test.count, train.count if train else None, recipe.class_count) == COUNTS[name]
    assert recipe.metric in ("top1", "mean_per_class", "recall_at_1", "miou")
    assert all(t.count("{}") == 1 for t in recipe.templates)
    assert bool(recipe.templates) == (Task.ZERO_SHOT in recipe.tasks)
    assert recipe.known_problems
    assert all(isinstance(p, str) and not p.endswith(".") for p in recipe.known_problems)
    assert {recipe.metric == "miou", bool(recipe.mask_ids), bool(test.masks)} in ({True}, {False})
    assert {recipe.metric == "recall_at_1", bool(test.karpathy), bool(recipe.annotations)} in ({True}, {False})
    if recipe.classes is not None:
        assert len(set(recipe.classes.names)) == recipe.class_count
    if recipe.mask_ids:
        assert len(set(recipe.mask_ids)) == recipe.class_count
    hash(recipe.tasks + recipe.templates + test.folders)  # tuples, no lists


def test_names_of_folders() -> None:
    cub, caltech = load_recipe("cub200"), load_recipe("caltech101")
    assert cub.tidy("001.Black_footed_Albatross") == "Black footed Albatross"
    assert caltech.tidy("Faces_easy") == "face alone"
    assert caltech.tidy("ceiling_fan") == "ceiling fan"
    assert load_recipe("aircraft").tidy("707-320") == "707-320"
    assert load_recipe("aircraft").tidy("737-200") == "737-200"


def test_names_as_texts_have_them() -> None:
    recipe = load_recipe("imagenet")
    assert recipe.classes is not None
    spoken = recipe.spoken(recipe.classes.names)
    assert spoken[657] == spoken[744] == "missile"
    assert len(set(spoken)) == 998
    assert load_recipe("dtd").spoken(["banded"]) == ["banded"]


@pytest.mark.parametrize(("asked", "meant"), [("CUB-200", "cub200"), ("image_net", "imagenet"), ("voc", "voc2012")])
def test_no_such_recipe(asked: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no such recipe. Did you mean {meant}.* There are ade20k, "):
        load_recipe(asked)
