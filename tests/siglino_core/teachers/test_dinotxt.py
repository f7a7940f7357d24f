"""dino.txt from its public file: both sides, CLIP's tokens, and what is no such file."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from siglino_core.encoders import Spec
from siglino_core.errors import ConfigError
from siglino_core.networks import describe, load_teacher, outline
from siglino_core.teachers import text_tower
from siglino_core.teachers.dinotxt import head_of
from siglino_core.teachers.dinotxt_model import TextModel
from tests.siglino_core.teachers import dinotxt_file

TEXTS = ["A photo of a Dog.", "", "word " * 200, "!"]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return dinotxt_file.write(tmp_path_factory.mktemp("dinotxt"))


def parsed(text: str) -> Spec:
    return Spec.parse(text, "texts.dinov3")


def test_texts_are_the_models_own_of_clips_tokens(spec: str) -> None:
    from open_clip import tokenize

    tower = text_tower(spec)
    assert (tower.dim, tower.bias) == (128, None)
    assert tower.scale == pytest.approx(math.exp(2))
    prefix = "text_model."
    state = {k.removeprefix(prefix): v for k, v in dinotxt_file.state().items() if k.startswith(prefix)}
    model = TextModel.shaped(state)
    model.load_state_dict(state)
    ids = tokenize(TEXTS)
    assert ids.shape == (4, 77)
    assert ids[2, 76] == 49_407  # the end stays where a text is cut
    with torch.no_grad():
        wanted = normalize(model(ids), dim=-1)
    found = tower.features(TEXTS)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(tower.features(["a photo of a dog."])[0], found[0])  # lower case


def test_the_file_the_folder_and_safetensors_are_one(spec: str, tmp_path: Path) -> None:
    file = f"dinotxt:{Path(spec.removeprefix('dinotxt:')) / dinotxt_file.NAME}"
    other = dinotxt_file.write(tmp_path, name="dinotxt.safetensors")
    identities = {head_of(parsed(text))[1] for text in (spec, file, other)}
    assert len(identities) == 1
    torch.testing.assert_close(text_tower(other).features(TEXTS), text_tower(spec).features(TEXTS))


def test_other_weights_are_another_head(spec: str, tmp_path: Path) -> None:
    tensors = dinotxt_file.state()
    tensors["visual_model.head.ln_final.bias"] += 1
    torch.save(tensors, tmp_path / dinotxt_file.NAME)
    assert head_of(parsed(f"dinotxt:{tmp_path}"))[1] != head_of(parsed(spec))[1]


def test_the_image_side(spec: str) -> None:
    head, _ = head_of(parsed(spec))
    assert head.width == 64
    assert not any(p.requires_grad for p in head.parameters())
    assert head(torch.ones(1, 64), None, torch.ones(4, 64), [(2, 2)]).shape == (1, 128)


def test_it_is_no_network_of_images(spec: str) -> None:
    for ask in (describe, outline, load_teacher):
        with pytest.raises(ConfigError, match=r"no network of images.* texts=dinov3=dinotxt:\S+ names it"):
            ask(spec)


def test_what_is_no_such_file(tmp_path: Path) -> None:
    def refused(says: str) -> None:
        with pytest.raises(ConfigError, match=rf"^texts\.dinov3=dinotxt:.*{says}.*Give DINOv3's file"):
            head_of(parsed(f"dinotxt:{tmp_path}"))

    refused("holds no")
    (tmp_path / "x.pth").write_bytes(b"nonsense")
    refused("Error")
    torch.save({"other": torch.zeros(1)}, tmp_path / "x.pth")
    refused("not dino.txt's")
    tensors = dinotxt_file.state()
    del tensors["visual_model.head.blocks.1.ls1.gamma"]
    torch.save(tensors, tmp_path / "x.pth")
    refused("Missing key")
    torch.save({**dinotxt_file.state(), "run": print}, tmp_path / "x.pth")
    refused("UnpicklingError")
