"""Class vectors agree with open_clip's; names are text; templates say where the name goes."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation import zero_shot
from siglino_core.evaluation.arrays import unit
from siglino_core.evaluation.ensemble import ensemble
from siglino_core.evaluation.zero_shot import (
    by_class,
    class_vectors,
    duplicates,
    imagenet_templates,
    zero_shot_scores,
)


class Letters:
    """A text tower that counts letters, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls.append(texts)
        return np.array([[1 + text.count(letter) for letter in "abcdefgh{}"] for text in texts], np.float64)


def test_by_hand() -> None:
    vectors = {"a cat": [3.0, 4.0], "cat!": [0.0, 2.0], "a dog": [1.0, 0.0], "dog!": [1.0, 0.0]}
    found = class_vectors(lambda texts: np.array([vectors[t] for t in texts]), ["cat", "dog"], ["a {}", "{}!"])
    mean = np.array([0.6, 0.8 + 1]) / 2
    np.testing.assert_allclose(found, [mean / np.linalg.norm(mean), [1, 0]], rtol=1e-6)
    np.testing.assert_allclose(zero_shot_scores([[5.0, 0]], found), [[0.6 / np.hypot(0.6, 1.8), 1]], rtol=1e-6)


def test_against_open_clip() -> None:
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = open_clip.model.CLIP(
        16, {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}, text
    )
    model.eval()
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    names = [*open_clip.IMAGENET_CLASSNAMES[:7], "Hyla {0} arborea", "50% {wool}"]
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, names, open_clip.OPENAI_IMAGENET_TEMPLATES)

    @torch.no_grad()
    def encode(texts: list[str]) -> torch.Tensor:
        return 3 * model.encode_text(tokenizer(texts))

    found = class_vectors(encode, names, imagenet_templates())
    np.testing.assert_allclose(found, expected.T, atol=2e-6)
    images = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    logits = torch.nn.functional.normalize(images, dim=1) @ expected
    np.testing.assert_allclose(zero_shot_scores(images, found), logits, atol=5e-6)


def test_imagenet_templates() -> None:
    templates = imagenet_templates()
    assert len(templates) == 80
    assert templates[0] == "a bad photo of a {}."


def test_names_are_text() -> None:
    tower = Letters()
    class_vectors(tower, ["{}", "{0.__class__}", "a{", "%s"], ["see {} and {}"])
    assert tower.calls[0] == [
        "see {} and {}",
        "see {0.__class__} and {0.__class__}",
        "see a{ and a{",
        "see %s and %s",
    ]


@pytest.mark.parametrize(
    "template", ["a photo", "", "{0.__class__}", "{} {0}", "{name}", "{{}}", "{} {", "} {}", "{!r}"]
)
def test_templates_refused(template: str) -> None:
    with pytest.raises(DataError, match="where the class goes"):
        class_vectors(Letters(), ["a"], ["a {}", template])


def test_whole_classes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names, templates, whole, parts = ["a", "b", "c", "d", "e"], ["{}", "x {}", "y {}"], Letters(), Letters()
    expected = class_vectors(whole, names, templates)
    monkeypatch.setattr(zero_shot, "TEXTS", 7)
    np.testing.assert_array_equal(class_vectors(parts, names, templates), expected)
    assert [len(call) for call in parts.calls] == [6, 6, 3]
    assert [len(call) for call in whole.calls] == [15]


def test_duplicates() -> None:
    names = ["missile", "cat", "missile"]
    assert duplicates(names) == {"missile": [0, 2]}
    with pytest.raises(DataError, match=r"classes \[0, 2\] are all named 'missile'"):
        class_vectors(Letters(), names, ["{}"])
    found = class_vectors(Letters(), names, ["{}"], allow_duplicates=True)
    np.testing.assert_array_equal(found[0], found[2])
    scores = zero_shot_scores(found[2:], found)
    assert scores.argmax() == 0  # the second can't win
    assert scores[0, 0] == scores[0, 2]


def test_imagenet_has_two_names_twice() -> None:
    open_clip = pytest.importorskip("open_clip")
    assert sorted(map(tuple, duplicates(open_clip.IMAGENET_CLASSNAMES).values())) == [(657, 744), (836, 837)]


def test_recall_by_name() -> None:
    assert by_class(np.array([0.5, np.nan, 1.0, 0.0]), ["a", "b", "c", "a"]) == {"a (0)": 0.5, "c": 1.0, "a (3)": 0.0}


def test_scores_of_half_precision_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features, vectors = torch.from_numpy(rng.normal(size=(9, 6))).bfloat16(), unit(rng.normal(size=(4, 6)))
    found = zero_shot_scores(features, vectors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, unit(features) @ vectors.T, atol=1e-6)
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", 20)
    np.testing.assert_array_equal(zero_shot_scores(features, vectors), found)


def test_the_ensemble_is_here_too() -> None:
    assert zero_shot.ensemble is ensemble


@pytest.mark.parametrize(
    ("names", "templates", "says"),
    [
        ([], ["{}"], "no class names"),
        (["a"], [], "no templates"),
        (["a", " "], ["{}"], "class 1 has an empty name"),
    ],
)
def test_refused(names: list[str], templates: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        class_vectors(Letters(), names, templates)


def test_a_text_tower_that_answers_wrongly() -> None:
    with pytest.raises(DataError, match="1 vectors of 2 texts"):
        class_vectors(lambda texts: np.ones((1, 3)), ["a"], ["{}", "x {}"])
    with pytest.raises(DataError, match="row 1 of vectors of texts is all zeros"):
        class_vectors(lambda texts: np.eye(2)[:, :1], ["a"], ["{}", "x {}"])
    with pytest.raises(DataError, match="2 and 3 wide"):
        zero_shot_scores(np.ones((1, 2)), np.ones((1, 3)))
