"""export: the trained student as a folder that `transformers` loads, with its processor, its code and a card."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from pipelines.support import price
from pipelines.support.inputs import check
from pipelines.support.runtime import Estimate, Progress, Result, silent
from pipelines.support.work import Work
from siglino_core.config import Config
from siglino_core.distillation.training.mixture import largest_area
from siglino_core.distillation.training.student import student_config
from siglino_core.errors import StoreError
from siglino_core.models import SigLino, SigLinoConfig
from siglino_core.networks import outline
from siglino_core.store import Identity, Manifest, Run, Stage
from siglino_core.store.fetched import fetched
from siglino_core.weights.origin import Origin

VERSION = 2
SHARD = FOLDER = "student"


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Export the final checkpoint of a finished training."""
    train, stage = run.stage("train"), run.stage("export")
    manifest = train.require()
    bound = config.export.max_pixels or manifest.facts.get("max_pixels") or largest_area(config)
    shape = {"max_pixels": bound, **Origin.of(config).deciding()}
    identity = Identity(stage="export", version=VERSION, config=shape, inputs={"train": manifest.digest})
    todo = stage.begin(identity, lambda: [{"name": SHARD, "kind": SHARD}], redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    if todo.missing:
        progress("export", 0, 1, "writing the student")
        check(config.runtime, train, lambda name: name.startswith(f"{FOLDER}/"))
        _write(Work(run=run, stage=todo.stage, fingerprint=identity.fingerprint, config=config), manifest, bound)
    facts = todo.stage.records([SHARD])[SHARD]["facts"]
    return Result(state=todo.state, manifest=stage.finish(identity, todo, facts=facts))


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What the export writes: the student in fp32, with a head for every teacher.

    Raises:
        ConfigError: a teacher's shape cannot be had, or does not fit the student.
    """
    parameters = _parameters(student_config(config.train, [outline(spec) for spec in config.targets.teachers]))
    bound = config.export.max_pixels or largest_area(config)
    what = f"{parameters / 1e6:,.0f}M parameters with its heads"
    return Estimate(
        stage="export",
        shards=1,
        rows=1,
        bytes=4 * parameters + price.MODEL_CODE,
        device=price.CPU_CORE,
        device_hours=4 * parameters * price.EXPORTED_BYTE / 3600,
        note=f"{config.train.student}, {what}, for images of up to {bound:,} pixels",
    )


def _parameters(shape: SigLinoConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in SigLino(shape).parameters())


def _write(work: Work, manifest: Manifest, bound: int) -> None:
    from siglino_core.weights.export import export
    from siglino_core.weights.load import load_student

    train, writer = work.run.stage("train"), work.writer(SHARD)
    with (
        _checkpoint(train) as checkpoint,
        tempfile.TemporaryDirectory(prefix="siglino-") as scratch,
        writer as out,
    ):
        model = load_student(str(checkpoint))
        names = [t.name for t in model.spec.teachers]
        source = f"distilled from {', '.join(names)} by {manifest.software}, training {manifest.digest[:12]}"
        files = export(model, f"{scratch}/{FOLDER}", source=source, max_pixels=bound, origin=Origin.of(work.config))
        for file in sorted(files):
            shutil.copyfile(file, out.path(f"{FOLDER}/{file.name}"))
        parameters = sum(p.numel() for p in model.parameters())
        out.commit(rows=1, facts={"parameters": parameters, "teachers": names, "max_pixels": bound})


@contextmanager
def _checkpoint(train: Stage) -> Iterator[Path]:
    """The final weights as a folder of this machine: where they lie, or fetched for the time of use."""
    names = list(train.files.sizes(FOLDER))
    if f"{FOLDER}/config.json" not in names:
        raise StoreError(
            f"{train.files.url}/{FOLDER}: the trained student is not there. Run `siglino distill --from train`: "
            "what is missing is written again."
        )
    with fetched(train.files, names) as folder:
        yield folder / FOLDER
