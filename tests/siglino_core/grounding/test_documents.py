"""The hybrid mask: who sees whom."""

import pytest
import torch
from torch.nn.attention.flex_attention import create_mask

from siglino_core.grounding.documents import Documents
from siglino_core.models.segments import Segments


def seen(images: list[int], texts: list[int], image_Q: list[int] | None = None) -> torch.Tensor:
    of = image_Q if image_Q is not None else list(range(len(images)))
    return Documents.of(Segments.of(images), of, texts).mask_KK


def test_counts_of_pairs() -> None:
    assert seen([4], [3]).shape == (7, 7)
    assert int(seen([4], [3]).sum()) == 34
    assert int(seen([2, 3], [2, 1]).sum()) == 24


def test_the_rule_pair_by_pair() -> None:
    images, image_Q, texts = [3, 2], [0, 0, 1], [2, 1, 3]
    mask_KK = Documents.of(Segments.of(images, total=6), image_Q, texts, total=8).mask_KK
    image_of = [0, 0, 0, 1, 1, None]  # of tokens of images; the last is padding
    text_of = [0, 0, 1, 2, 2, 2, None, None]
    for q in range(14):
        for k in range(14):
            if k < 6 and q < 6:
                allowed = image_of[q] is not None and image_of[q] == image_of[k]
            elif q < 6:
                allowed = False
            elif k < 6:
                document = text_of[q - 6]
                allowed = document is not None and image_of[k] == image_Q[document]
            elif text_of[q - 6] is None:
                continue  # padding may see what it likes: it is dropped
            else:
                allowed = text_of[q - 6] == text_of[k - 6] and k <= q
            assert bool(mask_KK[q, k]) == allowed, (q, k)


def test_flex_attention_is_told_the_same() -> None:
    documents = Documents.of(Segments.of([130, 40], total=180), [0, 1, 1], [30, 5, 60], total=100)
    block = documents.block_mask
    dense = create_mask(block.mask_mod, None, None, 100, 280, "cpu")[0, 0]
    assert torch.equal(dense[:95], documents.mask_SK[:95])


def test_time_begins_anew_with_each_text() -> None:
    documents = Documents.of(Segments.of([2]), [0, 0], [3, 2], total=6)
    assert documents.time_S.tolist() == [1, 2, 3, 1, 2, 1]
    assert documents.document_S.tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("image_Q", "lengths", "total", "said"),
    [
        ([0], [1, 2], None, "1 images named for 2 texts"),
        ([0], [0], None, "no tokens"),
        ([2], [1], None, "numbers from 0 to 1"),
        ([1, 0], [1, 1], None, "order of their images"),
        ([0, 1], [3, 3], 5, "6 tokens in 5"),
    ],
)
def test_texts_that_do_not_fit(image_Q: list[int], lengths: list[int], total: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Documents.of(Segments.of([2, 3]), image_Q, lengths, total)
