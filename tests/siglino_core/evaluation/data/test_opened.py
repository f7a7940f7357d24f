"""A split with named classes: what changes its identity, what is left out, and counts."""

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.data.naming import Naming, naming
from siglino_core.evaluation.data.opened import OpenSplit, check_count, planned_count
from siglino_core.evaluation.data.recipe import load_recipe
from siglino_core.evaluation.data.sample import EvalSample, Unit, Unreadable


@dataclass(frozen=True, eq=False)
class Made:
    identity: str = "made"
    classes: tuple[str, ...] = ()
    passed: Counter[str] = field(default_factory=Counter)

    def units(self) -> list[Unit]:
        return [{"rows": 2}]

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        yield EvalSample(sample_id="1", data=b"", label="BACKGROUND_Google")
        yield EvalSample(sample_id="2", data=b"", label="Faces", captions=("x",))
        yield Unreadable(sample_id="3", reason="missing", error="gone", label="ant")


def test_names_that_utf8_cannot_write_stay_apart() -> None:
    @dataclass(frozen=True, eq=False)
    class Odd(Made):
        classes: tuple[str, ...] = ("\udcff", "é")

        def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
            for name in ("\udcff", "\udcfe"):
                yield EvalSample(sample_id=name, data=b"", label="\udcff", captions=("é", name))

    split = OpenSplit(split=Odd(), naming=naming(Odd.classes), name="all")
    assert split.classes == ("\\udcff", "é")
    found = list(split.read(split.units()[0]))
    assert [s.sample_id for s in found] == ["\\udcff", "\\udcfe"]
    assert [s.label for s in found] == ["\\udcff"] * 2
    assert found[0].captions == ("é", "\\udcff")


def test_the_count_of_tars_is_known_when_they_are_read() -> None:
    recipe = load_recipe("dtd")
    split = OpenSplit(split=Made(), naming=naming([], recipe), name="test1", known=recipe.splits["test"])
    split.require_count(1880)
    with pytest.raises(DataError, match=r"1879 images, and the split 'test1' of .* has 1880"):
        split.require_count(1879)
    OpenSplit(split=Made(), naming=naming([], recipe), name="test1").require_count(1879)  # a try on a part


def test_labels_are_named_of_the_unreadable_too_and_what_is_no_class_is_counted() -> None:
    split = OpenSplit(split=Made(), naming=naming([], load_recipe("caltech101")), name="all")
    found = list(split.read(split.units()[0]))
    assert [(s.sample_id, s.label, s.captions) for s in found] == [
        ("2", "face with surroundings", ("x",)),
        ("3", "ant", ()),
    ]
    assert split.passed == {"image_of_a_folder_that_is_no_class": 1}


def test_the_identity_follows_the_names() -> None:
    plain = OpenSplit(split=Made(), naming=Naming(), name="test")
    other = OpenSplit(split=Made(), naming=Naming(classes=("a",)), name="test")
    renamed = OpenSplit(split=Made(), naming=Naming(classes=("a",), by_label={"x": "a"}), name="test")
    assert len({plain.identity, other.identity, renamed.identity}) == 3
    assert plain.identity == OpenSplit(split=Made(), naming=Naming(), name="val", notes=("x",)).identity


def test_a_copy_leaves_the_plan_behind() -> None:
    split = OpenSplit(split=Made(), naming=Naming(), name="test")
    assert split.units() is split.units()
    assert "_planned" not in pickle.loads(pickle.dumps(split)).__dict__


def test_counts() -> None:
    assert planned_count([{"rows": 3}, {"rows": 4}]) == 7
    assert planned_count([{"rows": 3, "file": "0.tar"}]) is None
    recipe = load_recipe("coco_retrieval")
    check_count(recipe, recipe.splits["test"], 5000)
    check_count(recipe, recipe.splits["test"], 25010, "captions")
    check_count(recipe, recipe.splits["train"], 7, "captions")  # it is not known
    with pytest.raises(DataError, match=r"recipe=coco_retrieval: 25000 captions, and the split .* has 25010"):
        check_count(recipe, recipe.splits["test"], 25000, "captions")
