"""The ablations' page: its results are those of the committed rows, by the code of the command."""

from pathlib import Path

import pytest

from flows.ablation import grids, load_grid
from scripts.docs.ablations_page import BEGIN, NONE, PAGE, ROWS, ablations_page, results
from siglino_core.errors import ConfigError
from siglino_core.evaluation.results.ablation import Row, read_rows, write_rows


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == 1
    assert text == ablations_page(text), "run python -m scripts.docs.ablations_page"


def test_every_grid_is_on_the_page_with_its_arms() -> None:
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {line.split(" | ")[0].strip("| `"): line.split(" | ")[1].replace("`", "").split(", ") for line in table}
    assert told == {name: list(load_grid(name).arms) for name in grids()}


def test_committed_rows_are_of_their_grid() -> None:
    for path in ROWS.rglob("*.jsonl"):
        grid = load_grid(str(path.with_suffix(".yaml")) if path.parent != ROWS else path.stem)
        rows = read_rows(path.read_bytes(), path.name)
        assert {row.arm for row in rows} == set(grid.arms)
        assert {row.metric for row in rows} <= {"", *grid.metrics}


def test_rows_become_a_table_in_place_of_what_stood_there(tmp_path: Path) -> None:
    assert results(tmp_path) == NONE
    rows = [
        Row(arm=arm, seed=seed, metric="knn", value=0.5 + 0.1 * (arm == "rkd") + 0.01 * seed, n=700)
        for arm in ("none", "rkd")
        for seed in range(3)
    ]
    (tmp_path / "relation.jsonl").write_bytes(write_rows(rows))
    page = ablations_page(f"# Mine\n\n{BEGIN}\nold\n", tmp_path)
    assert page.startswith(f"# Mine\n\n{BEGIN}\n## relation: 3 arms, 3 seeds\n")
    assert "old" not in page
    (row,) = [line for line in page.splitlines() if line.startswith("| rkd | 3 | 61.00 |")]
    assert row.endswith("| −0.93 | shows the opposite |")
    (tmp_path / "nothing.jsonl").write_bytes(write_rows(rows))
    with pytest.raises(ConfigError, match="no such grid"):
        results(tmp_path)


def test_pools_are_one_table_with_their_mean(tmp_path: Path) -> None:
    folder = tmp_path / "pools"
    folder.mkdir()
    for pool, gain in (("one", 0.05), ("two", 0.01)):
        (folder / f"{pool}.yaml").write_text("common: pool\nsplit: [source.uri=x]\nbase: [sample.target_size=9]\n")
        rows = [
            Row(
                arm=arm, seed=seed, metric="fidelity", value=0.3 + (arm == "ours") * (gain + 0.01 * (seed - 1)), n=10**6
            )
            for arm in ("random", "ours")
            for seed in range(3)
        ]
        (folder / f"{pool}.jsonl").write_bytes(write_rows(rows))
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in results(tmp_path).splitlines() if "|" in line]
    assert [line[0] for line in cells] == ["pool", "---", "one", "two", "mean of the pools"]
    assert [line[1] for line in cells[2:]] == [
        "**+5.0 (+2.5 to +7.5)**",
        "+1.0 (−1.5 to +3.5)",
        "+3.0 (−22.4 to +28.4)",
    ]
    assert {line[2] for line in cells[2:]} == {"–"}
