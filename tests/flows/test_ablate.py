"""`siglino ablate`: what it refuses, its rows from run folders, its table and files, and its price."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.ablate import rows_of
from flows.ablation import Grid, Metric
from flows.cells import Cell
from flows.cli import main
from siglino_core.evaluation.results.ablation import FAILED, UNMEASURED, WAITING, read_rows, write_rows
from siglino_core.store import Run
from tests.flows.evaluated import of_view, written
from tests.flows.test_ablation import written as grid_file
from tests.stages import finish

FACTS = {"tokens_per_second": 2300.5, "losses": {"last": {"lite.relation": 0.02, "loss": 1.5}}}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def trained(run: str, value: float, n: int = 400, view: str = "siglino") -> None:
    """What a training leaves for the table, by hand."""
    finish(Run(run), "train", facts=FACTS)
    written(
        Path(run),
        [of_view(view, value, n, network="student"), of_view(view, 0.1, n, network="student", sanity="chance")],
    )


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["relation", "--seeds", "1"], "ablate relation: seeds=1: an interval over seeds needs 2 at least"),
        (["relation", "--only", "akd"], "ablate relation: no arm akd (did you mean arkd?): none, rkd, arkd"),
        (["relation", "--jobs", "0"], "ablate relation: jobs=0: one at least"),
        (["relation", "seed=1"], "seed= is each run's own; say how many with --seeds"),
        (["relation", "experts"], "ablate: relation and experts is named; name one grid"),
        (["run=x"], "ablate: nothing is named; name one grid"),
        (["nothing"], "ablate nothing: there is no such grid"),
        (["relation", "sample.learned=@rdk"], "sample.learned=@rdk: there is no arm rdk (did you mean rkd?)"),
        (["relation", "--table-only"], "--table-only: runs/ablate-relation holds no run of this grid."),
        (["relation", "--table-only", "run=x"], "--table-only: x holds no run of this grid. Say where they are"),
        (["relation", "trian.flip=true"], "unknown key trian.flip (did you mean train.flip?)"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ablate", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_grid_without_its_baseline_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", grid_file(tmp_path, baseline="plian")]) == 2
    assert capsys.readouterr().err == (
        "ConfigError: ablate mine: the baseline plian is not among its arms: plain, other\n"
    )


def test_without_a_name_the_grids_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate"]) == 0
    assert "relation: none, rkd, arkd (baseline: none)" in capsys.readouterr().out


METRICS = {
    "knn": Metric(task="knn"),
    "other_view": Metric(task="knn", view="lite"),
    "top5": Metric(task="knn", metric="top5"),
    "elsewhere": Metric(task="knn", dataset="nowhere"),
    "speed": Metric(fact="tokens_per_second"),
    "relation": Metric(fact="losses.last.lite.relation"),
    "nothing": Metric(fact="losses.last.other.relation"),
}


def rows(run: Path, why: str = "") -> Any:
    cell = Cell(arm="plain", seed=3, run=str(run), words=[], settings=["train.flip=true"])
    return rows_of(Grid(name="g", metrics=METRICS), cell, why)


def test_rows_are_what_the_run_says(tmp_path: Path) -> None:
    trained(str(tmp_path / "run"), 0.625)
    found = {row.metric: row for row in rows(tmp_path / "run")}
    assert list(found) == list(METRICS)
    knn = found["knn"]
    assert (knn.arm, knn.seed, knn.value, knn.n, knn.settings) == ("plain", 3, 0.625, 400, ("train.flip=true",))
    assert knn.low is not None
    assert knn.low < 0.625
    assert knn.digest == Run(str(tmp_path / "run")).stage("train").require().digest
    assert found["speed"].value == 2300.5
    assert found["relation"].value == 0.02
    told = {name: row.why for name, row in found.items() if row.state == UNMEASURED}
    assert told == {
        "other_view": "no result of knn by the view lite",
        "top5": "knn tells no top5",
        "elsewhere": "no result of knn on nowhere by the view siglino",
        "nothing": "the training tells no losses.last.other.relation",
    }
    assert read_rows(write_rows(found.values()), "rows") == list(found.values())


def test_runs_that_are_not_finished_failed_or_are_damaged_are_one_row(tmp_path: Path) -> None:
    (row,) = rows(tmp_path / "run")
    assert (row.state, row.metric, row.value) == (WAITING, "", None)
    (row,) = rows(tmp_path / "run", "DataError: no image")
    assert (row.state, row.why) == (FAILED, "DataError: no image")
    trained(str(tmp_path / "run"), 0.5)
    path = tmp_path / "run/train/manifest.json"
    path.write_bytes(path.read_bytes()[:-9])
    (row,) = rows(tmp_path / "run")
    assert row.state == FAILED
    assert "manifest.json is damaged" in row.why


def test_the_table_of_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid, out = grid_file(tmp_path), tmp_path / "out"
    for seed, (plain, other) in enumerate(((0.5, 0.61), (0.55, 0.66), (0.52, 0.625))):
        trained(f"{out}/plain/seed-{seed}", plain)
        trained(f"{out}/other/seed-{seed}", other)
    command = ["ablate", grid, f"run={out}", "--table-only"]
    assert main(command) == 0
    text = said(capsys)
    assert "+10.83" in text
    assert "higher than the baseline" in text
    record = json.loads((out / "ablation.json").read_text())
    assert [line["arm"] for line in record["lines"]] == ["plain", "other"]
    assert record["lines"][1]["over"]["mean"] == pytest.approx(10.8333, abs=1e-3)
    assert "| other | 3 |" in (out / "ablation.md").read_text()
    first = (out / "rows.jsonl").read_bytes()
    assert main(command) == 0
    assert (out / "rows.jsonl").read_bytes() == first
    assert main([*command, "--seeds", "4"]) == 1, "a fourth seed is not finished"
    assert main([*command, "--seeds", "4", "--only", "plain"]) == 1
    assert len(read_rows((out / "rows.jsonl").read_bytes(), "rows")) == 8


def two_seeds(tmp_path: Path) -> tuple[list[str], Path]:
    """Command and folder of a grid whose runs are finished."""
    grid, out = grid_file(tmp_path), tmp_path / "out"
    for seed in range(2):
        trained(f"{out}/plain/seed-{seed}", 0.5)
        trained(f"{out}/other/seed-{seed}", 0.6)
    return ["ablate", grid, f"run={out}", "--seeds", "2"], out


@pytest.mark.parametrize("damage", [b"not json\n", b'{"arm": 3, "moon": 1}\n', b"\xff\xfe\n"])
def test_damaged_rows_are_made_anew_from_the_runs(
    tmp_path: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = two_seeds(tmp_path)
    assert main([*command, "--table-only"]) == 0
    whole = (out / "rows.jsonl").read_bytes()
    (out / "rows.jsonl").write_bytes(whole[:40] + damage)
    assert main(command) == 1
    assert "--table-only" in capsys.readouterr().err
    assert main([*command, "--table-only"]) == 0
    assert "They are made anew from the runs" in said(capsys)
    assert (out / "rows.jsonl").read_bytes() == whole


def test_a_table_is_not_written_where_no_run_of_the_grid_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, out = two_seeds(tmp_path)
    assert main([*command, "--table-only"]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(["ablate", "relation", f"run={out}", "--table-only"]) == 2
    assert f"{out} holds no run of this grid" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_second_process_is_refused_by_name_and_may_see_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = two_seeds(tmp_path)
    code = (
        "import sys; from siglino_core.store.lease import Lease, folder; "
        "Lease.take(folder(sys.argv[1], 'grid'), sys.argv[1]); print('taken', flush=True); sys.stdin.read()"
    )
    held = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"taken\n"
        assert main(command) == 1
        err = capsys.readouterr().err
        assert f"{out} is being made by process {other.pid} on " in err
        assert "(since 2" in err
        assert main([*command, "--table-only"]) == 0
        other.stdin.close()
    assert not list(out.rglob("*.lease/grid/*.json"))


def test_the_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ablate", "relation", "--plan", "--jobs", "2", "train.optim.steps=100"]) == 0
    out = said(capsys)
    assert "arkd: 100 steps, 104 s a run" in out
    assert "relation: 3 arms x 3 seeds = 9 runs, 0.3 device-hours, 0.1 by the clock with --jobs 2" in out
    assert main(["ablate", "relation", "--plan", "--only", "rkd", "--seeds", "5"]) == 0
    assert "1 arms x 5 seeds = 5 runs" in said(capsys)
    assert main(["ablate", "grounding", "--plan", "--seeds", "2"]) == 0  # students that are not there yet are priced
    out = said(capsys)
    assert "scratch: 250 steps of grounding, 300 s a run" in out
    assert "both: 320 steps, 250 steps of grounding, " in out
    assert main(["ablate", "grounding_refcoco", "--plan"]) == 0
    assert "siglip2: 10,000 steps of grounding, " in said(capsys)
    assert list(tmp_path.iterdir()) == []
