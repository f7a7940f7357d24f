"""Images among MiniLM's sentences by way of EfficientNet-Lite0: the demo's text-aligned teacher, in SigLIP2's place.

A summary is ``normalise(LiT + 0.5 ConSE)``, both of unit length:

- ConSE (Norouzi et al., 2014, arXiv:1312.5650): the ten likeliest ImageNet classes, by their probabilities, of the
  sentences "a photo of a {class}";
- LiT (Zhai et al., 2022, arXiv:2111.07991) with the towers changed over: a small head on the frozen network's features,
  trained against MiniLM's frozen vectors of captions by ``scripts/demo/train_text_head.py``.

The head and the classes' vectors lie beside this file; ``lite_text.md`` says what they reach. No image needs MiniLM.

Legend: B images, N patches of all images, V values of a patch, F features, K classes of ImageNet, P prompts, C width.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from siglino_core.encoders import efficientnet_lite
from siglino_core.encoders.card import Card
from siglino_core.encoders.efficientnet_lite import FLOPS_A_PATCH, LITE0, PARAMETERS, squeezed
from siglino_core.encoders.flops import Flops
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError
from siglino_core.hashing import files_hash
from siglino_core.teachers.by_shape import batches
from siglino_core.teachers.minilm import DIM, MiniLM
from siglino_core.teachers.teacher import Targets
from siglino_core.teachers.text import TextTower, writable

NAME = "lite_text"
RECIPE = 1  # goes up when the same weights give other targets
WEIGHTS = Path(__file__).with_name("lite_text.safetensors")
FEATURES, HIDDEN, CLASSES, LIKELIEST = 1280, 512, 1000, 10
CONSE_WEIGHT = 0.5  # by the classes that scripts/demo/train_text_head.py tunes on


def describe(spec: Spec | None = None) -> Card:
    """The card; its identity is that of the weights, which come with a package and with this one.

    Raises:
        ConfigError: the weights aren't installed, or the network's aren't the known ones.
    """
    if not WEIGHTS.is_file():
        raise ConfigError(f"{NAME} needs {WEIGHTS}, which comes with siglino: install it again")
    parts = f"{NAME} {RECIPE} {efficientnet_lite.identity(LITE0)} {files_hash([WEIGHTS])}"
    return _card(spec, hashlib.sha256(parts.encode()).hexdigest()[:32])


def outline(spec: Spec) -> Card:
    """The card without the weights' identity."""
    return _card(spec, "")


def load(spec: Spec | None = None, device: str = "cpu", dtype: torch.dtype = torch.float32) -> "LiteText":
    """The teacher, ready to compute; raises as :func:`describe`."""
    return LiteText(device, dtype, describe(spec))


def load_text(spec: Spec | None = None, device: str = "cpu") -> TextTower:
    """MiniLM's sentences, such as "a photo of a dog", cut at 256 tokens; there is no scale that probabilities need.

    Raises:
        ConfigError: MiniLM isn't installed.
    """
    return TextTower(dim=DIM, embed=MiniLM(device))


def _card(spec: Spec | None, identity: str) -> Card:
    return Card(
        name=NAME,
        dim=DIM,
        identity=identity,
        patches=False,
        preprocess=squeezed(spec),
        flops=Flops(linear=FLOPS_A_PATCH),
        parameters=PARAMETERS + CLASSES * (FEATURES + 1) + HIDDEN * (FEATURES + 1) + DIM * (HIDDEN + 1),
    )


class LiteText:
    """Summaries of unit length, to be compared with :meth:`text`'s."""

    def __init__(self, device: str, dtype: torch.dtype, card: Card) -> None:
        from safetensors.torch import load_file

        self.card = card
        self._network = Pooled(device, dtype)
        tensors = load_file(WEIGHTS, device)
        self._classes_KC = tensors.pop("classes").to(dtype)
        self._head = head()
        self._head.load_state_dict(tensors)
        self._head.eval().requires_grad_(False).to(device, dtype)
        self._minilm: MiniLM | None = None

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        features_BF, logits_BK = self._network(patches_NV, shapes)
        lit_BC = normalize(self._head(features_BF), dim=-1)
        return Targets(normalize(lit_BC + CONSE_WEIGHT * conse(logits_BK, self._classes_KC), dim=-1))

    def text(self, prompts: Sequence[str]) -> Tensor:
        """MiniLM's unit vectors [P, 384] of sentences such as "a photo of a dog", on the teacher's device.

        Raises:
            ConfigError: MiniLM isn't installed (images do without it), or they are no sequence of strings.
        """
        texts = writable(prompts)
        self._minilm = self._minilm or MiniLM(str(self._classes_KC.device))
        return self._minilm(texts).to(self._classes_KC.dtype)


class Pooled:
    """Lite0 over packs of any grids: features pooled over the whole map, and ImageNet's logits."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        network = efficientnet_lite.network(LITE0, classifier=True)
        self._network = network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """[B, 1280] and [B, 1000]."""
        network = self._network
        like = network.classifier.weight
        features_BF = like.new_empty(len(shapes), FEATURES)
        for places, pixels_B3HW in batches(patches_NV.to(like.device, like.dtype), shapes, 16):
            features_BF[places] = network.forward_head(network.forward_features(pixels_B3HW), pre_logits=True)
        return features_BF, network.classifier(features_BF)


def head(dropout: float = 0.0) -> torch.nn.Sequential:
    """The LiT head, untrained: [B, 1280] to [B, 384]."""
    nn = torch.nn
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.GELU(), nn.Dropout(dropout), nn.Linear(HIDDEN, DIM))


def conse(logits_BK: Tensor, classes_KC: Tensor) -> Tensor:
    """Unit vectors [B, C]: the likeliest classes' unit vectors, weighted by their probabilities."""
    top = logits_BK.softmax(-1).topk(LIKELIEST)
    return normalize((top.values[..., None] * classes_KC[top.indices]).sum(1), dim=-1)
