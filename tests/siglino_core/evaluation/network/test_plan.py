"""What a network will be is known before it is built, and is what is built."""

import pickle
from pathlib import Path

import pytest
import torch

from siglino_core.config import Fit, ModelConfig
from siglino_core.encoders import Card, Preprocess
from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.identity import network_identity
from siglino_core.evaluation.network.plan import Described, planned
from siglino_core.teachers.teacher import Targets
from tests.siglino_core.evaluation.network.folders import BOUNDS, dinov3, loaded, siglino, siglip, timm_folder


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("plans")
    return {
        "siglino": siglino(root / "model"),
        "siglino_untrained": siglino(root / "again").replace(":", "_untrained:", 1),
        "dinov3": dinov3(root / "dinov3"),
        "siglip2": siglip(root / "siglip2"),
        "timm": timm_folder(root / "vit", "test_vit"),
        "lite_text": "lite_text",
        "both": f"{__name__}:Both",
    }


def plan(spec: str, **more: object) -> Described:
    return planned(ModelConfig(network=spec, **more), **BOUNDS)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["siglino", "siglino_untrained", "dinov3", "siglip2", "timm", "lite_text", "both"])
@pytest.mark.parametrize("fit", list(Fit))
def test_the_plan_is_what_is_built(specs: dict[str, str], kind: str, fit: Fit) -> None:
    wanted, network = plan(specs[kind], fit=fit), loaded(specs[kind], fit=fit)
    for name in ("identity", "views", "dense", "texts", "pixels"):
        assert getattr(network, name) == getattr(wanted, name)


def test_it_travels_between_processes(specs: dict[str, str]) -> None:
    for spec in specs.values():
        wanted = plan(spec)
        assert pickle.loads(pickle.dumps(wanted)) == wanted


def test_no_weights_are_built_for_it(specs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(torch.nn.Linear, "__init__", refuse)
    for kind in ("siglino", "siglino_untrained", "dinov3", "siglip2"):
        assert plan(specs[kind]).identity


def test_which_pixels_by_themselves(specs: dict[str, str]) -> None:
    rules = {kind: plan(specs[kind]).pixels.describe()["rule"] for kind in specs}
    assert rules == {**dict.fromkeys(specs, "grid"), "timm": "own"}
    assert plan(specs["siglino"], fit=Fit.OWN).pixels == plan(specs["siglino"]).pixels


def test_bounds_of_its_own(specs: dict[str, str]) -> None:
    said = plan(specs["siglino"], max_pixels=64 * 64).pixels.describe()
    assert (said["min_pixels"], said["max_pixels"]) == (32 * 32, 64 * 64)
    with pytest.raises(ConfigError, match=r"^evaluate\.models big: min_pixels=10000: above 0, at most max_pixels=9216"):
        plan(specs["siglino"], name="big", min_pixels=10_000)
    with pytest.raises(ConfigError, match="min_pixels=0"):
        planned(ModelConfig(network=specs["siglino"]), min_pixels=0, max_pixels=0)


def test_what_tells_features_apart_and_what_does_not(specs: dict[str, str], tmp_path: Path) -> None:
    again = siglino(tmp_path / "elsewhere")
    assert plan(again).identity == plan(specs["siglino"]).identity
    assert plan(again, fit=Fit.SQUASH).identity == plan(again, name="x", max_pixels=2000).identity  # pixels are apart
    assert len({plan(spec).identity for spec in specs.values()}) == len(specs)
    student = plan(specs["siglino"])
    assert student.identity == network_identity("siglino", student.card.identity, embeds=False)
    # Of features that were extracted once: another value would have all of them extracted again.
    assert network_identity("siglino", "w", embeds=False) == "da94eb76ee2a4577b8f603b7392dd6a2"
    heads = [["dinotxt", "dinov3", "h"]]
    assert network_identity("dinov3", "w", embeds=False, beside=heads) == "d4a2572f18c03a9e813ca06dd1ea979e"


def test_of_ones_own_whatever_it_does(specs: dict[str, str]) -> None:
    assert not plan(specs["both"]).spec.embeds
    assert plan(specs["both"], fit=Fit.OWN).spec.embeds
    assert plan(specs["both"], fit=Fit.OWN).dense == []
    assert plan(specs["both"]).dense == ["both"]
    with pytest.raises(ConfigError, match="No module named 'nowhere'"):
        plan("nowhere:Network")


@pytest.mark.parametrize("text", ["", "dino", "siglino:", "siglino"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^evaluate.models.network={text}: not one of "):
        plan(text)


def test_dino_txt_is_no_network_of_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no network of images. In an evaluation texts=dinov3=dinotxt:\S+ names it"):
        plan(f"dinotxt:{tmp_path}")


class Both:
    """A network of the user's that has both calls."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.card = Card(name="both", dim=3, identity="both", preprocess=Preprocess(size=32))

    def encode(self, pixels_BHW3: object) -> None: ...

    def __call__(self, patches_NV: torch.Tensor, shapes: list[tuple[int, int]]) -> Targets:
        return Targets(torch.zeros(len(shapes), 3))
