"""What tasks and sanity rows are called on pages and in tables, and how a share is written."""

from collections.abc import Mapping
from typing import Any

from siglino_core.report.numbers import percent
from siglino_core.report.words import clean

Plain = Mapping[str, Any]
SANITY_WORDS = {
    "chance": "chance",
    "permuted_labels": "permuted labels",
    "constant_features": "constant features",
    "shuffled_text": "shuffled text",
}
TASKS = {
    "knn": "k nearest neighbours",
    "logistic": "Logistic probe",
    "ridge": "Ridge probe",
    "zero_shot": "Zero-shot classification",
    "retrieval": "Retrieval",
    "segmentation": "Linear segmentation",
    "patch_retrieval": "Patch retrieval",
    "fidelity": "Fidelity to teachers",
    "geometry": "Geometry",
    "grounding_box": "Boxes of expressions",
    "grounding_mask": "Masks of expressions",
    "grounding_presence": "Presence of what is asked for",
}


def task_name(task: str) -> str:
    """What a task is called in a heading."""
    return TASKS.get(task, clean(task, 40))


def row_name(row: Plain) -> str:
    """network view; a sanity row by what it is, then whose."""
    name = clean(f"{row['network']} {row['view']}", 80)
    if not row["sanity"]:
        return name
    words = SANITY_WORDS.get(row["sanity"], clean(row["sanity"], 40))
    return f"{words} ({name})" if name else words


def answers_row_name(row: Plain) -> str:
    """The same in grounding's tables, whose baselines are boxes that have names of their own."""
    return clean(row["view"], 80) if row["sanity"] == "constant_features" else row_name(row)


def said(value: float, low: float | None, high: float | None) -> dict[str, str]:
    """A share in percent, and its interval where there is one."""
    between = "" if low is None or high is None else f"{percent(low)} to {percent(high)}"
    return {"mean": percent(value), "range": between}
