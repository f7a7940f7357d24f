"""What weights don't say of themselves: their teachers, their licence, their images; as the Hub's cards want it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from siglino_core.config import Config
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError

# Ids that the Hub knows: https://huggingface.co/docs/hub/repositories-licenses
_IDS = (
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m "
    "afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl "
    "gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql "
    "ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 gemma unknown"
)
LICENCES = frozenset(_IDS.split())
UNKNOWN = "unknown"  # an id of the Hub's too
ON_HUB = ("dinov3", "siglip2", "siglino", "open_clip")  # kinds of teachers whose source may be a hub id
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]{0,59}")
_LINK = re.compile(r"https?://[!-~]+|[\w-][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What whoever exports a student says of it.

    Attributes:
        teachers: specs in the order of the student's; empty: they are not known.
        license: an id of the Hub's, or the name of another licence.
        license_link: where another licence's text is: a URL, or a file that will lie beside the card.
        datasets: the Hub's ids of the images that the student saw.

    Raises:
        ConfigError: a value that the Hub would refuse.
    """

    teachers: tuple[str, ...] = ()
    license: str = UNKNOWN
    license_link: str = ""
    datasets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.license) or self.license == "other":
            raise ConfigError(
                f"license={self.license}: an id of the Hub's such as apache-2.0, or the name of another licence in "
                "small letters, digits, dots and dashes"
            )
        if self.license_link and self.license in LICENCES:
            raise ConfigError(f"license_link={self.license_link}: the Hub knows license={self.license}; leave it out")
        if self.license_link and not _LINK.fullmatch(self.license_link):
            raise ConfigError(f"license_link={self.license_link}: a URL, or the name of a file beside the card")
        for name in self.datasets:
            if not _is_hub_id(name):
                raise ConfigError(f"datasets={name}: not an id of the Hub's, such as owner/name")

    @classmethod
    def of(cls, config: Config) -> Self:
        """What a run's config says; raises as the class."""
        said = config.export
        told = {"license": said.license, "license_link": said.license_link, "datasets": tuple(said.datasets)}
        try:
            return cls(teachers=tuple(config.targets.teachers), **told)
        except ConfigError as e:
            raise ConfigError(f"export.{e}") from e

    def deciding(self) -> dict[str, Any]:
        """What of it decides the card, as plain values: of the teachers, their ids on the Hub."""
        rest = {"license": self.license, "license_link": self.license_link, "datasets": list(self.datasets)}
        return {**rest, "base_models": self.base_models}

    @property
    def base_models(self) -> list[str]:
        """The teachers' ids on the Hub; a folder of this machine is none."""
        return [source for text in self.teachers if (source := hub_source(text))]


def hub_source(teacher: str) -> str:
    """The hub id of a teacher's spec; empty: it has none."""
    spec = Spec.parse(teacher, "targets.teachers")
    on_hub = spec.kind in ON_HUB and "/" in spec.source and not Path(spec.source).exists() and _is_hub_id(spec.source)
    return spec.source if on_hub else ""


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
