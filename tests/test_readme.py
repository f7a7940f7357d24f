"""The README's commands run, on a slice of the demo's pool and (among the long tests) as they stand; its claims hold.

Those of its Prefect block run against a server of their own in tests/e2e/test_deployment.py.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import torch

from flows.cli import main
from siglino_core.models import PRESETS, SigLino
from siglino_core.store import Run
from siglino_core.weights.load import load_student
from tests.pictures import picture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SLICE = 240  # of the demo's 2,988 images: the same commands on a pool that takes seconds
SMALLER = ["cluster.num_clusters=[12,4]", "report.map_points=60", "targets.statistics_images=60"]
STEPS = ["train.optim.steps=8", "train.optim.warmup_steps=2", "ground.optim.steps=4", "ground.optim.warmup_steps=1"]
SCENES = [f"expressions.{which}=[{{count: {count}, side: 64}}]" for which, count in (("train", 96), ("test", 24))]
IMAGES = ["evaluate.datasets=[{name: pool, layout: run}, {name: composites, layout: composites, scenes: 40}]"]
SIGLINO = [str(Path(sys.executable).parent / "siglino")]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A folder in which the README's commands were run one after another; what each printed."""

    folder: Path
    printed: dict[str, str]
    whole: bool


def commands() -> list[str]:
    """Every `siglino ...` line of the README that is about the demo, in order; those about a photo of yours apart."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"siglino .*demo", line) and "photo.jpg" not in line]


def shortened(command: str, folder: Path) -> list[str]:
    """What is added to a command for the slice: a tenth of everything; the first run alone goes through Ray."""
    if "experiment=demo" not in command:
        return []
    size = [f"sample.target_size={30 if 'target_size=400' in command else 60}"]
    if command.startswith(("siglino distill", "siglino evaluate", "siglino ground")):
        size = []  # the run's own, as in the README
    here = [] if command == "siglino curate experiment=demo" else ["runtime.runner=local"]
    return [f"source.uri={folder}/pool.parquet", *size, *SMALLER, *STEPS, *SCENES, *IMAGES, *here]


@pytest.fixture(scope="module", params=["slice", pytest.param("whole", marks=pytest.mark.soak)])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder, whole = tmp_path_factory.mktemp("readme"), request.param == "whole"
    if not whole:
        pool = pq.read_table(ROOT / "flows/demo/pool.parquet")
        pq.write_table(pool.slice(0, SLICE), folder / "pool.parquet", row_group_size=64)
    printed: dict[str, str] = {}
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    for command in commands():
        more = [] if whole else shortened(command, folder)
        words = [*SIGLINO, *command.split()[1:], *more]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        printed[command] = done.stdout
    return Demo(folder=folder, printed=printed, whole=whole)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_commands_run(demo: Demo) -> None:
    assert list(demo.printed) == commands()
    assert len(demo.printed) >= 6
    states = re.findall(r"^(\w+) +(\w+) +[\d,]+ rows in", demo.printed["siglino curate experiment=demo"], re.M)
    assert states == [(stage, "Computed") for stage in ("source", "embed", "cluster", "sample", "report")]
    again = demo.printed["siglino curate experiment=demo --redo sample sample.target_size=400"]
    assert re.search(r"embed +Reused", again)
    assert re.search(r"Kept 400 of 2,964" if demo.whole else r"Kept 30 of 2\d\d ", again)


@pytest.mark.slow
def test_queries_run(demo: Demo) -> None:
    queries = re.findall(r"```sql\n(.*?)```", README, re.S)[0].replace("'runs/demo", f"'{demo.folder}/runs/demo")
    reasons, origins = (duckdb.sql(q).fetchall() for q in queries.split(";") if q.strip())
    usable = Run(str(demo.folder / "runs/demo")).stage("source").require().rows
    assert (usable == 2964) is demo.whole
    assert sum(n for _, n in reasons) == usable
    assert dict(reasons)["kept"] == (400 if demo.whole else 30)
    assert len(origins) == 10
    by_cluster = re.findall(r"```sql\n(.*?)```", README, re.S)[1].replace("'runs/demo", f"'{demo.folder}/runs/demo")
    learned = duckdb.sql(by_cluster.rstrip().rstrip(";")).fetchall()
    assert len(learned) == 10
    windows = duckdb.sql(
        f"SELECT sum(loss * images) / sum(images) FROM '{demo.folder}/runs/demo/train/clusters/*.parquet' "
        "GROUP BY first_step ORDER BY first_step"
    ).fetchall()
    assert windows[0] > windows[-1], windows  # over all clusters: one alone has a few images in eight steps


@pytest.mark.slow
def test_a_student_is_distilled(demo: Demo) -> None:
    shown = demo.printed["siglino distill experiment=demo"]
    assert re.findall(r"^(targets|train|export) +Computed", shown, re.M) == ["targets", "train", "export"]
    losses = dict(re.findall(r"^ +(\w+\.(?:summary|patch)) +([\d.]+ +[\d.]+)", shown, re.M))
    assert set(losses) == {"lite.summary", "lite.patch", "lite_text.summary"}
    for name, values in losses.items():
        first, last = map(float, values.split())
        assert last < first, name
    note = json.loads((demo.folder / "runs/demo/distill.json").read_text())
    assert note["command"].startswith("siglino distill experiment=demo")
    assert note["config"]["train"]["student"] == "siglino-nano"
    assert load_student(str(demo.folder / "runs/demo/export/student")).spec.width == 192


@pytest.mark.slow
def test_inspect_shows_the_balance_claimed(demo: Demo) -> None:
    shown = demo.printed["siglino inspect runs/demo"]
    labels = {
        name: float(re.search(rf"^ *{name} +([\d.]+)", shown, re.M)[1])  # type: ignore[index]
        for name in ("random", "duplicates removed, then random", "curated")
    }
    if demo.whole:
        assert min(labels["curated"], labels["duplicates removed, then random"]) > 1.1 * labels["random"]


@pytest.mark.slow
def test_the_student_as_the_readme_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    torch.save(SigLino(PRESETS["siglino-nano"]).state_dict(), tmp_path / "weights.pt")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(picture(0, size=(320, 200)))
    section = README.partition("## The student")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", section, re.S)
    assert [kind for kind, _ in blocks] == ["python", "sh", "python"]
    monkeypatch.chdir(tmp_path)
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
            continue
        for line in block.splitlines():
            assert main(line.partition("#")[0].split()[1:]) == 0, line
    assert {"model.safetensors", "encoder-16x16.pt2"} <= set(os.listdir(tmp_path / "student"))
    assert os.listdir(tmp_path / "maps") == ["one.pca.png"]


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_files_of_the_readme_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
