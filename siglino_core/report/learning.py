"""What is learned from the sample, in words: better than from a random one, worse, or not to be told apart."""

from typing import Literal

from siglino_core.report.model import Interval, Learning
from siglino_core.report.numbers import plural

Verdict = Literal["better", "worse", "not told apart"]


def verdict(difference: Interval) -> Verdict:
    """Better and worse are what the whole interval says; with 0 inside it, or without one, nothing is told apart."""
    if difference.low is None or difference.high is None:
        return "not told apart"
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else "not told apart"


def points(difference: Interval) -> str:
    """A difference of shares in points: +3.9 points (+2.2 to +5.6)."""
    if difference.low is None or difference.high is None:
        return f"{100 * difference.mean:+.1f} points"
    return f"{100 * difference.mean:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def sentence(difference: Interval) -> str:
    """The verdict on a sample, as a sentence without its full stop."""
    found = verdict(difference)
    if difference.low is None and difference.n < 2:
        return f"one draw does not tell this sample from a random one of its size: probe {points(difference)}"
    if found == "not told apart":
        said = "by what it teaches this sample cannot be told from a random one of its size"
        return f"{said}: probe {points(difference)}"
    return f"this sample teaches {found} than a random one of its size: probe {points(difference)}"


def how(learning: Learning) -> str:
    """How it was measured, in a sentence."""
    return (
        f"Ridge probes of the run's embeddings, trained on {plural(learning.train, 'image')} of the sample, or as many "
        f"random ones of the pool, and tested on {plural(learning.test, 'image')} that neither had: a quarter of each "
        f"of {plural(learning.labels, 'label')}. Accuracy is a mean over labels. Mean and 95% interval are over "
        f"{learning.splits} such splits."
    )
