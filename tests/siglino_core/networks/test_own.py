"""An encoder of one's own is held to its card, with one clear message for each way to be wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siglino_core.encoders import Card, Preprocess, Spec
from siglino_core.errors import ConfigError, DataError
from siglino_core.networks import describe, load_encoder, load_teacher, outline
from siglino_core.teachers.teacher import Targets

SETTING = "embed.encoder"
PIXELS = np.zeros((3, 8, 8, 3), np.uint8)


class Own:
    """A constant of unit length, or what is asked for."""

    def __init__(self, made: Any = None, **card: Any) -> None:
        settings = {"name": "own", "dim": 4, "identity": "x", "preprocess": Preprocess(size=8), **card}
        self.card, self._made = Card(**settings), made

    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        if callable(self._made):
            return self._made(pixels_BHW3)
        return np.tile([0.0, 0.6, 0.8, 0.0], (len(pixels_BHW3), 1)) if self._made is None else self._made

    def __call__(self, patches_NV: torch.Tensor, shapes: Any) -> Any:
        return self._made(patches_NV)


class NoEncode:
    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.card = Own().card


def right(device: str, dtype: torch.dtype) -> Own:
    return Own()


def packs_alone(device: str, dtype: torch.dtype) -> Own:
    return Own(preprocess=None)


def wide(device: str, dtype: torch.dtype) -> Own:
    return Own(np.ones((3, 5)))


def long(device: str, dtype: torch.dtype) -> Own:
    return Own(np.ones((3, 4)))


def not_finite(device: str, dtype: torch.dtype) -> Own:
    return Own(np.full((3, 4), np.nan))


def raises(device: str, dtype: torch.dtype) -> Own:
    return Own(lambda _: {}["blew up"])


def tensors(device: str, dtype: torch.dtype) -> Own:
    return Own(torch.eye(4, dtype=torch.bfloat16, requires_grad=True)[:3])


def text(device: str, dtype: torch.dtype) -> Own:
    return Own("no numbers")


def spec(function: Any, **settings: Any) -> Spec:
    return Spec.parse(f"{__name__}:{function.__name__}", SETTING, embeds=True, **settings)


def test_one_that_holds() -> None:
    encoder = load_encoder(spec(right), "cpu", "fp32")
    features = encoder.encode(PIXELS)
    assert (features.shape, features.dtype) == ((3, 4), np.float32)
    assert encoder.card == describe(spec(right))
    assert encoder.device.batch_size >= 1


def test_what_is_not_finite_is_left_to_the_caller() -> None:
    assert np.isnan(load_encoder(spec(not_finite)).encode(PIXELS)).all()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (wide, r"encoder own: features of shape \(3, 5\), its card says \(3, 4\)"),
        (long, "encoder own: its features are not of unit length"),
        (raises, r"^encoder own: KeyError: 'blew up' \(test_own\.py, line \d+\)$"),
        (text, "encoder own: `encode` returned str, no numbers"),
    ],
)
def test_features_that_are_wrong(function: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        load_encoder(spec(function)).encode(PIXELS)


def test_what_cannot_embed() -> None:
    with pytest.raises(ConfigError, match="what it returned has no `encode`"):
        load_encoder(spec(NoEncode))
    with pytest.raises(ConfigError, match="own: its card says no `preprocess`"):
        load_encoder(spec(packs_alone))
    with pytest.raises(ConfigError, match=r"takes images of 8 pixels: leave embed\.image_size out"):
        load_encoder(spec(right, image_size=16))


def test_tensors_of_any_precision_are_features_too() -> None:
    found = load_encoder(spec(tensors)).encode(PIXELS)
    assert (found.dtype, found.tolist()) == (np.float32, np.eye(4)[:3].tolist())


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no such weights')", r"RuntimeError: no such weights \(mine\.py, line 1\)$"),
        ("import no_such_package", r"ModuleNotFoundError: No module named 'no_such_package' \(mine\.py, line 1\)$"),
        ("def load(:", r"SyntaxError: .*\(mine\.py, line 1\)$"),
        ("import sys; sys.exit(3)", r"SystemExit: 3 \(mine\.py, line 1\)$"),
        ("import os\ndef load(d, t): os.environ['NOT_SET']", r"KeyError: 'NOT_SET' \(mine\.py, line 2\)$"),
        ("import json\ndef load(d, t): json.loads('{')", r"JSONDecodeError: .* \(mine\.py, line 2\)$"),
        ("def load(d, t): return d + 1", r"TypeError: .* \(mine\.py, line 1\)$"),
    ],
)
@pytest.mark.parametrize("asked", [describe, outline, load_teacher])
def test_code_that_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., Any], code: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(ConfigError, match="^targets.teachers=mine:load: " + says):
        asked("mine:load")


def listed(device: str, dtype: torch.dtype) -> Own:
    return Own(lambda x: (x, x))


def nothing(device: str, dtype: torch.dtype) -> Own:
    return Own(lambda x: None)


def arrays(device: str, dtype: torch.dtype) -> Own:
    return Own(lambda x: Targets(x.numpy()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (listed, "returned tuple, not Targets of tensors"),
        (nothing, "returned NoneType, not Targets"),
        (arrays, r"returned Targets of \['ndarray', None, None\], not"),
        (raises, r"KeyError: 'blew up' \(test_own\.py, line \d+\)$"),
    ],
)
def test_a_teacher_that_gives_no_targets(function: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"^teacher own: .*{says}" if "returned" in says else f"^teacher own: {says}"):
        load_teacher(f"{__name__}:{function.__name__}")(torch.zeros(6, 768), [(2, 3)])


def in_place(device: str, dtype: torch.dtype) -> Own:
    def changed(x: torch.Tensor) -> Targets:
        answer = Targets(x.sum(0, keepdim=True))
        x.zero_()
        return answer

    return Own(changed)


def test_a_teacher_may_change_its_input_and_nobody_elses() -> None:
    patches = torch.ones(6, 768)
    assert load_teacher(f"{__name__}:in_place")(patches, [(2, 3)]).summaries.sum() == 6 * 768
    assert patches.sum() == 6 * 768


def test_prices_are_told_of_what_would_be_refused_by_nobody() -> None:
    """A plan asks for what a run asks for."""
    for refused, how in ((NoEncode, {}), (packs_alone, {}), (right, {"image_size": 16})):
        with pytest.raises(ConfigError):
            outline(spec(refused, **how))
    with pytest.raises(ConfigError, match="it lacks __call__"):
        outline(f"{__name__}:NoEncode")
