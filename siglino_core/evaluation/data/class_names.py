"""Class names of known data sets, from the installed packages that have them."""

import importlib.util
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from siglino_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class KnownClasses:
    """The classes of a data set in the order of their numbers.

    Attributes:
        names: no two alike.
        keys: what its folders are called.
        spoken: how a text names a class whose name had to be made one of its own.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...]
    spoken: Mapping[str, str] = field(default_factory=dict)


def distinct(spoken: Sequence[str], keys: Sequence[str]) -> KnownClasses:
    """Names that are given to two classes get each class's key after them: missile (n03773504)."""
    twice = {name for name, count in Counter(spoken).items() if count > 1}
    names = [f"{name} ({key})" if name in twice else name for name, key in zip(spoken, keys, strict=True)]
    plain = {name: said for name, said in zip(names, spoken, strict=True) if name != said}
    return KnownClasses(names=tuple(names), keys=tuple(keys), spoken=plain)


def imagenet() -> KnownClasses:
    """ImageNet-1k's 1,000 by open_clip's names, of which 998 differ; keys are WordNet's, from timm.

    Raises:
        ConfigError: a package lacks its list.
    """
    folder = _folder("timm") / "data" / "_info" / "imagenet_synsets.txt"
    try:
        keys = folder.read_text(encoding="utf-8").split()
    except OSError as e:
        raise ConfigError(f"{folder} is not there: install a timm that has it, or name classes in a file.") from e
    return distinct(_open_clip().IMAGENET_CLASSNAMES, keys)


def imagenet_templates() -> tuple[str, ...]:
    """open_clip's 80 templates of ImageNet, ``{}`` for the class."""
    return tuple(template("{}") for template in _open_clip().OPENAI_IMAGENET_TEMPLATES)


def flowers() -> KnownClasses:
    """Flowers-102's names, from torchvision; the data set's own files have numbers alone."""
    from torchvision.datasets import Flowers102

    names = tuple(Flowers102.classes)
    return KnownClasses(names=names, keys=names)


KNOWN: Mapping[str, Callable[[], KnownClasses]] = {"imagenet": imagenet, "flowers": flowers}


@lru_cache
def _open_clip() -> Any:
    """open_clip's file of names and templates alone: importing the package takes seconds and all of its models."""
    path = _folder("open_clip") / "zero_shot_metadata.py"
    spec = importlib.util.spec_from_file_location("siglino_zero_shot_metadata", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"{path} is not there: install an open_clip that has it, or give templates and classes.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package} is not installed, and it has the class names. pip install siglino")
    return Path(next(iter(spec.submodule_search_locations)))
