"""One grammar of specs: what each says, and one form of error for what says nothing."""

import pytest

from siglino_core.config import EmbedConfig, Pooling
from siglino_core.encoders.spec import KINDS, OWN, Spec
from siglino_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        ("dinov3:facebook/dinov3-vitb16-pretrain-lvd1689m", "dinov3", "facebook/dinov3-vitb16-pretrain-lvd1689m"),
        ("siglip2:/weights/of:mine", "siglip2", "/weights/of:mine"),
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k"),
        ("open_clip:ViT-B-32", "open_clip", "ViT-B-32"),
        ("lite", "lite", ""),
        ("own_teacher:load", OWN, "own_teacher:load"),
        ("some.package.teachers:Teacher", OWN, "some.package.teachers:Teacher"),
    ],
)
def test_what_a_spec_says(text: str, kind: str, source: str) -> None:
    spec = Spec.parse(text, "targets.teachers")
    assert (spec.kind, spec.source, spec.asked) == (kind, source, f"targets.teachers={text}")


def test_a_configs_encoder() -> None:
    config = EmbedConfig(encoder="open_clip:ViT-B-32", weights="w.safetensors", image_size=64, pooling=Pooling.MEAN)
    spec = Spec.of(config)
    assert spec.asked == "embed.encoder=open_clip:ViT-B-32"
    assert (spec.weights, spec.image_size, spec.pooling) == ("w.safetensors", 64, Pooling.MEAN)


@pytest.mark.parametrize(
    "text",
    ["", "resnet", "timm", "timm:", "dinov3:", "siglip:x/y", "efficientnet_lite0:x", "lite:", "a:b:c", "a b:c", ":x"],
)
def test_what_is_no_spec(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Spec.parse(text, "embed.encoder")
    said = str(caught.value)
    assert said.startswith(f"embed.encoder={text}: not one of dinov3:FOLDER_OR_HUB_ID, siglip2:")
    assert "open_clip:NAME_OR_FOLDER, efficientnet_lite0, lite, lite_text, module:attribute" in said


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dinvo3:facebook/x", "dinov3"),
        ("siglip:x/y", "siglip2"),
        ("openclip:ViT-B-32", "open_clip"),
        ("lite-text", "lite_text"),
        ("efficientnet_lite", "efficientnet_lite0"),
    ],
)
def test_a_misspelt_kind(text: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf" \(did you mean {meant}\?\)$"):
        Spec.parse(text, "targets.teachers")


def test_the_former_way_to_name_ones_own() -> None:
    says = r"^targets\.teachers=python:own_teacher:load: .* module:attribute now, without python: \(own_teacher:load\)$"
    with pytest.raises(ConfigError, match=says):
        Spec.parse("python:own_teacher:load", "targets.teachers")


def test_every_kind_has_its_modules() -> None:
    for kind in KINDS.values():
        for name in {kind.describes, kind.teaches} - {""}:
            module = __import__(f"siglino_core.{name}", fromlist=["load"])
            assert callable(module.load)
        assert {"describe", "outline"} <= vars(__import__(f"siglino_core.{kind.describes}", fromlist=["x"])).keys()
