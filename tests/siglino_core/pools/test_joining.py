"""Which text belongs to which image."""

import random

from hypothesis import given
from hypothesis import strategies as st

from siglino_core.pools.joining import NO_IMAGE, OTHER_IMAGE, join


def test_dots_in_names_are_no_suffixes() -> None:
    names = [f"{s}.{f:02d}.{kind}" for s in (21, 22) for f in range(4) for kind in ("png", "txt", "cls")]
    joined = join(names)
    assert joined.images == {
        f"{s}.{f:02d}.png": {"txt": f"{s}.{f:02d}.txt", "cls": f"{s}.{f:02d}.cls"} for s in (21, 22) for f in range(4)
    }
    assert joined.passed == {}


def test_masks_are_not_photographs() -> None:
    names = ["scene1.jpg", "scene1.seg.png", "scene1.depth.png", "scene1.json", "orphan.json", "orphan.txt"]
    assert join(names).images == {"scene1.jpg": {"json": "scene1.json"}}
    assert join(names).passed == {
        "scene1.seg.png": OTHER_IMAGE,
        "scene1.depth.png": OTHER_IMAGE,
        "orphan.json": NO_IMAGE,
        "orphan.txt": NO_IMAGE,
    }
    assert join(names, "seg.png").images == {"scene1.seg.png": {"json": "scene1.json"}}
    assert join(names, "JPG").images == {"scene1.jpg": {"json": "scene1.json"}}


def test_a_text_of_a_sample_belongs_to_all_its_images() -> None:
    joined = join(["a/2.left.jpg", "a/2.right.jpg", "a/2.json", "a/2.left.txt", "b/2.jpg"])
    assert joined.images == {
        "a/2.left.jpg": {"json": "a/2.json", "txt": "a/2.left.txt"},
        "a/2.right.jpg": {"json": "a/2.json"},
        "b/2.jpg": {},
    }


def test_an_image_with_a_text_of_its_own_is_a_picture() -> None:
    joined = join(["Mr.jpg", "Mr.txt", "Mr.Smith.jpg", "Mr.Smith.txt", "Mr.Jones.jpg"])
    assert joined.images == {"Mr.jpg": {"txt": "Mr.txt"}, "Mr.Smith.jpg": {"txt": "Mr.Smith.txt"}}
    assert joined.passed == {"Mr.Jones.jpg": OTHER_IMAGE}


def test_a_number_after_a_dot_is_no_mask() -> None:
    assert set(join(["1.png", "1.5.png", "2.png", "1.txt"]).images) == {"1.png", "1.5.png", "2.png"}
    assert join(["1.png", "1.5.png", "1.txt"]).images["1.5.png"] == {}


def test_a_caption_may_say_that_it_is_one() -> None:
    joined = join(["1.jpg", "1.caption.txt", "2.jpg", "2.depth.txt", "3.jpg", "3.caption"])
    assert joined.images == {"1.jpg": {"txt": "1.caption.txt"}, "2.jpg": {}, "3.jpg": {"txt": "3.caption"}}
    assert joined.passed == {"2.depth.txt": NO_IMAGE}


PARTS = st.lists(st.sampled_from(["a", "b", "1", "05", "seg", "caption"]), min_size=1, max_size=3).map(".".join)
NAMES = st.lists(
    st.tuples(st.sampled_from(["", "x/"]), PARTS, st.sampled_from(["jpg", "png", "txt", "json", "cls"])).map(
        lambda t: f"{t[0]}{t[1]}.{t[2]}"
    ),
    unique=True,
)


@given(NAMES, st.randoms())
def test_every_name_is_joined_or_counted_whatever_the_order(names: list[str], rng: random.Random) -> None:
    joined = join(names)
    used = {t for texts in joined.images.values() for t in texts.values()}
    assert set(names) == {*joined.images, *used, *joined.passed}
    assert not joined.images.keys() & joined.passed.keys()
    for image, texts in joined.images.items():
        own = image.rpartition(".")[0]
        for text in texts.values():  # of the image's own name, or of a part of it that no image has
            of = text.rpartition(".")[0]
            assert own == of or own.startswith(f"{of}.") or of == f"{own}.caption"
            assert own == of or of not in {n.rpartition(".")[0] for n in joined.images}
    shuffled = list(names)
    rng.shuffle(shuffled)
    again = join(shuffled)
    assert (again.images, again.passed) == (joined.images, joined.passed)
