"""What the card says beside the weights: the Hub's ids, and no folder of this machine."""

from pathlib import Path

import pytest

from siglino_core.config import Config, ExportConfig, TargetsConfig
from siglino_core.errors import ConfigError
from siglino_core.weights.origin import Origin

DINO = "facebook/dinov3-vitl16-pretrain-lvd1689m"


def test_base_models_are_hub_ids_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights/siglip2").mkdir(parents=True)
    local = (f"siglip2:{tmp_path}/weights/siglip2", "siglip2:weights/siglip2", "dinov3:weights", "open_clip:ViT-B-32")
    others = ("timm:vit_base_patch16_224", "lite", "lite_text", "my.module:teacher", "dinov3:/no/such/folder")
    assert Origin(teachers=(*local, *others)).base_models == []
    hub = (f"dinov3:{DINO}", "siglip2:google/siglip2-base-patch16-naflex", "open_clip:timm/ViT-B-16-SigLIP2")
    assert Origin(teachers=(*local, *hub)).base_models == [spec.partition(":")[2] for spec in hub]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"license": "Apache 2.0"}, "license=Apache 2.0: an id of the Hub's such as apache-2.0"),
        ({"license": "other"}, "license=other: an id of the Hub's"),
        ({"license": "mit\n---\n"}, "license=mit"),
        ({"license": ""}, "license=: an id"),
        ({"license": "mit", "license_link": "https://a.example"}, "the Hub knows license=mit; leave it out"),
        ({"license": "mine", "license_link": "see above"}, "license_link=see above: a URL, or the name of a file"),
        ({"datasets": ("/data/pool",)}, "datasets=/data/pool: not an id of the Hub's"),
        ({"datasets": ("a/b", "a/b/c")}, "datasets=a/b/c: not an id of the Hub's"),
    ],
)
def test_what_the_hub_would_refuse(said: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as e:
        Origin(**said)  # type: ignore[arg-type]
    assert str(e.value).startswith(says) or says in str(e.value)


def test_of_a_config() -> None:
    config = Config(
        targets=TargetsConfig(teachers=[f"dinov3:{DINO}"]),
        export=ExportConfig(license="dinov3-license", license_link="LICENSE.md", datasets=["owner/images"]),
    )
    told = {"license": "dinov3-license", "license_link": "LICENSE.md", "datasets": ["owner/images"]}
    assert Origin.of(config).deciding() == {**told, "base_models": [DINO]}
    with pytest.raises(ConfigError, match=r"^export\.license=No!: an id of the Hub's"):
        Origin.of(Config(export=ExportConfig(license="No!")))
