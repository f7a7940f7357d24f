"""What a network in an evaluation will be, before it is built: a finished store is found by this alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from siglino_core.config import Fit, ModelConfig
from siglino_core.encoders.card import Card
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import KINDS, OWN, STUDENT, UNTRAINED, Spec
from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.identity import network_identity
from siglino_core.evaluation.network.pixels import HALF, IMAGENET, OnGrid, OwnPixels, Squash
from siglino_core.evaluation.network.texts import Beside, read_texts
from siglino_core.evaluation.network.viewed import MEAN, Pixels
from siglino_core.models.config import SigLinoConfig
from siglino_core.networks import describe
from siglino_core.teachers.text import has_text_side

STUDENTS = (STUDENT, UNTRAINED)
NORMAL = {**dict.fromkeys((*STUDENTS, "siglip2", "lite", "lite_text", "efficientnet_lite0"), HALF), "dinov3": IMAGENET}
CROP_SHARE = {"dinov3": 224 / 256}  # its authors' evaluations scale the short side to 256 and take the middle 224


@dataclass(frozen=True, kw_only=True)
class Described:
    """A network without its weights; its first five attributes are those of `viewed.Viewed`.

    Attributes:
        beside: views that a head of text alignment adds, by name.
        spec: whose ``embeds`` says whether squares of pixels are taken, else packs of patches.
        shape: a student's; None: it is none.
    """

    identity: str
    views: Mapping[str, int]
    dense: Sequence[str]
    texts: Mapping[str, str]
    pixels: Pixels
    beside: Mapping[str, Beside] = field(default_factory=dict)
    spec: Spec
    card: Card
    shape: SigLinoConfig | None = None


def planned(config: ModelConfig, *, min_pixels: int, max_pixels: int) -> Described:
    """What a config's network will be.

    Args:
        min_pixels, max_pixels: bounds on an image's area where the config has none.

    Raises:
        ConfigError: there is no such network, or it cannot be shown images so, or no such view or text side.
        DataError: its weights are damaged.
    """
    asked = f"evaluate.models {config.name or config.network}"
    spec, card = _described(config)
    shape = _student_shape(spec)
    fit = _fit(config.fit, spec)
    pixels = _pixels(config, fit, spec, card, (config.min_pixels or min_pixels, config.max_pixels or max_pixels), asked)
    if shape is None:
        views, dense = {card.name: card.dim}, [card.name] if card.patches and not _blind(spec) else []
        tokens = {} if spec.embeds or not card.patches else views
        own = {card.name: config.network} if has_text_side(spec) else {}
    else:
        spaces = {STUDENT: shape.width, **{t.name: t.dim for t in shape.teachers}}
        views = {STUDENT: shape.width, MEAN: shape.width, **spaces}
        dense, own = list(spaces), {}
        tokens = {STUDENT: shape.width, **{t.name: t.dim for t in shape.teachers if not t.pooled}}
    texts, beside = read_texts(config.texts, views, tokens, own, asked)
    heads = [[name, head.of, head.identity] for name, head in sorted(beside.items())]
    return Described(
        identity=network_identity(spec.kind, card.identity, embeds=spec.embeds, beside=heads),
        views={**views, **{name: head.width for name, head in beside.items()}},
        dense=dense,
        texts=texts,
        pixels=pixels,
        beside=beside,
        spec=spec,
        card=card,
        shape=shape,
    )


def _described(config: ModelConfig) -> tuple[Spec, Card]:
    """The spec, whose ``embeds`` says which of the two calls is used, and the card."""
    spec = Spec.parse(config.network, "evaluate.models.network", weights=config.weights)
    in_grid = config.fit in (Fit.AUTO, Fit.GRID)
    if spec.kind != OWN:
        packs = bool(KINDS[spec.kind].teaches)
        # Whatever takes packs takes any size, so that its card is asked for without one.
        size = 0 if packs else config.image_size
        spec = replace(spec, image_size=size, embeds=not packs and config.fit is not Fit.GRID)
        return spec, describe(spec)
    first = replace(spec, embeds=not in_grid)  # what has both calls is asked for the one that fits
    try:
        return first, describe(first)
    except ConfigError:
        other = replace(spec, embeds=in_grid)
        if config.fit is Fit.GRID:
            raise
        return other, describe(other)


def _blind(spec: Spec) -> bool:
    """Whether its patches cannot be had: an encoder of one's own has no call for them."""
    return spec.kind == OWN and spec.embeds


def _student_shape(spec: Spec) -> SigLinoConfig | None:
    if spec.kind not in STUDENTS:
        return None
    from siglino_core.weights.load import shape_of

    return shape_of(spec.source)


def _fit(fit: Fit, spec: Spec) -> Fit:
    """The rule of sizes; a student's own is the grid."""
    if fit is Fit.AUTO:
        return Fit.OWN if spec.embeds else Fit.GRID
    return Fit.GRID if fit is Fit.OWN and spec.kind in STUDENTS else fit


def _pixels(
    config: ModelConfig, fit: Fit, spec: Spec, card: Card, bounds: tuple[int, int], asked: str
) -> OnGrid | OwnPixels | Squash:
    normal = _normal(spec)
    if fit is Fit.GRID:
        if config.image_size:
            raise ConfigError(f"{asked}: image_size={config.image_size} is of fit=own or fit=squash, and this is grid")
        from siglino_core.models.resolution import Resolution

        try:
            rule = Resolution(patch_size=card.patch_size, min_pixels=bounds[0], max_pixels=bounds[1])
        except ValueError as e:
            raise ConfigError(f"{asked}: {e}") from e
        return OnGrid(resolution=rule, normal=normal, squeezed=0 if card.native else card.pixels.size)
    size = config.image_size or card.pixels.size
    if not spec.embeds and size % card.patch_size:
        raise ConfigError(f"{asked}: image_size={size} is no multiple of its patch, {card.patch_size} pixels")
    if spec.embeds and size != card.pixels.size:
        raise ConfigError(f"{asked}: it takes images of {card.pixels.size} pixels, not image_size={size}: leave it out")
    if fit is Fit.SQUASH:
        return Squash(size=size, normal=normal)
    own = card.pixels
    share = CROP_SHARE.get(spec.kind, own.crop_share)
    return OwnPixels(preprocess=Preprocess(size=size, fit=own.fit, crop_share=share), normal=normal)


def _normal(spec: Spec) -> Mapping[str, Any]:
    """Mean and deviation of the channels that the network applies; of one's own they are not known."""
    if spec.kind in NORMAL:
        return NORMAL[spec.kind]
    return {} if spec.kind == OWN else import_module(f"siglino_core.{KINDS[spec.kind].describes}").colours(spec)
