"""A finished sample stage written by hand: random images in a few training shards, with their index."""

import hashlib
import random
from typing import Any

import pyarrow as pa

from siglino_core import schema
from siglino_core.store import Identity, Run, Stage
from siglino_core.store.locate import locate
from tests.pictures import picture

LEVELS = 2
SIZES = ((32, 32), (48, 32), (32, 64), (64, 64), (96, 48))  # of pictures, width and height


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Images of up to 2 kB, none of which is a picture."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        data = rng.randbytes(rng.randrange(1, 2000))
        made.append(
            {
                "image_id": hashlib.sha256(data).hexdigest()[:32],
                "source_uri": "pool.parquet",
                "source_key": str(i),
                "format": "jpeg",
                "width": rng.randrange(1, 70_000),
                "height": rng.randrange(1, 70_000),
                "caption": None,
                "label": None,
                "level_1": rng.randrange(100),
                "level_2": rng.randrange(10),
                "bytes": data,
            }
        )
    return made


def sample(run: Run, images: list[list[dict[str, Any]]], *, indexed: bool = True, version: int = 2) -> Stage:
    """The stage, with a shard for each list."""
    stage = run.stage("sample")
    identity = Identity(stage="sample", version=version, config={}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": f"part-{i:05d}", "kind": "part"} for i in range(len(images))])
    for unit, mine in zip(todo.shards, images, strict=True):
        with stage.writer(unit["name"], identity.fingerprint) as out:
            name, wanted = f"images/{unit['name']}.parquet", schema.images(LEVELS)
            with out.parquet(name, wanted) as file:
                file.write_table(pa.Table.from_pylist(mine, wanted), row_group_size=7)
            if indexed:
                offset_N, length_N = locate(out.written(name), "bytes")
                wanted = schema.index(LEVELS)
                told = [
                    {**{k: image[k] for k in wanted.names if k in image}, "offset": o, "length": n}
                    for image, o, n in zip(mine, offset_N.tolist(), length_N.tolist(), strict=True)
                ]
                out.write(f"index/{unit['name']}.parquet", pa.Table.from_pylist(told, wanted), wanted)
            out.commit(rows=len(mine))
    stage.finish(identity, todo, facts={"kept": sum(map(len, images)), "levels": LEVELS})
    return stage


def pictures(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Images of five sizes that can be decoded."""
    made = rows(n, seed)
    for i, row in enumerate(made):
        width, height = SIZES[i % len(SIZES)]
        row["width"], row["height"] = width, height
        row["bytes"] = picture(1000 * seed + i, "png", (width, height))
        row["image_id"] = hashlib.sha256(row["bytes"]).hexdigest()[:32]
    return made
