"""Texts that look for their image, and images for their texts: every view that has a text side, what two heads say
together, and sanity rows.

An image that stands there several times byte by byte (a row for each caption, as many tables have it) is one image with
the captions of all: as another it would be a tie with itself, and no text could find it.

Legend: N images, M texts, Q queries.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.results.result import CHANCE, SHUFFLED, Metric
from siglino_core.evaluation.retrieval import I2T, KS, T2I, Ranks, median_rank, retrieval_ranks
from siglino_core.evaluation.sanity import chance_recall, shuffled_texts
from siglino_core.evaluation.tasks.ensembles import AVERAGE, CALIBRATED, SIGLINO
from siglino_core.evaluation.tasks.question import Answer, Question, metric
from siglino_core.evaluation.tasks.retrieval_heads import (
    Head,
    average_ranks,
    calibrated_ranks,
    fitted,
    siglino_ranks,
)
from siglino_core.statistics.bootstrap import mean_interval
from siglino_core.statistics.proportion import wilson


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Texts and the images that they are of.

    Attributes:
        rows_N: where each image first stands among the features, int64 [N].
        images_M: which of these images each text is of, int64 [M].
        missed: of each text of an image that could not be read, the image; none of them is found.
    """

    texts: list[str]
    rows_N: np.ndarray
    images_M: np.ndarray
    missed: list[str]


def retrieval(question: Question) -> Iterator[Answer]:
    """Recall within the first 1, 5 and 10, in both directions."""
    pairs = _pairs(question)
    if not pairs.texts:
        return question.skip(Task.RETRIEVAL, "no sample has a caption")
    if not question.texts:
        return question.skip(Task.RETRIEVAL, "no view has a text side")
    if len(pairs.rows_N) < 2:
        return question.skip(Task.RETRIEVAL, "fewer than two images")
    if copies := len(question.test) - len(pairs.rows_N):
        said = f"{copies} of {len(question.test)} samples are byte by byte an image before them"
        question.note(Task.RETRIEVAL, f"{said}: it counts once, with the captions of all")
    for view, texts in question.texts.items():
        texts_MD = texts.features(pairs.texts)
        found = retrieval_ranks(question.test.summaries[view][pairs.rows_N], texts_MD, pairs.images_M)
        yield _answer(question, view, found, pairs, **texts.told)
    if heads := question.text_heads:
        yield from _together(question, pairs, *heads)
    view, texts = next(iter(question.texts.items()))
    shuffled_M = shuffled_texts(pairs.images_M, len(pairs.rows_N), question.seed)
    images_ND = question.test.summaries[view][pairs.rows_N]
    found = retrieval_ranks(images_ND, texts.features(pairs.texts), shuffled_M)
    yield _answer(question, view, found, pairs, sanity=SHUFFLED)
    yield _chance(question, view, pairs)


def _together(question: Question, pairs: Pairs, a: str, b: str) -> Iterator[Answer]:
    """Two heads: SigLino's form, their mean, and calibrated on captions of the train split where there are any."""
    images = {v: question.test.summaries[v][pairs.rows_N] for v in (a, b)}
    first, second = (Head.of(images[v], question.texts[v].features(pairs.texts)) for v in (a, b))
    told: dict[str, Any] = {"heads": [a, b]}
    yield _answer(question, SIGLINO, siglino_ranks(first, second, pairs.images_M), pairs, **told)
    yield _answer(question, AVERAGE, average_ranks(first, second, pairs.images_M), pairs, **told)
    mixes = fitted(question.train, question.texts, a, b, question.seed)
    if mixes is None:
        why = "no train split has two images with captions to fit its temperatures to"
        return question.note(Task.RETRIEVAL, f"no {CALIBRATED}: {why}")
    found = calibrated_ranks(first, second, pairs.images_M, *mixes)
    calibration = {direction: vars(mix) for direction, mix in zip((T2I, I2T), mixes, strict=True)}
    yield _answer(question, CALIBRATED, found, pairs, calibration=calibration, **told)


