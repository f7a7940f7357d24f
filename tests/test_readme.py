"""The README's commands run as they stand there, on the demo's pool, and its claims hold.

Those of its Prefect block run against a server of their own in tests/e2e/test_deployment.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import torch

from siglino_core.models import PRESETS, SigLino
from siglino_core.weights.load import load_student
from tests.pictures import picture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORTER = {  # the rest is more of the same
    "siglino curate experiment=demo --redo": ["report.map_points=0"],
    "siglino distill": ["train.optim.steps=8", "train.optim.warmup_steps=2"],
}
SIGLINO = [str(Path(sys.executable).parent / "siglino")]


def commands() -> list[str]:
    """Every `siglino ...` line of the README that is about the demo, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    return [line for block in blocks for line in block.splitlines() if re.match(r"siglino .*demo", line)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder in which the README's commands were run one after another; what each printed."""
    folder = tmp_path_factory.mktemp("readme")
    printed: dict[str, str] = {}
    env = {**os.environ, "PREFECT_HOME": str(folder / "prefect")}  # the machine's may be another version's
    for command in commands():
        shorter = next((more for begin, more in SHORTER.items() if command.startswith(begin)), [])
        words = [*SIGLINO, *command.split()[1:], *shorter]
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        printed[command] = done.stdout
    return folder, printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commands_run(demo: tuple[Path, dict[str, str]]) -> None:
    _, printed = demo
    assert list(printed) == commands()
    assert len(printed) >= 6
    run = printed["siglino curate experiment=demo"]
    assert [
        line.split()[1]
        for line in run.splitlines()
        if line.split()[:1] and line.split()[0] in ("source", "embed", "cluster", "sample", "report")
    ] == ["Computed"] * 5
    again = printed["siglino curate experiment=demo --redo sample sample.target_size=400"]
    assert re.search(r"embed +Reused", again)
    assert "Kept 400 of 2,964" in again


@pytest.mark.slow
def test_queries_run(demo: tuple[Path, dict[str, str]]) -> None:
    folder, _ = demo
    queries = re.findall(r"```sql\n(.*?)```", README, re.S)[0].replace("'runs/demo", f"'{folder}/runs/demo")
    reasons, origins = (duckdb.sql(q).fetchall() for q in queries.split(";") if q.strip())
    assert sum(n for _, n in reasons) == 2964
    assert dict(reasons)["kept"] == 400
    assert len(origins) == 10
    by_cluster = re.findall(r"```sql\n(.*?)```", README, re.S)[1].replace("'runs/demo", f"'{folder}/runs/demo")
    learned = duckdb.sql(by_cluster.rstrip().rstrip(";")).fetchall()
    assert len(learned) == 10
    windows = duckdb.sql(
        f"SELECT sum(loss * images) / sum(images) FROM '{folder}/runs/demo/train/clusters/*.parquet' "
        "GROUP BY first_step ORDER BY first_step"
    ).fetchall()
    assert windows[0] > windows[-1], windows  # over all clusters: one alone has a few images in eight steps


@pytest.mark.slow
def test_a_student_is_distilled(demo: tuple[Path, dict[str, str]]) -> None:
    folder, printed = demo
    shown = printed["siglino distill experiment=demo"]
    assert re.findall(r"^(targets|train|export) +Computed", shown, re.M) == ["targets", "train", "export"]
    losses = dict(re.findall(r"^ +(\w+\.(?:summary|patch)) +([\d.]+ +[\d.]+)", shown, re.M))
    assert set(losses) == {"lite.summary", "lite.patch", "lite_text.summary"}
    for name, values in losses.items():
        first, last = map(float, values.split())
        assert last < first, name
    note = json.loads((folder / "runs/demo/distill.json").read_text())
    assert note["command"].startswith("siglino distill experiment=demo")
    assert note["config"]["train"]["student"] == "siglino-nano"
    assert load_student(str(folder / "runs/demo/export/student")).spec.width == 192


@pytest.mark.slow
def test_inspect_shows_the_balance_claimed(demo: tuple[Path, dict[str, str]]) -> None:
    _, printed = demo
    shown = printed["siglino inspect runs/demo"]
    labels = {
        name: float(re.search(rf"^ *{name} +([\d.]+) ±", shown, re.M)[1])  # type: ignore[index]
        for name in ("random", "duplicates removed, then random", "curated")
    }
    assert labels["curated"] > 1.2 * labels["duplicates removed, then random"] > labels["random"]


@pytest.mark.slow
def test_the_student_as_the_readme_has_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(SigLino(PRESETS["siglino-nano"]).state_dict(), tmp_path / "weights.pt")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(picture(0, size=(320, 200)))
    section = README.partition("## The student")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(sh|python)\n(.*?)```", section, re.S)
    assert [kind for kind, _ in blocks] == ["python", "sh", "python"]
    env = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    for kind, block in blocks:
        lines = [line.partition("#")[0].split() for line in block.splitlines()]
        calls = [[*SIGLINO, *words[1:]] for words in lines] if kind == "sh" else [[sys.executable, "-c", block]]
        for words in calls:
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    assert {"model.safetensors", "encoder-16x16.pt2"} <= set(os.listdir(tmp_path / "student"))
    assert os.listdir(tmp_path / "maps") == ["one.pca.png"]


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_files_of_the_readme_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
