"""The text sides of a network's views: its own, or those that a config gives it.

A student has none by itself: its ``siglip2`` view has the text side of the SigLIP2 that it learned, and its ``dinov3``
view that of dino.txt, whose image side makes a view of its own, ``dinotxt``, of DINOv3's tokens.

Legend: B images, R registers, N patches of all images, D width, C width of the texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from siglino_core.encoders.spec import DINOTXT, KINDS, Spec
from siglino_core.errors import ConfigError
from siglino_core.teachers.text import TextTower, text_tower


class HasTexts(Protocol):
    """A network, or the plan of one."""

    @property
    def views(self) -> Mapping[str, int]: ...
    @property
    def texts(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A view that a head of text alignment makes.

    Attributes:
        of: the view whose tokens it takes.
        width: of its features.
        identity: of its weights.
    """

    of: str
    width: int
    identity: str
    spec: Spec


class Aligns(Protocol):
    """An image side that starts from tokens."""

    def __call__(
        self, cls_BD: Tensor, registers_BRD: Tensor | None, patches_ND: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Summaries among the texts, [B, C]; ``shapes``: each image's (height, width) in patches."""
        ...


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Which view's tokens a head takes."""

    of: str
    head: Aligns


def read_texts(
    entries: Sequence[str],
    views: Mapping[str, int],
    tokens: Mapping[str, int],
    own: Mapping[str, str],
    asked: str,
) -> tuple[dict[str, str], dict[str, Beside]]:
    """The spec of each view's text side, and the views that are added for some.

    Args:
        entries: ``VIEW=SPEC``, which count before the network's own.
        views: the network's, with their widths.
        tokens: those whose CLS, registers and patches lie in one space, as a head of text alignment needs them.
        own: the network's own text sides, by view.
        asked: who asks, for messages.

    Raises:
        ConfigError: an entry that is none, a view that there is not, or a spec without a text side.
    """
    texts, beside = dict(own), {}
    for entry in entries:
        view, equals, text = entry.partition("=")
        if not equals or not view or not text:
            raise ConfigError(f"{asked}: texts={entry}: VIEW=SPEC, such as siglip2=siglip2:FOLDER")
        if view not in views:
            raise ConfigError(f"{asked}: texts={entry}: no view {view}; there are {', '.join(views)}")
        spec = Spec.parse(text, f"texts.{view}")
        if spec.kind not in KINDS or not KINDS[spec.kind].reads:
            readers = ", ".join(name for name, kind in KINDS.items() if kind.reads)
            raise ConfigError(f"{asked}: texts={entry}: {text} has no text side; there is one in {readers}")
        if spec.kind != DINOTXT:
            texts[view] = text
            continue
        if DINOTXT in beside or DINOTXT in views:
            raise ConfigError(f"{asked}: texts={entry}: there is a view {DINOTXT} already")
        beside[DINOTXT] = _beside(view, spec, tokens, f"{asked}: texts={entry}")
        texts[DINOTXT] = text
    return texts, beside


def _beside(view: str, spec: Spec, tokens: Mapping[str, int], asked: str) -> Beside:
    from siglino_core.teachers.dinotxt import head_of

    if view not in tokens:
        takes = f"; it may be of {', '.join(tokens)}" if tokens else ""
        raise ConfigError(f"{asked}: {view} has no CLS and patches in one space, which {DINOTXT} starts from{takes}")
    head, identity = head_of(spec)
    if head.width != tokens[view]:
        raise ConfigError(f"{asked}: it takes tokens {head.width} wide, and {view} has {tokens[view]}")
    return Beside(of=view, width=2 * head.width, identity=identity, spec=spec)


def load_texts(
    network: HasTexts, view: str, device: str = "cpu", weights: str = "", cleaning: str = "canonical"
) -> TextTower:
    """The text side of a network's view, ready to compute.

    Args:
        weights: file or folder, where the text side is a library's name.
        cleaning: of texts, as `siglino_core.config.evaluate.Cleaning` has it, where the text side lets one choose.

    Raises:
        ConfigError: the view has none, it cannot be had, or its vectors are not as wide as the view's.
    """
    if view not in network.texts:
        there = ", ".join(network.texts) or "none"
        raise ConfigError(f"view {view}: it has no text side (there is one for: {there}). Give texts={view}=SPEC.")
    spec = replace(Spec.parse(network.texts[view], f"texts.{view}"), weights=weights)
    tower = text_tower(spec, device, cleaning)
    if tower.dim != network.views[view]:
        raise ConfigError(
            f"{spec.asked}: its vectors are {tower.dim} wide, and those of view {view} {network.views[view]}"
        )
    return tower
