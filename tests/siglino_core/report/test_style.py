"""The page's colours: enough contrast in light, dark and print."""

import re
from pathlib import Path

import pytest

from siglino_core.report import curation

CSS = (Path(curation.__file__).parent / "templates" / "style.css").read_text()
LIGHT, DARK, PRINT = (
    dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_contrast_is_wcag_aa(theme: dict[str, str]) -> None:
    for text in ("ink", "quiet", "link", "good", "bad", "unsure"):
        assert contrast(theme[text], theme["paper"]) >= 4.5, text
        assert contrast(theme[text], theme["panel"]) >= 4.5, text
    for mark in ("kept", "over", "near", "exact", "rejected", "other", "ours", "random", "dedup", "pool"):
        assert contrast(theme[mark], theme["paper"]) >= 3, mark
    for mark in ("kept", "over", "near", "exact", "rejected", "other"):
        assert contrast(theme[mark], theme["panel"]) >= 3, mark


def test_every_theme_names_every_colour() -> None:
    assert set(LIGHT) == set(DARK) == set(PRINT)
