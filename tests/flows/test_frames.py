"""From a command to the work: few calls of our own; and no Prefect and no Ray where nothing needs them."""

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.cli import main
from siglino_core.curation.clustering import kmeans
from tests import pools
from tests.pictures import picture
from tests.pipelines import distilling

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / package}/" for package in ("flows", "pipelines", "siglino_core"))
FINISHED = """
import sys
from flows.cli import main
assert main(sys.argv[1:]) == 0
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"ray", "prefect", "timm"}, loaded & {"ray", "prefect", "timm"}
"""


def own_frames() -> list[str]:
    """The functions of ours that are under way, from the command down."""
    return [f.name for f in traceback.extract_stack() if f.filename.startswith(OURS)]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a whole path of 40 images in this process takes."""
    folder = tmp_path_factory.mktemp("path")
    pools.parquet_file(folder / "pool.parquet", {"image": [picture(i, size=(48, 40)) for i in range(40)]})
    settings = {"train__optim__steps": 1, "train__optim__warmup_steps": 0, "train__pack__packs_per_step": 1}
    specs, shape = distilling.teachers(folder), distilling.student(folder)
    return [
        *distilling.words(folder / "run", specs, shape, **settings),
        f"source.uri={folder}/pool.parquet",
        "cluster.num_clusters=[4,2]",
        "cluster.iterations=1",
        "sample.target_size=20",
        "sample.near_duplicate=1",
        "report.map_points=0",
    ]


@pytest.fixture(scope="module")
def frames(words: list[str]) -> dict[str, list[str]]:
    """Our calls above a Lloyd iteration and above a backward pass, in `siglino curate` and `siglino distill`."""
    seen: dict[str, list[str]] = {}
    lloyd, backward = kmeans._lloyd, torch.Tensor.backward

    def iteration(*args: Any) -> Any:
        seen["lloyd"] = own_frames()
        return lloyd(*args)

    def pass_back(*args: Any, **options: Any) -> Any:
        seen["backward"] = own_frames()
        return backward(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(kmeans, "_lloyd", iteration)
        patch.setattr(torch.Tensor, "backward", pass_back)
        patch.delenv("PREFECT_API_URL", raising=False)
        assert main(["curate", *words]) == 0
        assert main(["distill", *words]) == 0
        assert main(["evaluate", *words]) == 0
    return seen


def test_eight_calls_to_a_lloyd_iteration(frames: dict[str, list[str]]) -> None:
    calls = [*frames["lloyd"], "_lloyd"]
    assert len(calls) <= 8, calls
    assert calls[0] == "main"


def test_ten_calls_to_backward(frames: dict[str, list[str]]) -> None:
    assert len(frames["backward"]) <= 10, frames["backward"]


@pytest.mark.slow
def test_a_finished_run_loads_neither_ray_nor_prefect(frames: dict[str, list[str]], words: list[str]) -> None:
    again = [w for w in words if not w.startswith("runtime.runner")]  # on Ray
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    done = subprocess.run([sys.executable, "-c", FINISHED, "run", *again], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Reused") == 9, done.stdout
