"""Published counts: they add up to what papers say, and what differs is named."""

import pytest

from siglino_core.errors import DataError
from siglino_core.grounding.data import published
from siglino_core.grounding.data.published import PUBLISHED, Counts, check_counts, counted
from siglino_core.grounding.data.refs import DATASETS, Ref


def ref(number: int, image: int, split: str, sentences: int) -> Ref:
    return Ref(number=number, annotation=number, image=image, split=split, sentences=("x",) * sentences)


REFS = [ref(1, 1, "train", 2), ref(2, 1, "train", 1), ref(3, 2, "val", 3)]


def test_every_data_set_has_its_counts() -> None:
    assert set(PUBLISHED) == {(name, by) for name, several in DATASETS.items() for by in several}


@pytest.mark.parametrize(
    ("which", "expressions", "objects", "images"),
    [
        (("refcoco", "unc"), 142_210, 50_000, 19_994),
        (("refcoco+", "unc"), 141_564, 49_856, 19_992),
        (("refcocog", "umd"), 95_010, 49_822, 25_799),
    ],
)
def test_the_sums_are_those_of_the_papers(which: tuple[str, str], expressions: int, objects: int, images: int) -> None:
    counts = PUBLISHED[which].values()
    assert sum(c.expressions or 0 for c in counts) == expressions
    assert sum(c.objects for c in counts) == objects
    assert sum(c.images for c in counts) == images


def test_both_splits_of_one_data_set_have_the_same_objects() -> None:
    by = [sum(c.objects for c in PUBLISHED["refcocog", name].values()) for name in ("umd", "google")]
    assert by[0] == by[1]
    sentences = [sum(c.expressions or 0 for c in PUBLISHED["refcocog", name].values()) for name in ("umd", "google")]
    assert sentences[0] == sentences[1]


def test_what_is_there() -> None:
    assert counted(REFS) == {
        "train": Counts(expressions=3, objects=2, images=1),
        "val": Counts(expressions=3, objects=1, images=1),
    }


def test_differences_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        "train": Counts(expressions=None, objects=2, images=1),
        "val": Counts(expressions=3, objects=1, images=1),
    }
    monkeypatch.setitem(published.PUBLISHED, ("refcoco", "unc"), expected)
    check_counts(REFS, "refcoco", "unc")
    with pytest.raises(DataError, match="by unc is not what was published: val has 2 expressions instead of 3"):
        check_counts([*REFS[:2], ref(3, 2, "val", 2)], "refcoco", "unc")
    with pytest.raises(
        DataError, match="val has 0 expressions instead of 3; val has 0 objects instead of 1; val has 0"
    ):
        check_counts(REFS[:2], "refcoco", "unc")
    with pytest.raises(DataError, match="there is a split dev; train has 1 objects instead of 2"):
        check_counts([REFS[0], REFS[2], ref(9, 9, "dev", 1)], "refcoco", "unc")
