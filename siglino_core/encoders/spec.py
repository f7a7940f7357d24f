"""How a config says a frozen network: one grammar, for whatever uses it.

``dinov3:SOURCE`` and ``siglip2:SOURCE`` (a folder or hub id), ``siglino:SOURCE`` for a student of any form in which its
weights come, ``siglino_untrained:SOURCE`` for one of its shape before training, ``dinotxt:SOURCE`` for the text side of
DINOv3's features, ``timm:NAME_OR_FOLDER``, ``open_clip:NAME_OR_FOLDER``, the packaged ``efficientnet_lite0``, ``lite``
and ``lite_text``, and ``module:attribute`` for one of your own.
"""

from dataclasses import dataclass
from typing import Any, Self

from siglino_core.config import EmbedConfig, Pooling, did_you_mean
from siglino_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of network: what stands behind its colon, and the modules of `siglino_core` that know it.

    Attributes:
        source: in words; empty: nothing.
        describes: the module of its card, which also embeds images unless ``embeds`` is False.
        teaches: the module that takes packs of patches; empty: the encoder does, by pixels.
        reads: the module of its text side; empty: it has none.
    """

    describes: str
    source: str = ""
    embeds: bool = True
    teaches: str = ""
    reads: str = ""


STUDENT, UNTRAINED, DINOTXT = "siglino", "siglino_untrained", "dinotxt"
KINDS = {  # the modules are imported by `siglino_core.networks`, when they are asked for
    "dinov3": Kind(source="FOLDER_OR_HUB_ID", describes="encoders.dinov3", teaches="teachers.dinov3"),
    "siglip2": Kind(
        source="FOLDER_OR_HUB_ID",
        describes="encoders.siglip2",
        teaches="teachers.siglip2",
        reads="teachers.siglip2_text",
    ),
    STUDENT: Kind(source="FOLDER_FILE_OR_HUB_ID", describes="weights.frozen", embeds=False, teaches="weights.frozen"),
    UNTRAINED: Kind(source="FOLDER_FILE_OR_HUB_ID", describes="weights.frozen", embeds=False, teaches="weights.frozen"),
    DINOTXT: Kind(
        source="FOLDER_OR_FILE",
        describes="teachers.dinotxt",
        embeds=False,
        teaches="teachers.dinotxt",
        reads="teachers.dinotxt",
    ),
    "timm": Kind(source="NAME_OR_FOLDER", describes="encoders.timm_model"),
    "open_clip": Kind(source="NAME_OR_FOLDER", describes="encoders.open_clip_model", reads="teachers.open_clip_text"),
    "efficientnet_lite0": Kind(describes="encoders.efficientnet_lite"),
    "lite": Kind(describes="teachers.lite", embeds=False, teaches="teachers.lite"),
    "lite_text": Kind(
        describes="teachers.lite_text", embeds=False, teaches="teachers.lite_text", reads="teachers.lite_text"
    ),
}
OWN = "own"  # the kind of module:attribute
GRAMMAR = ", ".join([*(f"{k}:{v.source}" if v.source else k for k, v in KINDS.items()), "module:attribute"])


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A network as a config asks for it.

    Attributes:
        kind: a key of ``KINDS``, or ``OWN``.
        source: what stands behind the colon; of one's own the whole.
        asked: what the user wrote, with the setting's name, for messages.
        weights: file or folder, where the source is a name; empty: the library's own.
        image_size: side of the images that are embedded, in pixels; 0: the network's own.
        pooling: of DINOv3's tokens, where it embeds.
        embeds: it is asked for a pool's features, not for a student's targets.
    """

    kind: str
    source: str
    asked: str
    weights: str = ""
    image_size: int = 0
    pooling: Pooling = Pooling.CLS
    embeds: bool = False

    @classmethod
    def parse(cls, text: str, setting: str, **how: Any) -> Self:
        """The one parser.

        Args:
            setting: where the text stands, such as ``embed.encoder``.
            how: the attributes that are not in the text.

        Raises:
            ConfigError: it is no spec.
        """
        asked = f"{setting}={text}"
        kind, colon, source = text.partition(":")
        if kind == "python":
            raise ConfigError(f"{asked}: one of your own is named module:attribute now, without python: ({source})")
        if kind in KINDS:
            if bool(source) == bool(KINDS[kind].source) and bool(colon) == bool(source):
                return cls(kind=kind, source=source, asked=asked, **how)
        elif _names_an_attribute(kind, source):
            return cls(kind=OWN, source=text, asked=asked, **how)
        raise ConfigError(f"{asked}: not one of {GRAMMAR}{did_you_mean(kind, [k for k in KINDS if k != kind])}")

    @classmethod
    def of(cls, config: EmbedConfig) -> Self:
        """The encoder of a config; raises as :meth:`parse`."""
        return cls.parse(
            config.encoder,
            "embed.encoder",
            weights=config.weights,
            image_size=config.image_size,
            pooling=config.pooling,
            embeds=True,
        )


def _names_an_attribute(module: str, attribute: str) -> bool:
    return attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))
