"""From what a config says of a teacher to its card, and to the teacher itself.

``dinov3:SOURCE`` and ``siglip2:SOURCE`` (a folder or hub id), ``lite`` and ``lite_text`` (the demo's, installed with
pip), ``python:MODULE:FUNCTION`` for one of your own.
"""

import platform
from importlib import import_module
from typing import Any

import torch

from siglino_core.errors import ConfigError, DataError
from siglino_core.teachers.teacher import Teacher, TeacherCard

MODULES = {  # imported when asked for: transformers takes seconds
    "dinov3": "siglino_core.teachers.dinov3",
    "siglip2": "siglino_core.teachers.siglip2",
    "lite": "siglino_core.teachers.lite",
    "lite_text": "siglino_core.teachers.lite_text",
}
PLAIN = ("lite", "lite_text")  # these take no source
KNOWN = "dinov3:FOLDER_OR_HUB_ID, siglip2:FOLDER_OR_HUB_ID, lite, lite_text, python:MODULE:FUNCTION"


def describe_teacher(spec: str) -> TeacherCard:
    """The card; no network is built, but for a teacher of the user's own.

    Raises:
        ConfigError: there is no such teacher, or its weights cannot be had.
    """
    kind, source = _parts(spec)
    return _own(spec, source, "cpu", torch.float32).card if kind == "python" else _module(kind).describe(source)


def load_teacher(spec: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Teacher:
    """The teacher, frozen and ready to compute; raises as :func:`describe_teacher`.

    ``python:MODULE:FUNCTION`` calls ``FUNCTION(device, dtype)`` of a module that Python finds.
    """
    kind, source = _parts(spec)
    return _own(spec, source, device, dtype) if kind == "python" else _module(kind).load(source, device, dtype)


def same_teacher(teacher: Teacher, card: TeacherCard) -> Teacher:
    """The teacher, if it is on this machine the one that the run began with.

    Raises:
        DataError: it is another.
    """
    if teacher.card != card:
        raise DataError(
            f"teacher {card.name}: the weights on {platform.node()} are not those that the run began with "
            f"({teacher.card.identity[:12]}, not {card.identity[:12]}). Give every node the same."
        )
    return teacher


def _parts(spec: str) -> tuple[str, str]:
    kind, _, source = spec.partition(":")
    if (kind not in MODULES and kind != "python") or bool(source) == (kind in PLAIN):
        raise ConfigError(f"targets.teachers: {spec!r} is not one of {KNOWN}")
    return kind, source


def _module(kind: str) -> Any:
    return import_module(MODULES[kind])


def _own(spec: str, source: str, device: str, dtype: torch.dtype) -> Teacher:
    module, _, function = source.partition(":")
    try:
        teacher = getattr(import_module(module), function)(device, dtype)
    except (ImportError, AttributeError, ValueError) as e:
        raise ConfigError(
            f"targets.teachers: {spec}: {e}. It is python:MODULE:FUNCTION, the module where Python finds it "
            "(on every node), the function taking (device, dtype)."
        ) from e
    if not isinstance(getattr(teacher, "card", None), TeacherCard):
        raise ConfigError(f"targets.teachers: {spec}: what it returned has no `card`, a TeacherCard")
    return teacher
