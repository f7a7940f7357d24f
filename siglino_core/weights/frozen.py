"""A student as a frozen network: it embeds a pool, teaches another student, and is evaluated.

``siglino:SOURCE`` is the student itself, of any form that `siglino_core.weights.load` knows.
``siglino_untrained:SOURCE`` is one of its shape as it was before training: the published initialisation, with the
pooling heads copied from the weights, since those are the teachers'. Each of its blocks begins as the identity, so that
its CLS, and whatever a head makes of CLS, is the same for all images; patches and pooled summaries do differ.

Legend: B images, N patches of all images, V values of a patch, R registers, T tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import Flops
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import UNTRAINED, Spec
from siglino_core.errors import ConfigError
from siglino_core.hashing import fingerprint
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import SigLino
from siglino_core.models.size import backbone_parameters, forward_flops
from siglino_core.teachers.teacher import Targets
from siglino_core.weights import source
from siglino_core.weights.load import load_student, shape_of

NAMES = {False: "student", True: "untrained"}
GRID = 16  # patches of a side, where images are embedded as squares: as many as SigLIP2's have
SEED = 0  # of the untrained one's weights


def describe(spec: Spec) -> Card:
    """The card; its identity is that of the weights' bytes and of the configuration beside them."""
    return card_of(spec, shape_of(spec.source), _identity(spec))


def outline(spec: Spec) -> Card:
    """The card without the weights' identity, and without fetching them."""
    return card_of(spec, shape_of(spec.source), "")


def load(spec: Spec, device: str = "cpu", dtype: torch.dtype = torch.float32) -> "FrozenStudent":
    """The student, ready to compute.

    Raises:
        ConfigError: there is none, or it is of images that have other than three colours.
        DataError: what is there is damaged.
    """
    model = untrained(spec.source) if spec.kind == UNTRAINED else load_student(spec.source)
    return FrozenStudent(cast(model, device, dtype), card_of(spec, model.spec, _identity(spec)))


def untrained(weights: str, seed: int = SEED) -> SigLino:
    """A student of this one's shape before training, in fp32; the caller's random numbers stay as they are."""
    trained = load_student(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SigLino(trained.spec)
    for teacher in trained.spec.teachers:
        if teacher.pooled:
            head = f"{teacher.name}_multihead_attention_pooling_head"
            model.get_submodule(head).load_state_dict(trained.get_submodule(head).state_dict())
    return model.eval()


def card_of(spec: Spec, shape: SigLinoConfig, identity: str) -> Card:
    """The card of a student of this shape."""
    if shape.channels != 3:
        raise ConfigError(f"{spec.asked}: a student of {shape.channels} channels; images have 3")
    backbone = replace(shape, teachers=())
    a_pair = 4.0 * shape.heads * shape.head_dim * shape.layers
    a_token = forward_flops(backbone, 1) - a_pair
    p = shape.prefix
    return Card(
        name=NAMES[spec.kind == UNTRAINED],
        dim=shape.width,
        identity=identity,
        registers=shape.registers,
        patch_size=shape.patch_size,
        preprocess=Preprocess(size=spec.image_size or GRID * shape.patch_size, fit="squash"),
        flops=Flops(
            constant=a_token * p + a_pair * p * p,
            linear=a_token + 2 * a_pair * p,
            quadratic=a_pair,
            patch_size=shape.patch_size,
        ),
        parameters=backbone_parameters(shape),
    )


def cast(model: SigLino, device: str, dtype: torch.dtype) -> SigLino:
    """The model, frozen, on a device, in a precision; its routers stay fp32, so that no rounding reroutes a token."""
    return model.eval().requires_grad_(False).to(device, dtype)  # type: ignore[call-overload]


class FrozenStudent:
    """CLS as the summary, patches and registers, all in the student's own space, after the last norm.

    Attributes:
        model: the student, whose heads speak of the teachers' spaces.
    """

    def __init__(self, model: SigLino, card: Card) -> None:
        self.model, self.card = model, card

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        layout = self.model.layout(list(shapes))
        self.model.require_fits(patches_NV, layout)
        prefix_BPD, patches_ND = layout.parted(self.model.encode(patches_NV, layout))
        return Targets(prefix_BPD[:, 0], patches_ND, prefix_BPD[:, 1:])


def _identity(spec: Spec) -> str:
    weights = source.identity(spec.source)
    return fingerprint([weights, "untrained", SEED]) if spec.kind == UNTRAINED else weights