def _pairs(question: Question) -> Pairs:
    texts: list[str] = []
    images: list[int] = []
    rows: list[int] = []
    numbers: dict[str, int] = {}
    for row, (image, captions) in enumerate(zip(question.test.image_ids, question.test.captions, strict=True)):
        if image not in numbers:
            numbers[image] = len(rows)
            rows.append(row)
        texts += captions
        images += [numbers[image]] * len(captions)
    missed = [sample for sample, (_, captions) in question.test.failed.items() for _ in captions]
    return Pairs(texts=texts, rows_N=np.array(rows, np.int64), images_M=np.array(images, np.int64), missed=missed)


def _answer(question: Question, view: str, found: Ranks, pairs: Pairs, sanity: str = "", **parameters: Any) -> Answer:
    groups_M = np.concatenate([pairs.images_M, len(pairs.rows_N) + _numbered(pairs.missed)])
    lost_images = len(set(pairs.missed))
    metrics: dict[str, Metric] = {}
    for k in KS:
        hits_M = np.concatenate([found.text_to_image_M <= k, np.zeros(len(pairs.missed), bool)])
        interval = mean_interval(hits_M.astype(np.float64), groups_M, seed=question.seed)
        metrics[f"{T2I} recall@{k}"] = metric(interval, "bootstrap, clustered by image", len(hits_M))
    for k in KS:
        hits, n = int((found.image_to_text_Q <= k).sum()), len(found.images_Q) + lost_images
        metrics[f"{I2T} recall@{k}"] = metric(wilson(hits, n), "wilson")
    for direction, ranks_Q in ((T2I, found.text_to_image_M), (I2T, found.image_to_text_Q)):
        metrics[f"{direction} median rank"] = Metric(value=median_rank(ranks_Q), n=len(ranks_Q))
    n = len(pairs.texts) + len(pairs.missed)
    told = {"images": len(pairs.rows_N) + lost_images, "ties": "against", **parameters}
    failed = len(pairs.missed)
    result = question.result(Task.RETRIEVAL, view, metrics, n=n, n_failed=failed, sanity=sanity, **told)
    return Answer(result=result, rows=[] if sanity else _rows(question, view, found, pairs))


def _numbered(names: Sequence[str]) -> np.ndarray:
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)


def _rows(question: Question, view: str, found: Ranks, pairs: Pairs) -> list[dict]:
    features = question.test
    base = {"network": features.network, "view": view}
    names, ids = ([of[row] for row in pairs.rows_N] for of in (features.sample_ids, features.image_ids))
    rows: list[dict] = []
    numbers: Counter[str] = Counter()
    of_texts = zip(pairs.images_M.tolist(), found.text_to_image_M.tolist(), strict=True)
    told = [(names[i], ids[i], rank) for i, rank in of_texts]
    for sample, image, rank in [*told, *((sample, "", None) for sample in pairs.missed)]:
        key = {"sample_id": f"{sample}#{numbers[sample]}", "image_id": image, "group": sample}
        rows.append({**base, "metric": f"{T2I} recall@1", **key, "correct": float(rank == 1), "rank": rank})
        numbers[sample] += 1
    of_images = zip(found.images_Q.tolist(), found.image_to_text_Q.tolist(), strict=True)
    told = [(names[i], ids[i], rank) for i, rank in of_images]
    for sample, image, rank in [*told, *((sample, "", None) for sample in dict.fromkeys(pairs.missed))]:
        key = {"sample_id": sample, "image_id": image}
        rows.append({**base, "metric": f"{I2T} recall@1", **key, "correct": float(rank == 1), "rank": rank})
    return rows


def _chance(question: Question, view: str, pairs: Pairs) -> Answer:
    images, n = len(pairs.rows_N), len(pairs.texts)
    metrics = {}
    for direction in (T2I, I2T):
        for k in KS:
            share = chance_recall(pairs.images_M, images, k)[direction]
            metrics[f"{direction} recall@{k}"] = Metric(value=share, n=n)
    return Answer(result=question.result(Task.RETRIEVAL, view, metrics, n=n, sanity=CHANCE, images=images))
