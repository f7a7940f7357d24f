"""Runs with expressions and a model, written by hand, and models that stand in for a fine-tuned one."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from pipelines import answers
from pipelines.support.runtime import Result
from siglino_core import schema
from siglino_core.config import Config, build
from siglino_core.grounding.data.referring import Expression, Referring
from siglino_core.grounding.data.table import to_table
from siglino_core.grounding.predict import Instance, Reply
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.store import Identity, Run
from tests.siglino_core.grounding.models import grounding, stirred
from tests.siglino_core.models.tiny import TINY

INDEX = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("expressions", pa.int32()),
        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),
    ]
)
WIDTH, HEIGHT = 64, 48


def boxed(box: Sequence[float], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """The mask of a box of whole pixels."""
    mask_HW = np.zeros((height, width), np.bool_)
    left, top, right, bottom = map(int, box)
    mask_HW[top:bottom, left:right] = True
    return mask_HW


def image(
    i: int,
    expressions: dict[str, list[list[int]]],
    *,
    masks: bool = True,
    name: str = "hand",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Referring:
    """Noise with expressions: text to boxes."""
    width, height = size
    pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    made = [
        Expression(
            text=text,
            boxes_K4=np.array(boxes, np.float32).reshape(-1, 4),
            masks=tuple(boxed(b, width, height) for b in boxes) if masks else None,
        )
        for text, boxes in expressions.items()
    ]
    return Referring(
        image_id=f"{name}/{i:04}",
        data=out.getvalue(),
        width=width,
        height=height,
        split=f"{name}/test",
        expressions=tuple(made),
    )


def several(count: int, *, masks: bool = True, name: str = "hand") -> list[Referring]:
    """Images with an expression of one referent, of two, and of none; no text comes twice."""
    rng = np.random.default_rng(7)
    found = []
    for i in range(count):
        x, y = (int(v) for v in rng.integers(0, (40, 26)))
        one, other = [x, y, x + 14, y + 12], [x + 16, y + 2, x + 24, y + 20]
        texts: dict[str, list[list[int]]] = {f"thing {i}": [one], f"both things {i}": [one, other], f"no thing {i}": []}
        found.append(image(i, texts, masks=masks, name=name))
    return found


def write(run: Run, sets: dict[str, list[list[Referring]]], train: list[Referring] | None = None) -> None:
    """A finished stage `expressions`: of each test set its shards, and one shard to train on."""
    stage, identity = run.stage("expressions"), Identity(stage="expressions", version=1, config={}, inputs={})
    units = {f"test-{n}-{u:05d}": rows for n, shards in enumerate(sets.values()) for u, rows in enumerate(shards)}
    kinds = dict.fromkeys(units, "test")
    train = several(12, name="train") if train is None else train
    units["train-0-00000"], kinds["train-0-00000"] = train, "train"
    todo = stage.begin(identity, lambda: [{"name": name, "kind": kinds[name]} for name in units])
    for name, rows in units.items():
        with todo.stage.writer(name, identity.fingerprint) as out:
            out.write(f"{name}.parquet", to_table(rows), schema.GROUNDING, row_group_size=1)
            out.write(f"index/{name}.parquet", pa.Table.from_pylist([_indexed(r) for r in rows], INDEX), INDEX)
            out.commit(rows=len(rows))
    told = {name: [row for rows in shards for row in rows] for name, shards in sets.items()}
    facts = [_told("test", n, name, rows) for n, (name, rows) in enumerate(told.items())]
    stage.finish(identity, todo, facts={"sets": [_told("train", 0, "learnt", train), *facts]})


def _told(which: str, number: int, name: str, rows: list[Referring]) -> dict[str, Any]:
    expressions = [e for row in rows for e in row.expressions]
    return {
        "which": which,
        "number": number,
        "name": name,
        "images": len(rows),
        "expressions": len(expressions),
        "instances": sum(len(e.boxes_K4) for e in expressions),
        "absent": sum(e.absent for e in expressions),
        "limit": 0,
        "masks": any(e.masks is not None for e in expressions),
    }


def _indexed(row: Referring) -> dict[str, Any]:
    scale = np.array([row.width, row.height] * 2, np.float32)
    boxes = [(box / scale).tolist() for e in row.expressions for box in e.boxes_K4]
    return {
        "image_id": row.image_id,
        "width": row.width,
        "height": row.height,
        "expressions": len(row.expressions),
        "boxes": boxes,
    }


def ground(run: Run, folder: Path | None = None) -> None:
    """A finished stage `ground`, with a model's folder; None: whose folder holds nothing that could be read."""
    files = {"config.json": b"{}"} if folder is None else {path.name: path.read_bytes() for path in folder.iterdir()}
    stage, identity = run.stage("ground"), Identity(stage="ground", version=1, config={}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "model", "kind": "model"}])
    with todo.stage.writer("model", identity.fingerprint) as out:
        for name, data in files.items():
            out.put(f"model/{name}", data)
        out.commit(rows=1)
    stage.finish(identity, todo)


class Memory:
    """Says of every image and text what it was told, and of all others that there is no such thing."""

    def __init__(self, rows: Sequence[Referring], *, blind: bool = False) -> None:
        self._known = {(row.data, e.text): e for row in rows for e in row.expressions}
        self._first = {row.data: row.expressions[0] for row in rows}
        self._blind = blind
        self.asked: list[tuple[str, str]] = []
        self._name = {row.data: row.image_id for row in rows}

    def __call__(
        self, model: Any, data: bytes, queries: Sequence[str], task: str, *, most: int = 32, **settings: Any
    ) -> Iterator[Reply]:
        """In the place of `siglino_core.grounding.predict.replies`."""
        for query in queries:
            self.asked.append((self._name[data], query))
            told = self._first[data] if self._blind else self._known.get((data, query))
            masks = told.masks if told is not None and task == "mask" else None
            boxes = [] if told is None else told.boxes_K4.tolist()[:most]
            present = 0.9 if boxes else 0.1
            found = [
                Instance((box[0], box[1], box[2], box[3]), 0.9 - 0.1 * i, None if masks is None else masks[i], present)
                for i, box in enumerate(boxes)
            ]
            yield Reply(present, found, True)


def nothing(folder: str) -> Any:
    """In the place of a model that was read."""
    assert json.loads((Path(folder) / "config.json").read_text()) == {}
    return SimpleNamespace(model=torch.nn.Linear(1, 1), processor=None)


def untrained(folder: str) -> Any:
    """A small model with drawn weights."""
    processor = SigLinoImageProcessor(patch_size=16, min_pixels=48**2, max_pixels=64**2)
    return SimpleNamespace(model=stirred(grounding(TINY)[0]), processor=processor)


def config(run: Run, **settings: Any) -> Config:
    """In this process, with four pictures of a set; settings as `answers__forced=True`."""
    values: dict[str, Any] = {"run": run.url, "runtime": {"runner": "local", "device": "cpu"}, "answers": {"shown": 4}}
    for key, value in settings.items():
        group, _, name = key.rpartition("__")
        (values.setdefault(group, {}) if group else values)[name] = value
    return build(Config, values)


def answered(run: Run, *, load: Any = nothing, redo: str = "no", **settings: Any) -> Result:
    """The stage, done."""
    return answers.run(config(run, **settings), run, redo=redo, load=load)


def contents(run: Run) -> dict[str, bytes]:
    """All files of the stage that are its artifact."""
    stage = run.stage("answers")
    return {name: stage.files.read(name) for name in stage.require().files}
