"""A curation of the demo's pool for benchmarks that begin with one: `runs/demo` if it is finished, else a new one."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq

import flows.demo
from flows.config import compose_config
from siglino_core.config import Config
from siglino_core.store import Run

MADE = Path("runs/demo")
SLICE = 64  # images of the pool in a tiny one
SMALL = ("cluster.num_clusters=[8,4,2]", "sample.target_size=20")  # what fits it


@contextlib.contextmanager
def curated(stages: Sequence[str], *, tiny: bool, run: Path | None = None) -> Iterator[Path]:
    """The folder of a run whose ``stages`` are finished; to be read, not written.

    Args:
        run: this one; else `runs/demo`, or where that is not finished one in a temporary folder.
    """
    wanted = run or MADE
    if not tiny and all(Run(str(wanted)).stage(s).manifest() for s in stages):
        yield wanted
        return
    if run is not None and not tiny:
        raise SystemExit(f"{run}: {', '.join(stages)} are not all finished there")
    with tempfile.TemporaryDirectory() as name:
        words = ["experiment=demo", f"run={name}/run", "runtime.runner=local"]
        if tiny:
            words += [f"source.uri={sliced(Path(name))}", *SMALL]
        else:
            print(f"{MADE} is not finished: curating the demo's pool first", flush=True)
        for stage in stages:
            run_stage(stage, compose_config(words))
        yield Path(name) / "run"


def run_stage(stage: str, config: Config) -> None:
    """In this process."""
    import_module(f"pipelines.{stage}").run(config, Run(config.run))


def copied(origin: Path, stages: Sequence[str], folder: Path) -> None:
    """Copy some stages of a run."""
    for stage in stages:
        shutil.copytree(origin / stage, folder / stage)


def sliced(folder: Path) -> Path:
    path = folder / "pool.parquet"
    pq.write_table(pq.read_table(Path(flows.demo.__file__).with_name("pool.parquet")).slice(0, SLICE), path)
    return path
