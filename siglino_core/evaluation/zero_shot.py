"""Classification by texts: a class is the mean direction of sentences about it, an image belongs to the nearest.

Legend: N images, C classes, T templates, D width.
Source: Radford et al. 2021, "Learning transferable visual models from natural language supervision", section 3.1.4.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, cosines, matrix, same_width, unit
from siglino_core.evaluation.data.class_names import imagenet_templates
from siglino_core.evaluation.ensemble import ensemble

__all__ = ["check_templates", "class_vectors", "duplicates", "ensemble", "imagenet_templates", "zero_shot_scores"]

PLACE = "{}"  # of the class's name in a template
TEXTS = 1024  # handed to the text tower at once, at least one class's


def check_templates(templates: Sequence[str]) -> None:
    """Raises DataError unless there is a template, and each has ``{}`` for the class and no other brace."""
    if not templates:
        raise DataError("no templates: a class needs at least one, such as 'a photo of a {}.'")
    for template in templates:
        rest = template.replace(PLACE, "")
        if rest == template or "{" in rest or "}" in rest:
            raise DataError(f"the template {template!r}: it needs {{}} where the class goes, and no other brace")


def duplicates(class_names: Sequence[str]) -> dict[str, list[int]]:
    """Names that several classes have, and which: only the first of them can win."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(class_names):
        found.setdefault(name, []).append(number)
    return {name: numbers for name, numbers in found.items() if len(numbers) > 1}


def class_vectors(
    encode: Callable[[list[str]], Array],
    class_names: Sequence[str],
    templates: Sequence[str],
    *,
    allow_duplicates: bool = False,
) -> np.ndarray:
    """The unit direction of each class, fp32 [C, D]: of the mean over templates of its sentences' unit vectors.

    Args:
        encode: vectors [n, D] of n texts, of any length; it is handed whole classes at a time.
        class_names: in the order of their numbers; text, whatever it contains.
        templates: with ``{}`` where the name goes.
        allow_duplicates: several classes may have the same name, as in ImageNet's own list; see :func:`duplicates`.

    Raises:
        DataError: no classes, a name that is empty or (unless allowed) not unique, a template without ``{}`` or with
            another brace, or vectors that are not one a text, not finite or zero.
    """
    check_templates(templates)
    if not class_names:
        raise DataError("no class names: zero-shot needs at least one")
    for number, name in enumerate(class_names):
        if not name.strip():
            raise DataError(f"class {number} has an empty name: a text needs one")
    several = duplicates(class_names)
    if several and not allow_duplicates:
        name, numbers = next(iter(several.items()))
        raise DataError(f"classes {numbers} are all named {name!r}: give each its own name, or allow duplicates")
    parts = []
    for rows in blocks(len(class_names), len(templates), cells=TEXTS):
        names = class_names[rows]
        texts = [template.replace(PLACE, name) for name in names for template in templates]
        found = unit(encode(texts), "vectors of texts", dtype=np.float64)
        if len(found) != len(texts):
            raise DataError(f"{len(found)} vectors of {len(texts)} texts: the text tower gives one each")
        mean = found.reshape(len(names), len(templates), -1).mean(1)
        parts.append(unit(mean, "class vectors"))
    return np.concatenate(parts)


def zero_shot_scores(features: Array, vectors: Array) -> np.ndarray:
    """Cosines of images and classes, fp32 [N, C].

    Args:
        features: [N, D], of any length.
        vectors: of classes, [C, D], from :func:`class_vectors`.

    Raises:
        DataError: widths differ, or rows that are not finite or zero.
    """
    features_ND, vectors_CD = matrix(features, "features"), unit(vectors, "class vectors", dtype=np.float64)
    same_width(features_ND, vectors_CD, "features and class vectors")
    scores_NC = np.empty((len(features_ND), len(vectors_CD)), np.float32)
    unit_ND = unit(features_ND)
    for rows in blocks(len(unit_ND), unit_ND.shape[1] + len(vectors_CD)):
        scores_NC[rows] = cosines(unit_ND[rows], vectors_CD)
    return scores_NC


def by_class(recall_C: np.ndarray, class_names: Sequence[str]) -> Mapping[str, float]:
    """A class's recall by its name, with its number where several have it; classes without samples are left out."""
    several = duplicates(class_names)
    names = [f"{name} ({number})" if name in several else name for number, name in enumerate(class_names)]
    return {name: float(recall) for name, recall in zip(names, recall_C, strict=True) if not np.isnan(recall)}
