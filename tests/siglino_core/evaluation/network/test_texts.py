"""Text sides of views: a network's own, given ones, dino.txt's view, and what does not fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from siglino_core.config import ModelConfig
from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.load import describe_network
from siglino_core.evaluation.network.texts import load_texts, read_texts
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.models import HeadConfig, SigLinoConfig
from siglino_core.networks import load_teacher
from siglino_core.teachers.dinotxt import head_of
from tests.siglino_core.evaluation.network.folders import BOUNDS, dinov3, images, loaded, siglino, siglip, timm_folder
from tests.siglino_core.models.tiny import TINY, exported, student
from tests.siglino_core.teachers import dinotxt_file

TEXTS = ["a photo of a dog", "the map of a town"]
HEADS = (HeadConfig(name="siglip2", dim=32, pooled=True), HeadConfig(name="dinov3", dim=64))


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("texts")
    shape = SigLinoConfig(**{**vars(TINY), "teachers": HEADS})
    return {
        "student": f"siglino:{exported(root / 'model', student(shape))}",
        "narrow": siglino(root / "narrow"),
        "dinov3": dinov3(root / "dinov3"),
        "without_registers": dinov3(root / "bare", registers=0),
        "siglip2": siglip(root / "siglip2"),
        "wide": siglip(root / "wide", width=48),
        "dinotxt": dinotxt_file.write(root / "dinotxt"),
        "timm": timm_folder(root / "vit", "test_vit"),
    }


def test_a_networks_own_side(specs: dict[str, str]) -> None:
    network = loaded(specs["siglip2"])
    found = load_texts(network, "siglip2").features(TEXTS)
    assert found.shape == (2, network.views["siglip2"])
    assert load_texts(loaded("lite_text"), "lite_text").dim == 384


def test_a_given_one_counts_before_it(specs: dict[str, str]) -> None:
    given = [f"siglip2={specs['siglip2']}"]
    network = loaded(specs["student"], texts=given)
    assert network.texts == {"siglip2": specs["siglip2"]}
    assert network.identity == loaded(specs["student"]).identity  # texts shape no feature of an image
    assert load_texts(network, "siglip2").dim == network.views["siglip2"]
    other = describe_network(ModelConfig(network=specs["siglip2"], texts=[f"siglip2={specs['wide']}"]), **BOUNDS)
    assert other.texts == {"siglip2": specs["wide"]}


def test_dino_txt_adds_a_view_of_a_students_tokens(specs: dict[str, str]) -> None:
    given = [f"dinov3={specs['dinotxt']}"]
    network, plain = loaded(specs["student"], texts=given), loaded(specs["student"])
    assert network.views == {"siglino": 32, "siglino_mean": 32, "siglip2": 32, "dinov3": 64, "dinotxt": 128}
    assert list(network.dense) == ["siglino", "siglip2", "dinov3"]
    assert network.texts == {"dinotxt": specs["dinotxt"]}
    assert network.identity != plain.identity
    assert load_texts(network, "dinotxt").dim == 128
    independent(network)
    seen = network([network.pixels(image) for image in images()], dense=True)
    plain_seen = plain([network.pixels(image) for image in images()], dense=True)
    np.testing.assert_allclose(seen.summaries["dinov3"], plain_seen.summaries["dinov3"], atol=1e-5)
    assert "dinotxt" not in seen.patches


def test_other_weights_of_dino_txt_are_other_features(specs: dict[str, str], tmp_path: Path) -> None:
    tensors = dinotxt_file.state()
    tensors["visual_model.head.ln_final.bias"] += 1
    torch.save(tensors, tmp_path / dinotxt_file.NAME)
    given = [[f"dinov3={text}"] for text in (specs["dinotxt"], f"dinotxt:{tmp_path}")]
    plans = [describe_network(ModelConfig(network=specs["student"], texts=texts), **BOUNDS) for texts in given]
    assert plans[0].identity != plans[1].identity


@pytest.mark.parametrize(("kind", "registers"), [("dinov3", 4), ("without_registers", 0)])
def test_and_of_the_teachers_whatever_registers_it_has(specs: dict[str, str], kind: str, registers: int) -> None:
    from siglino_core.evaluation.network.packs import packed

    network = loaded(specs[kind], texts=[f"dinov3={specs['dinotxt']}"])
    independent(network)
    image = network.pixels(images()[1])
    shape = (image.shape[0] // 16, image.shape[1] // 16)
    targets = load_teacher(specs[kind])(packed([image], 16, "cpu"), [shape])
    assert targets.registers is not None
    assert targets.registers.shape[1] == registers
    assert targets.patches is not None
    head, _ = head_of(describe_network(ModelConfig(network=specs[kind], texts=[f"dinov3={specs['dinotxt']}"]), **BOUNDS)
                      .beside["dinotxt"].spec)  # fmt: skip
    wanted = head(targets.summaries, targets.registers, targets.patches, [shape])
    np.testing.assert_allclose(network([image]).summaries["dinotxt"], wanted, atol=1e-5)


def independent(network: Viewed) -> None:
    pixels = [network.pixels(image) for image in images()]
    together = network(pixels).summaries["dinotxt"]
    for i, one in enumerate(pixels):
        np.testing.assert_allclose(network([one]).summaries["dinotxt"][0], together[i], atol=1e-4)
    assert np.ptp(together, axis=0).max() > 1e-2


@pytest.mark.parametrize(
    ("network", "texts", "says"),
    [
        ("student", "siglip2", r"texts=siglip2: VIEW=SPEC, such as siglip2=siglip2:FOLDER"),
        ("student", "=lite_text", "VIEW=SPEC"),
        ("student", "clip=lite_text", "no view clip; there are siglino, siglino_mean, siglip2, dinov3"),
        ("student", "siglip2=nothing", "texts.siglip2=nothing: not one of"),
        ("student", "siglip2=lite", "lite has no text side; there is one in siglip2, dinotxt, open_clip, lite_text"),
        ("student", "siglip2=os:path", "os:path has no text side"),
        ("student", "siglip2={dinotxt}", "siglip2 has no CLS and patches in one space.*it may be of siglino, dinov3"),
        ("narrow", "dinov3={dinotxt}", "it takes tokens 64 wide, and dinov3 has 24"),
        ("timm", "{view}={dinotxt}", "has no CLS and patches in one space, which dinotxt starts from$"),
    ],
)
def test_what_does_not_fit(specs: dict[str, str], network: str, texts: str, says: str) -> None:
    view = next(iter(describe_network(ModelConfig(network=specs[network]), **BOUNDS).views))
    given = texts.format(**specs, view=view)
    with pytest.raises(ConfigError, match=says):
        describe_network(ModelConfig(name="mine", network=specs[network], texts=[given]), **BOUNDS)


def test_no_second_view_of_dino_txt(specs: dict[str, str]) -> None:
    given = [f"dinov3={specs['dinotxt']}"] * 2
    with pytest.raises(ConfigError, match="there is a view dinotxt already"):
        read_texts(given, {"dinov3": 64}, {"dinov3": 64}, {}, "it")


def test_a_tower_of_another_width_or_none(specs: dict[str, str]) -> None:
    network = loaded(specs["student"], texts=[f"siglip2={specs['wide']}"])
    with pytest.raises(ConfigError, match=r"its vectors are 48 wide, and those of view siglip2 32$"):
        load_texts(network, "siglip2")
    with pytest.raises(
        ConfigError, match=r"view dinov3: it has no text side .there is one for: siglip2.\. Give texts="
    ):
        load_texts(network, "dinov3")
    with pytest.raises(ConfigError, match="there is one for: none"):
        load_texts(loaded(specs["student"]), "siglip2")


def test_texts_and_images_meet(specs: dict[str, str], tmp_path: Path) -> None:
    network = loaded(specs["student"], texts=[f"siglip2={specs['siglip2']}", f"dinov3={specs['dinotxt']}"])
    seen = network([network.pixels(image) for image in images()])
    for view in network.texts:
        texts = load_texts(network, view).features(TEXTS)
        images_BD = torch.nn.functional.normalize(torch.from_numpy(seen.summaries[view]), dim=-1)
        assert (images_BD @ texts.T).shape == (5, 2)
