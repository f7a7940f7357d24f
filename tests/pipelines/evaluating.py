"""A run to evaluate, small enough to be done again and again: curated by the real stages, its student made by hand."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from pipelines import cluster, embed, evaluate, export, sample, source
from pipelines.support.runtime import Progress, Result, silent
from siglino_core import schema
from siglino_core.config import Config, build
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.networks import describe
from siglino_core.store import Identity, Run
from tests import pools
from tests.pictures import encode, picture
from tests.siglino_core.evaluation.network import folders
from tests.siglino_core.models.tiny import TINY, filled
from tests.stages import finish

LABELS = ("disc", "box", "bar")
IMAGES, KEPT = 66, 30
BOUNDS = {"min_pixels": 32**2, "max_pixels": 64**2}
BY_THE_RUN = {f"targets__{name}": value for name, value in BOUNDS.items()}  # what the command would know by a note


def cutout(i: int) -> bytes:
    """A shape of its label on nothing, in a colour of its own."""
    rng = np.random.default_rng(i)
    ink = (*(int(v) for v in rng.integers(0, 256, 3)), 255)
    im = Image.new("RGBA", (48 + 8 * (i % 3), 48))
    draw, x, y = ImageDraw.Draw(im), int(rng.integers(2, 12)), int(rng.integers(2, 12))
    match LABELS[i % 3]:
        case "disc":
            draw.ellipse((x, y, x + 28, y + 28), fill=ink)
        case "box":
            draw.rectangle((x, y, x + 24, y + 24), fill=ink)
        case _:
            draw.rectangle((x, y, x + 32, y + 10), fill=ink)
    return encode(im, "png")


def made(folder: Path) -> Path:
    """A finished run in ``folder/run``, its teachers beside it: 66 labelled cut-outs with captions, 30 of them kept.

    What stands for its training and its targets is written by hand; the export is real.
    """
    rows = {
        "image": [cutout(i) for i in range(IMAGES)],
        "label": [LABELS[i % 3] for i in range(IMAGES)],
        "caption": [f"a photo of a {LABELS[i % 3]}, number {i}" for i in range(IMAGES)],
    }
    pools.parquet_file(folder / "pool.parquet", rows)
    config = build(
        Config,
        {
            "run": str(folder / "run"),
            "source": {"uri": str(folder / "pool.parquet"), "rows_per_shard": 24},
            "cluster": {"num_clusters": [6, 2]},
            "sample": {"target_size": KEPT, "near_duplicate": 1.0, "trim": 0.0},
            "runtime": {"runner": "local", "device": "cpu"},
        },
    )
    run = Run(config.run)
    for stage in (source, embed, cluster, sample):
        stage.run(config, run)
    folders.siglip(folder / "siglip2")
    folders.dinov3(folder / "dinov3", width=24)
    teach(run, {name: str(folder / name) for name in ("siglip2", "dinov3")})
    distil(run)
    for stage, command in (("sample", "siglino curate"), ("train", "siglino distill")):
        run.note({"command": command}, stage)
    return folder / "run"


def teach(run: Run, teachers: dict[str, str]) -> None:
    """Targets by hand, of teachers of these names and folders."""
    stage = run.stage("targets")
    stage.erase()
    specs = [f"{name}:{folder}" for name, folder in teachers.items()]
    cards = [{"identity": describe(spec).identity} for spec in specs]
    identity = Identity(stage="targets", version=1, config={"teachers": cards, **BOUNDS}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "all", "kind": "part"}])
    with stage.writer("all", identity.fingerprint) as out:
        out.put("data", b"targets")
        out.commit(rows=3)
    stage.finish(identity, todo, facts={"teachers": list(teachers), "asked": specs})


def distil(run: Run, seed: int = 0) -> None:
    """Train and export: a student of random weights."""
    for name in ("train", "export"):
        run.stage(name).erase()
    model: Any = filled(SigLinoModel(SigLinoHFConfig.of(TINY)), seed)
    scratch = Path(run.url).parent / "scratch"
    model.save_pretrained(scratch)
    files = {f"student/{n}": (scratch / n).read_bytes() for n in ("config.json", "model.safetensors")}
    shutil.rmtree(scratch)
    losses = [{"cluster": c, "first_step": 0, "last_step": 9, "images": 5, "loss": 1.0 - 0.1 * c} for c in range(6)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(losses, schema.CLUSTER_LOSS), buffer)
    facts = {"max_pixels": BOUNDS["max_pixels"], "cluster_level": 1}
    finish(run, "train", facts, {**files, "clusters/part-00000.parquet": buffer.getvalue()})
    export.run(Config(), run)


def config(run: str | Path, **changes: Any) -> Config:
    """One process of a CPU; later settings win: ``evaluate__k=[1]``."""
    return build(Config, nested({**settings(run), **changes}))


def words(run: str | Path, **changes: Any) -> list[str]:
    """The same as words of the command line."""
    targets = Run(str(run)).stage("targets").require()
    found = {**settings(run), **BY_THE_RUN, "targets__teachers": targets.facts["asked"], **changes}
    return [f"{key.replace('__', '.')}={_word(value)}" for key, value in found.items()]


def _word(value: Any) -> str:
    """A value as the command line's grammar has it: JSON, but for the quotes of keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_word(item)}" for key, item in value.items()) + "}"
    return "[" + ",".join(map(_word, value)) + "]" if isinstance(value, list) else json.dumps(value)


def settings(run: str | Path) -> dict[str, Any]:
    """Settings of a small evaluation."""
    return {
        "run": str(run),
        "evaluate__min_pixels": BOUNDS["min_pixels"],
        "evaluate__k": [3, 1],
        "evaluate__rows_per_shard": 16,
        "runtime__runner": "local",
        "runtime__device": "cpu",
    }


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """``a__b=c`` as a config is built from it."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split("__")
        at = found
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return found


def evaluated(run: Path, *, redo: str = "no", progress: Progress = silent, **changes: Any) -> Result:
    """Evaluate in this process."""
    return evaluate.run(config(run, **changes), Run(str(run)), progress, redo=redo)


def student(run: Path, **more: Any) -> dict[str, Any]:
    """The run's student as ``evaluate.models`` takes it."""
    return {"name": "student", "network": f"siglino:{run}/export/student", **more}


def folder_of(folder: Path, count: int, broken: int = 0) -> dict[str, Any]:
    """An imagefolder of labelled pictures, of which some cannot be read, as ``evaluate.datasets`` takes it."""
    files = {f"{LABELS[i % 3]}/{i:05d}.png": picture(i, "png", (32, 32)) for i in range(count - broken)}
    files |= {f"{LABELS[i % 3]}/broken-{i}.png": b"no image" for i in range(broken)}
    pools.write_files(folder, files)
    return {"name": "folder", "uri": str(folder), "layout": "imagefolder"}


def contents(run: Path) -> dict[str, bytes]:
    """Results, samples and tables; records and the page tell times and paths."""
    names = [
        p for p in sorted((run / "evaluate").rglob("*")) if p.is_file() and p.suffix in (".json", ".parquet", ".csv")
    ]
    kept = [p for p in names if p.parent.name != "commits" and p.name not in ("plan.json", "manifest.json")]
    return {str(p.relative_to(run)): p.read_bytes() for p in kept}
