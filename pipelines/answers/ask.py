"""The model's answers to a shard of test images: read once each, asked every expression and another image's."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipelines.answers.layout import AnswersWork, answers_file, images, texts
from siglino_core import schema
from siglino_core.device import choose, memory_reused, single_thread
from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.judged.answer import Kind, judged, of_box, of_reply
from siglino_core.grounding.judged.shuffled import Asked, other_texts
from siglino_core.grounding.predict import replies
from siglino_core.store import Shard
from siglino_core.store.fetched import fetched

ROW_GROUP = 256  # rows that are held until they are written


def answer(work: AnswersWork, shard: Shard) -> dict[str, Any]:
    """Ask, judge and commit; returns the commit record."""
    name = shard["shard"]
    one = work.set_of(name)
    grounded = _model(work)
    others = [other for other in work.shards[one.number] if other != name]
    own = texts(work.expressions, name)
    more: list[Callable[[], Sequence[Asked]]] = [partial(texts, work.expressions, other) for other in others]
    shuffled = other_texts(own, more, seed=work.config.seed, name=name)
    counts = {"incomplete": 0, "same_words": 0, "shuffled": shuffled is not None}
    rows = 0
    with work.writer(shard["name"]) as out:
        with out.parquet(answers_file(name), schema.ANSWERS) as file, memory_reused():
            held: list[dict[str, Any]] = []
            left = None if shuffled is None else iter(shuffled)
            for row, image in images(work.expressions, name):
                rows += len(image.expressions)
                asked = None if left is None else [next(left) for _ in image.expressions]
                about = {"set": one.number, "image_id": image.image_id, "row": row}
                found = _answers(work, grounded, image, asked, counts, masks=one.masks)
                held += ({**about, **columns} for columns in found)
                if len(held) >= ROW_GROUP:
                    file.write_table(pa.Table.from_pylist(held, schema.ANSWERS))
                    held = []
            file.write_table(pa.Table.from_pylist(held, schema.ANSWERS))
        return out.commit(rows=rows, facts={**counts, "says": f"{rows} expressions of {one.name}"})


def _answers(
    work: AnswersWork,
    grounded: Any,
    image: Referring,
    asked: Sequence[str] | None,
    counts: dict[str, Any],
    *,
    masks: bool,
) -> Iterator[dict[str, Any]]:
    """Rows of all expressions of an image, and of all who answer."""
    masks = masks and work.config.answers.masks
    size = image.height, image.width
    said = _replies(work, grounded, image, [*(e.text for e in image.expressions), *(asked or ())], masks=masks)
    boxes = _boxes(work)
    for number, expression in enumerate(image.expressions):
        reply = next(said)
        counts["incomplete"] += not reply.complete
        yield {
            "number": number,
            **judged(expression, of_reply(reply, masks=masks), size=size, kind=Kind.MODEL),
        }
        for kind, box in boxes.items():
            saying = of_box(box, image.width, image.height, masks=masks)
            yield {"number": number, **judged(expression, saying, size=size, kind=kind, keep=False)}
    for number, (expression, text) in enumerate(zip(image.expressions, asked or (), strict=asked is not None)):
        counts["same_words"] += text == expression.text
        saying = of_reply(next(said), masks=masks)
        found = judged(expression, saying, size=size, kind=Kind.SHUFFLED, asked=text, keep=False)
        yield {"number": number, **found}


def _replies(
    work: AnswersWork, grounded: Any, image: Referring, queries: Sequence[str], *, masks: bool
) -> Iterator[Any]:
    """What the model says, query by query.

    Raises:
        DataError: the image cannot be decoded, or an expression cannot be asked; both are named.
    """
    if not queries:
        return
    settings: dict[str, Any] = {
        "processor": grounded.processor,
        "forced": work.config.answers.forced,
        "most": work.config.ground.most_instances,
    }
    try:
        yield from replies(grounded.model, image.data, queries, "mask" if masks else "box", **settings)
    except (DataError, ValueError, OSError) as e:
        raise DataError(
            f"image {printable(image.image_id, 60)} of {work.expressions.files.url} cannot be answered: {e}"
        ) from e


@lru_cache(maxsize=1)
def _boxes(work: AnswersWork) -> dict[Kind, np.ndarray]:
    """The boxes that answer everything, relative to an image's sides."""
    stored = work.priors()
    return {kind: np.array(stored[kind.value]) for kind in (Kind.CENTRE, Kind.PRIOR) if stored[kind.value]}


@lru_cache(maxsize=1)
def _model(work: AnswersWork) -> Any:
    """The model on this worker's device; read once by a worker, and not once a shard.

    Raises:
        DamagedError: a file of it is not what was written.
    """
    device = choose(work.config.runtime.device, work.config.answers.precision.value)
    if device.device == "cpu":
        single_thread()
    ground = work.run.stage("ground")
    names = [name for name in ground.require().files if name.startswith("model/")]
    with fetched(ground.files, names) as folder:
        grounded = (work.load or _load)(str(folder / "model"))
    model: torch.nn.Module = grounded.model
    model.eval().requires_grad_(False).to(device.device, getattr(torch, work.precision))  # type: ignore[call-overload]
    return grounded


def _load(folder: str) -> Any:
    from siglino_core.grounding.folder import load_grounding

    return load_grounding(folder)
