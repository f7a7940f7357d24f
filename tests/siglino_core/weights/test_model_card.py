"""The model card: front matter as the Hub has it, and code that runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from torch.nn.functional import normalize

from siglino_core.models import PRESETS, HeadConfig, SigLinoConfig
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.teachers import text_tower
from siglino_core.weights.export import export
from siglino_core.weights.model_card import model_card
from siglino_core.weights.origin import Origin
from tests import siglip2
from tests.pictures import pixels
from tests.siglino_core.models.tiny import TINY, filled

HUB = ("siglip2:google/siglip2-so400m-patch16-naflex", "dinov3:facebook/dinov3-vitl16-pretrain-lvd1689m")


def made(student: SigLinoConfig = TINY, **said: Any) -> str:
    processor = SigLinoImageProcessor(max_pixels=65_536, image_mean=0.25)
    return model_card(
        student, processor, name="student", source="org/name", parameters=522_833_120, origin=Origin(**said)
    )


def python(card: str) -> list[str]:
    """The blocks of code, in their order."""
    return [t.content for t in MarkdownIt().parse(card) if t.type == "fence" and t.info == "python"]


def test_the_shape_and_the_spaces() -> None:
    card = made(PRESETS["siglino-moe-0.3b"])
    for said in ("522,833,120", "153,183,888", "18 mixtures of 28 experts, 6 a token", "| `image_mean` | [0.25, 0.25"):
        assert said in card
    assert "| `siglip2` | 1152 | the teacher's own pooling | matching with texts" in card


def test_front_matter_by_the_hubs_conventions() -> None:
    card = ModelCard(made(teachers=HUB, license="apache-2.0", datasets=("owner/images",)))
    assert card.data.to_dict() == {
        "base_model": ["google/siglip2-so400m-patch16-naflex", "facebook/dinov3-vitl16-pretrain-lvd1689m"],
        "datasets": ["owner/images"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["siglino", "vision", "distillation", "mixture-of-experts"],
    }
    assert "`apache-2.0`, as given by whoever exported this model. The code files" in card.text
    assert "Images: `owner/images`" in card.text
    assert "teacher = 'google/siglip2-so400m-patch16-naflex'\n" in card.text


def test_what_is_not_known_is_not_said() -> None:
    data = ModelCard(made()).data
    assert data.license == "unknown"  # an id of the Hub's
    assert data.to_dict().keys() == {"library_name", "license", "pipeline_tag", "tags"}
    assert "The licence of the weights is not known" in made()


def test_a_licence_that_the_hub_does_not_know() -> None:
    data = ModelCard(made(license="dinov3-license", license_link="https://a.example/dinov3")).data
    assert (data.license, data.license_name, data.license_link) == (
        "other",
        "dinov3-license",
        "https://a.example/dinov3",
    )


def test_no_folder_of_this_machine(tmp_path: Path) -> None:
    open_clip = HeadConfig(name="open_clip", dim=24)
    student = SigLinoConfig(**{**vars(TINY), "teachers": (*TINY.teachers, open_clip)})
    card = made(student, teachers=(f"siglip2:{tmp_path}", f"dinov3:{tmp_path}", f"open_clip:{tmp_path}"))
    assert str(tmp_path) not in card
    assert "base_model" not in card
    assert "text_tower('open_clip:TEACHER')  # the folder or hub id of the one that taught this model" in card


def test_citations_of_its_teachers() -> None:
    assert {"2512.20157", "2502.14786", "2508.10104"} <= set(re.findall(r"arXiv:([\d.]+)", made()))
    lite = SigLinoConfig(**{**vars(TINY), "teachers": (HeadConfig(name="lite", dim=112),)})
    assert set(re.findall(r"arXiv:([\d.]+)", made(lite))) == {"2512.20157"}


def test_a_student_without_a_text_side_or_without_teachers() -> None:
    for teachers in ((HeadConfig(name="lite", dim=112),), ()):
        card = made(SigLinoConfig(**{**vars(TINY), "teachers": teachers}))
        assert "## Matching texts" not in card
        assert "text" not in "".join(python(card))


def test_versions_are_those_that_load_it_and_name_no_build() -> None:
    assert "load with `transformers>=4.57,<6.0`" in made()
    assert re.search(rf"Written by siglino [\d.]+ with torch {torch.__version__.partition('+')[0]};", made())


def test_the_code_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path)
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY))).eval()
    assert isinstance(model, SigLinoModel)
    export(model, "student", source="a run", max_pixels=64**2, origin=Origin(teachers=("siglip2:TEACHER", "dinov3:x")))
    pixels(0, (90, 60)).save("image.jpg")
    siglip2.write(tmp_path / "TEACHER", padding_side="left", model_input_names=["input_ids", "attention_mask"])
    seen: dict[str, Any] = {}
    for block in python(Path("student/README.md").read_text()):
        exec(block, seen)
    image = SigLinoImageProcessor(max_pixels=64**2, min_pixels=64**2)(seen["image"])
    with torch.no_grad():
        wanted = model(**image)
    torch.testing.assert_close(seen["out"].patch_features["dinov3"], wanted.patch_features["dinov3"])
    tower = text_tower(f"siglip2:{tmp_path / 'TEACHER'}")
    cosines = normalize(wanted.summary_features["siglip2"], dim=-1) @ tower.features(seen["texts"]).T
    assert tower.scale is not None
    assert tower.bias is not None
    torch.testing.assert_close(seen["probabilities"], torch.sigmoid(cosines * tower.scale + tower.bias))
    assert [tuple(m.shape) for m in seen["maps"]] == [(1, 32, *wanted.spatial_shapes[0].tolist())] * 2
    assert seen["predicted"].shape == (1,)
    assert seen["head"].weight.grad.abs().max() > 0
