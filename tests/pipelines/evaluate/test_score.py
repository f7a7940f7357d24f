"""Which network a student's heads are compared with, at every size."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.evaluate.score import _teachers

STUDENT = ("siglino", "siglino_mean", "siglip2", "dinov3")


def subject(name: str, *views: str) -> Any:
    return SimpleNamespace(name=name, described=SimpleNamespace(views=dict.fromkeys(views, 8)))


BESIDE = {
    one.name: SimpleNamespace(subject=one)
    for one in (
        subject("student", *STUDENT),
        subject("student@224", *STUDENT),
        subject("siglip2", "siglip2"),
        subject("siglip2@224", "siglip2"),
        subject("dinov3", "dinov3"),  # squeezes images to one size: there is none of it at 224
        subject("dinov3_large", "dinov3"),
    )
}


@pytest.mark.parametrize(
    ("name", "teachers"),
    [
        ("student", {"siglip2": "siglip2", "dinov3": "dinov3"}),
        ("student@224", {"siglip2": "siglip2@224", "dinov3": "dinov3"}),
        ("siglip2", {}),
        ("dinov3_large", {}),
    ],
)
def test_the_teachers_of_a_network(name: str, teachers: dict[str, str]) -> None:
    assert _teachers(BESIDE[name].subject, BESIDE) == teachers
