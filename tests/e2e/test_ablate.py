"""A tiny grid through the real stages: its table, what its runs share, a run that fails, and kills in its middle."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from siglino_core.evaluation.results.ablation import FAILED, Row, read_rows
from siglino_core.store import Run
from tests.e2e.tiny import Tiny, count
from tests.pipelines import distilling

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEEDS = 2
SPLIT = {
    "sample.target_size": "170",
    "sample.near_duplicate": "1",
    "sample.trim": "0",
    "sample.quota": "hierarchical",
    "sample.quota_power": "1",
    "sample.pick": "random",
}
ARMS = {
    "none": ["train.loss.relation=none"],
    "rkd": ["train.loss.relation=rkd"],
    "lost": ["targets.teachers=[dinov3:/nowhere]"],
}
EVALUATE = [
    'evaluate.models=[{name: student, network: "siglino:@run/export/student"}]',
    'evaluate.datasets=[{name: held_out, run: "@split", near_duplicate: 0.999, tasks: [knn]}]',
    "evaluate.overlap=none",
]


@pytest.fixture(scope="module")
def grid(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The grid's file: two arms that differ, and one whose teacher is nowhere."""
    folder = tmp_path_factory.mktemp("grid")
    drop = ("run=", "runtime.", "source.uri=")
    small = {"train__optim__steps": 8, "train__checkpoint_steps": 2}
    distil = distilling.words("", distilling.teachers(folder), distilling.student(folder), **small)
    curate = tiny.words("", "sample.target_size=60")
    base = [w for w in [*curate, *distil] if not w.startswith(drop)]
    values: dict[str, Any] = {
        "split": [w for w in tiny.words("", *(f"{k}={v}" for k, v in SPLIT.items())) if not w.startswith("run=")],
        "base": [*base, "runtime.runner=local", "runtime.device=cpu", "source.uri=@split/sample/images", *EVALUATE],
        "arms": ARMS,
        "baseline": "none",
        "seeds": SEEDS,
        "metrics": {"knn": {"task": "knn", "paper": {"rkd": "up"}}, "loss": {"fact": "losses.last.loss", "scale": 1}},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


@pytest.fixture(scope="module")
def alone(tiny: Tiny, grid: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An undisturbed grid, and what it printed."""
    folder = tmp_path_factory.mktemp("alone")
    done = tiny.siglino("ablate", grid, f"run={folder}/out")
    assert done.returncode == 1, done.stdout + done.stderr
    return folder / "out", done.stdout


def rows(folder: Path) -> list[Row]:
    return read_rows((folder / "rows.jsonl").read_bytes(), "rows")


def said(found: list[Row]) -> list[dict[str, Any]]:
    """Rows without the times."""
    return [{**asdict(row), "seconds": 0} for row in found]


def test_every_training_is_a_row_a_measure_and_a_failed_one_says_why(alone: tuple[Path, str]) -> None:
    folder, printed = alone
    found = rows(folder)
    made = {(r.arm, r.seed, r.metric): r for r in found if not r.state}
    assert set(made) == {(a, s, m) for a in ("none", "rkd") for s in range(SEEDS) for m in ("knn", "loss")}
    lost = [r for r in found if r.state == FAILED]
    assert [(r.arm, r.seed) for r in lost] == [("lost", s) for s in range(SEEDS)]
    assert all("/nowhere" in r.why and "Error: " in r.why for r in lost)
    for (arm, seed, _), row in made.items():
        train = Run(f"{folder}/{arm}/seed-{seed}").stage("train").require()
        assert row.digest == train.digest
        assert row.seconds > 0
        assert list(row.settings) == ARMS[arm]
    assert made["none", 0, "loss"].value != made["rkd", 0, "loss"].value
    assert made["none", 0, "knn"].n > 20
    assert "failed: " in printed
    assert "/nowhere" in (folder / "ablation.md").read_text()


def test_all_are_tested_on_the_same_images_that_no_training_saw(alone: tuple[Path, str]) -> None:
    folder, _ = alone
    tested = {frozenset(_tested(folder / arm / f"seed-{seed}")) for arm in ("none", "rkd") for seed in range(SEEDS)}
    assert len(tested) == 1
    (images,) = tested
    assert len(images) > 20
    pool = {row for part in _ids(folder / "split/sample/images") for row in part}
    kept = {row for part in _ids(folder / "none/seed-0/sample/images") for row in part}
    assert len(pool) == 170
    assert len(kept) == 60
    assert kept < pool
    assert not images & pool


def _tested(run: Path) -> list[str]:
    """The test images of a run's evaluation: fewer than those that kNN learns from."""
    of = Run(str(run))
    found = [_ids(run / name) for name in of.features() if of.stage(name).require().rows < 100]
    (parts,) = found
    return [image for part in parts for image in part]


def _ids(folder: Path) -> list[list[str]]:
    import pyarrow.parquet as pq

    return [
        pq.read_table(path, columns=["image_id"])["image_id"].to_pylist() for path in sorted(folder.glob("*.parquet"))
    ]


def test_what_runs_share_is_made_once(alone: tuple[Path, str]) -> None:
    folder, _ = alone
    for stage, shared in (("source", True), ("embed", True), ("cluster", False), ("sample", False)):
        finished = {
            r: Run(f"{folder}/{r}").stage(stage).require() for r in ("none/seed-0", "rkd/seed-0", "none/seed-1")
        }
        times = {run: manifest.finished for run, manifest in finished.items()}
        assert times["none/seed-0"] == times["rkd/seed-0"], f"{stage} of equal settings"
        same = finished["none/seed-0"].digest == finished["none/seed-1"].digest
        assert same is shared, stage
        name = next(iter(finished["none/seed-0"].files))
        at = {run: os.stat(f"{folder}/{run}/{stage}/{name}").st_ino for run in finished}
        assert at["none/seed-0"] == at["rkd/seed-0"], f"{stage} takes room twice"
        assert (at["none/seed-0"] == at["none/seed-1"]) is shared, stage


def test_what_is_finished_is_not_begun_again(tiny: Tiny, grid: str, alone: tuple[Path, str]) -> None:
    folder, _ = alone
    before = (folder / "rows.jsonl").read_bytes()
    logs = {p.name: p.stat().st_mtime_ns for p in (folder / "logs").iterdir()}
    done = tiny.siglino("ablate", grid, f"run={folder}", "--only", "rkd")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SEEDS + 1} runs, {SEEDS + 1} finished" in done.stdout
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "logs").iterdir()} == logs
    assert (folder / "rows.jsonl").read_bytes() == before, "what failed is still told"


@pytest.mark.soak
def test_killed_in_its_middle_it_gives_the_same_rows(
    tiny: Tiny, grid: str, alone: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = alone
    out = tmp_path / "out"
    words = ["ablate", grid, f"run={out}", "--jobs", "2"]
    with tiny.start(*words, log=tmp_path / "first.log") as started:
        training = lambda: count(out, "*/seed-*/train/checkpoints/*/checkpoint.json") >= 1  # noqa: E731
        assert started.kill_when(training, seconds=300), (tmp_path / "first.log").read_text()[-3000:]
        assert started.family() == []
    assert count(out, "*/seed-*/evaluate/manifest.json") < 2 * SEEDS, "all was done before the kill"
    done = tiny.siglino(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said(rows(out)) == said(rows(folder))
    assert (out / "ablation.md").read_bytes() == (folder / "ablation.md").read_bytes()
