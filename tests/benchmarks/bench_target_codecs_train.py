"""The loss of a student that learns from stored targets in bf16, int8 and fp8.

    python -m tests.benchmarks.bench_target_codecs_train [--run RUN] [--steps 100] [--seeds 0 1 2] [--ways bf16 int8]
        [WORD ...]

RUN is a finished curation of the demo (left out: runs/demo, or a new one); it is copied, not changed. For each
codec the stages `targets` and `train` run in this process on a copy of its own: one seed, plan and student. Printed:

- the mean loss of the last tenth of the steps, each student held against the targets that it learns from;
- the trained student's loss over all images, held against the bf16 targets: what the coarser ones cost.

A change of the learning rate in its fifth digit shows how far two trainings are apart anyway. WORDs are settings of all
of them, `train.optim.lr=0.005`. The last lines are over the seeds.
"""

import statistics
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from flows.config import compose_config
from siglino_core.config import Config, LossConfig, Relation, Stored
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Pack
from siglino_core.distillation.packing.mixture import grids
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.distillation.training import metrics
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.reader import Images
from siglino_core.images.patches import to_floats
from siglino_core.models.resolution import Resolution
from siglino_core.networks import describe
from siglino_core.store import Run
from siglino_core.weights.load import load_student
from tests.benchmarks.demo import copied, run_stage
from tests.benchmarks.demo import curated as curation
from tests.benchmarks.record import Record, parser

CURATED = ("source", "embed", "cluster", "sample")
WAYS = {  # what is stored, and what the learning rate is multiplied by
    "bf16": (Stored.BF16, 1.0),
    "int8": (Stored.INT8, 1.0),
    "fp8": (Stored.FP8, 1.0),
    "bf16, lr x 1.0001": (Stored.BF16, 1.0001),
}


def trained(
    curated: Path, folder: Path, way: str, steps: int, seed: int, more: list[str]
) -> tuple[Config, list[float]]:
    """A run with targets and a student, and each step's loss."""
    keep, factor = WAYS[way]
    copied(curated, CURATED, folder)
    words = [
        "experiment=demo",
        f"run={folder}",
        "runtime.runner=local",
        f"targets.keep={keep.value}",
        f"train.optim.steps={steps}",
        "train.trackers=[]",
        "train.num_workers=0",
        "train.flip=false",  # targets are of images as they are
        f"seed={seed}",
        *more,
    ]
    config = compose_config(words)
    if factor != 1:
        config = compose_config([*words, f"train.optim.lr={factor * config.train.optim.lr}"])
    for stage in ("targets", "train"):
        run_stage(stage, config)
    return config, [line["loss"] for line in metrics.read(Run(config.run).stage("train").files)]


@torch.no_grad()
def held_against(student: Config, reference: Config, at_once: int = 32) -> float:
    """A run's student against the targets of another, over all images once; without relations."""
    run, t = Run(reference.run), reference.targets
    targets, sets = run.stage("targets"), CuratedSets.load([reference.run])
    resolution = Resolution(min_pixels=t.min_pixels, max_pixels=t.max_pixels)
    stored = StoredTargets.open(
        targets,
        sets.indexes[0],
        sample_digest=run.stage("sample").require().digest,
        cards=[describe(spec) for spec in t.teachers],
        resolution=resolution,
    )
    statistics_of = Statistics.load(targets.files.read("statistics.safetensors"))
    objective = Objective(config=LossConfig(relation=Relation.NONE), statistics=statistics_of)
    model = load_student(f"{student.run}/train/student")
    images = Images(sets=sets, patch_size=resolution.patch_size, stored=stored)
    grids_N2 = grids(sets.indexes[0].heights_N, sets.indexes[0].widths_N, resolution)
    total = 0.0
    for rows_N in np.split(np.arange(len(grids_N2)), range(at_once, len(grids_N2), at_once)):
        pack = Pack(epoch=0, parts_N=np.zeros(len(rows_N)), rows_N=rows_N, grids_N2=grids_N2[rows_N], tokens=0)
        batch = images.batch([pack])
        features = model.features(to_floats(batch.patches_NV), model.layout(batch.shapes))
        counts = [h * w for h, w in batch.shapes]
        loss = objective(features, stored.decode(batch.targets), counts, images=len(counts))
        total += float(loss.per_image_B.sum())
    return total / len(grids_N2)


def main(words: Sequence[str] | None = None) -> None:
    made = parser(__doc__, steps=100)
    made.add_argument("--run", type=Path)
    made.add_argument("--seeds", type=int, nargs="+", default=[0])
    made.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    made.add_argument("words", nargs="*", default=[])
    a = made.parse_intermixed_args(words)
    if a.tiny:
        a.steps, a.ways, a.words = 2, ["bf16", "int8"], ["train.optim.warmup_steps=1"]
    torch.set_num_threads(1)
    with curation(CURATED, tiny=a.tiny, run=a.run) as run:
        table(Record.of(__file__, a), run, a)


def table(record: Record, run: Path, a: Namespace) -> None:
    """All ways and seeds, a line each."""
    some = max(1, a.steps // 10)
    ratios: dict[str, list[tuple[float, float]]] = {way: [] for way in a.ways}
    print(
        f"| seed | targets | first step | last {some} of {a.steps} | {a.ways[0]} = 1 | all images | {a.ways[0]} = 1 |"
    )
    print("|---|---|---|---|---|---|---|")
    for seed in a.seeds:
        with tempfile.TemporaryDirectory() as folder:
            reference: tuple[Config, float, float] | None = None
            for number, way in enumerate(a.ways):
                config, curve = trained(run, Path(folder) / str(number), way, a.steps, seed, a.words)
                last = statistics.fmean(curve[-some:])
                held = held_against(config, reference[0] if reference else config)
                reference = reference or (config, last, held)
                ratios[way].append((last / reference[1], held / reference[2]))
                print(
                    f"| {seed} | {way} | {curve[0]:.5f} | {last:.5f} | {ratios[way][-1][0]:.5f} "
                    f"| {held:.5f} | {ratios[way][-1][1]:.5f} |",
                    flush=True,
                )
    for way, pairs in ratios.items():
        for name, values in zip((f"last {some} steps", "all images"), zip(*pairs, strict=True), strict=True):
            print(f"{way}, {name}: {spread(values)}")
            if way != a.ways[0]:
                record.ratio(f"loss with {way} targets, {name}", a.ways[0], values, "lower")


def spread(values: Sequence[float]) -> str:
    """The mean, its standard error, and the range."""
    mean = f"mean {statistics.fmean(values):.4f}"
    if len(values) == 1:
        return f"{mean}, one seed"
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{mean} +- {error:.4f} ({min(values):.4f} to {max(values):.4f})"


if __name__ == "__main__":
    main()
