"""Other images' texts: never one's own image's, and no more shards than are needed."""

import numpy as np

from siglino_core.grounding.judged.shuffled import other_texts


def asked(*counts: int, first: int = 0) -> list[tuple[str, str]]:
    return [(f"i{first + i}", f"i{first + i} text {j}") for i, n in enumerate(counts) for j in range(n)]


def refused() -> list[tuple[str, str]]:
    raise AssertionError("the shard has enough texts")


def test_every_text_goes_to_another_image_once() -> None:
    own = asked(3, 2, 4, 3)
    for seed in range(20):
        found = other_texts(own, [refused], seed=seed, name="test-0-00000")
        assert found is not None
        assert sorted(found) == sorted(text for _, text in own)
        assert not any(text.startswith(f"{image} ") for (image, _), text in zip(own, found, strict=True))
    assert other_texts(own, [refused], seed=0, name="a") == other_texts(own, [refused], seed=0, name="a")
    assert other_texts(own, [refused], seed=0, name="a") != other_texts(own, [refused], seed=0, name="b")


def test_others_are_read_until_there_are_enough() -> None:
    own = asked(4)
    read: list[int] = []

    def more(i: int):
        def texts() -> list[tuple[str, str]]:
            read.append(i)
            return asked(2, first=10 * i)

        return texts

    found = other_texts(own, [more(1), more(2), more(3)], seed=0, name="x")
    assert read == [1, 2]
    assert found is not None
    assert len(found) == 4
    assert all(not text.startswith("i0 ") for text in found)
    assert len(set(found)) == 4


def test_a_set_of_one_image_has_none() -> None:
    assert other_texts(asked(4), [lambda: asked(1, first=5)], seed=0, name="x") is None
    assert other_texts([], [refused], seed=0, name="x") == []
    assert np.isscalar(other_texts(asked(1, 1), [], seed=0, name="x")[0])  # type: ignore[index]
