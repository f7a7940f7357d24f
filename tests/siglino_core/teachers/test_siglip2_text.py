"""SigLIP2's texts: what transformers' own model says of them, and folders that cannot be read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from open_clip.tokenizer import canonicalize_text
from tokenizers import Tokenizer
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast, Siglip2Model

from siglino_core.encoders import Spec
from siglino_core.errors import ConfigError
from siglino_core.networks import load_teacher
from siglino_core.teachers import text_features, text_tower
from siglino_core.teachers.siglip2_text import Cleaning, canonical, load_text
from tests import siglip2

TEXTS = ["A photo of a dog", "A photo, of_a  dog's map.", "a map", "", "x" * 10_000, "\x00\x1b[31m\n", "é日本語👩‍👩‍👧"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Siglip2Model]:
    folder = tmp_path_factory.mktemp("both")
    return folder, siglip2.write(folder)


def by_hand(folder: Path, texts: list[str], clean: Callable[[str], str] = canonicalize_text) -> torch.Tensor:
    """Ids [B, 64]: the text's, the end's, then padding; of a text that is too long the first 63 and the end's."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [tokenizer.encode(clean(text), add_special_tokens=False).ids[:63] for text in texts]
    return torch.tensor([[*row, 1, *[0] * (63 - len(row))] for row in ids])


def test_it_is_transformers_own_text_feature(checkpoint: tuple[Path, Siglip2Model]) -> None:
    folder, model = checkpoint
    found = text_features(f"siglip2:{folder}", TEXTS)
    with torch.no_grad():
        wanted = model.get_text_features(input_ids=by_hand(folder, TEXTS)).pooler_output
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, normalize(wanted, dim=-1), atol=1e-5, rtol=0)
    assert torch.pdist(found).min() > 1e-2  # each text has its own


@pytest.mark.parametrize(("cleaning", "clean"), [("canonical", canonicalize_text), ("lower", str.lower)])
def test_what_is_done_to_a_text_first(
    checkpoint: tuple[Path, Siglip2Model], cleaning: Cleaning, clean: Callable[[str], str]
) -> None:
    folder, model = checkpoint
    tower = load_text(Spec.parse(f"siglip2:{folder}", "teacher"), cleaning=cleaning)
    with torch.no_grad():
        wanted = model.get_text_features(input_ids=by_hand(folder, TEXTS, clean)).pooler_output
    torch.testing.assert_close(tower.features(TEXTS), normalize(wanted, dim=-1), atol=1e-5, rtol=0)
    assert tower.cleaning == cleaning


def test_texts_are_canonical_unless_it_is_asked_otherwise(checkpoint: tuple[Path, Siglip2Model]) -> None:
    tower = text_tower(f"siglip2:{checkpoint[0]}")
    assert tower.cleaning == "canonical"
    torch.testing.assert_close(*tower.features(["a photo of a dog", "A photo_of, a DOG."]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A photo of a {}.", "a photo of a"),
        ("mother_of  pearl\tlamp", "mother of pearl lamp"),
        ("don't — é!", "dont — é"),
        ("...", ""),
    ],
)
def test_canonical(text: str, wanted: str) -> None:
    assert canonical(text) == wanted == canonicalize_text(text)


def test_it_lies_beside_the_teachers_summaries_with_a_scale_and_a_bias(checkpoint: tuple[Path, Siglip2Model]) -> None:
    folder, model = checkpoint
    tower, teacher = text_tower(f"siglip2:{folder}"), load_teacher(f"siglip2:{folder}")
    assert tower.dim == teacher.card.dim == 32
    assert (tower.scale, tower.bias) == (pytest.approx(model.logit_scale.exp().item()), -2.0)
    patches = torch.rand(4, 768, generator=torch.Generator().manual_seed(0)) * 2 - 1
    summary = normalize(teacher(patches, [(2, 2)]).summaries, dim=-1)
    with torch.no_grad():
        image = {"pixel_values": patches[None], "pixel_attention_mask": torch.ones(1, 4)}
        asked = {"input_ids": by_hand(folder, TEXTS[:2]), "spatial_shapes": torch.tensor([[2, 2]])}
        wanted = model(**image, **asked).logits_per_image
    found = summary @ tower.features(TEXTS[:2]).T * tower.scale + tower.bias
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_the_tokenizers_own_side_and_mask_do_not_matter(checkpoint: tuple[Path, Siglip2Model], tmp_path: Path) -> None:
    siglip2.write(tmp_path, padding_side="left", model_input_names=["input_ids", "attention_mask"])
    found, wanted = (text_features(f"siglip2:{folder}", TEXTS) for folder in (tmp_path, checkpoint[0]))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_texts_are_lower_cased_whatever_the_tokenizer_does(
    checkpoint: tuple[Path, Siglip2Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = checkpoint
    plain = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: plain)
    upper, lower = text_features(f"siglip2:{folder}", ["A PHOTO of a Dog", "a photo of a dog"])
    torch.testing.assert_close(upper, lower)


def test_folders_without_a_text_side(checkpoint: tuple[Path, Siglip2Model], tmp_path: Path) -> None:
    _, model = checkpoint
    model.vision_model.save_pretrained(tmp_path / "vision")
    with pytest.raises(ConfigError, match=r"^teacher=siglip2:\S+: this is the vision tower alone, without its text"):
        text_tower(f"siglip2:{tmp_path / 'vision'}")
    model.save_pretrained(tmp_path / "no_tokenizer")
    with pytest.raises(ConfigError, match=r"tokenizer\.json is missing"):
        text_tower(f"siglip2:{tmp_path / 'no_tokenizer'}")
    (tmp_path / "no_tokenizer/tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match="its tokenizer: "):
        text_tower(f"siglip2:{tmp_path / 'no_tokenizer'}")
    siglip2.write(tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"its weights lack text_model\.encoder\.layers\.2\S+ and 15 more"):
        text_tower(f"siglip2:{tmp_path / 'other'}")
