"""What the text head is trained on, and that a training is the same twice and learns."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from scripts.demo import train_text_head
from scripts.demo.sources import Candidate
from scripts.demo.train_text_head import Data, imagenet_classes, seen, train, usable, wordings, zero_shot


def candidate(key: str, label: str | None, caption: str | None, copy_of: str | None = None) -> Candidate:
    return Candidate(key=key, path=Path(key), label=label, caption=caption, copy_of=copy_of)


def test_what_is_usable() -> None:
    stars = [candidate(f"s{i:03}", "spirograph star", "a star") for i in range(100)]
    others = [candidate("b", "bird", None), candidate("a", "bird", "an owl"), candidate("c", "bird", "an owl", "a")]
    found = [c.key for c in usable([*others, *stars], 0)]
    assert found == sorted(found)
    assert len(found) == 61
    assert found[0] == "a"


def test_no_image_of_an_unseen_class_is_trained_on_by_label_word_or_look() -> None:
    images = [
        candidate("0", "bird", "an owl"),
        candidate("1", "icon", "two Birds: sky"),
        candidate("2", "icon", "a near copy of image 0"),
        candidate("3", "icon", "a birdcage"),
        candidate("4", None, "a mixed folder's"),
        candidate("5", "lamp", "it shines"),
    ]
    features = torch.eye(6, 1280)
    features[2] = features[0] + 0.1 * features[2]
    none = torch.zeros(6, 1, 1)
    data = Data(images=images, features_ISF=features[:, None], logits_ISK=none, texts_IWC=none)
    assert seen(data, ["bird"]) == [3, 5]
    assert seen(data, ["lamp"]) == [0, 1, 2, 3]


def test_wordings_of_a_caption() -> None:
    assert wordings("owl: bird, night") == ("owl: bird, night", "owl", "a photo of a owl")


def test_training_learns_and_is_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_text_head, "EPOCHS", 12)
    generator = torch.Generator().manual_seed(0)
    kinds, texts = (
        torch.randn(8, 1280, generator=generator),
        normalize(torch.randn(8, 384, generator=generator), dim=-1),
    )
    of = torch.arange(64) % 8
    features = kinds[of][:, None] + 0.5 * torch.randn(64, 2, 1280, generator=generator)
    first, second, other = (train(features, texts[of][:, None], seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)
    head = train_text_head.lite_text.head()
    head.load_state_dict(first)
    with torch.no_grad():
        images = normalize(head(kinds + torch.randn(8, 1280, generator=generator) / 2), dim=-1)
    names = [f"kind {k}" for k in range(8)]
    assert zero_shot(images, names, names, texts)[0] == 1


def test_accuracy_by_images_and_by_classes() -> None:
    texts = torch.eye(3)
    images = texts[[0, 0, 0, 1]]
    assert zero_shot(images, ["a", "a", "a", "c"], ["a", "b", "c"], texts) == (0.75, 0.5)


def test_names_of_imagenet() -> None:
    names = imagenet_classes()
    assert len(names) == 1000
    assert (names[0], names[1], names[999]) == ("tench", "goldfish", "toilet tissue")
