"""A grid's runs: their words, what waits for what, what is taken over, and when a run needs nothing more."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows import cells as module
from flows.ablation import Grid
from flows.cells import Cell, cells_of, is_done, take_over
from siglino_core.config import to_dict
from siglino_core.store import Identity, Run
from tests.stages import finish

GRID = Grid(
    name="small",
    here="/grids",
    split=["source.uri=pool"],
    base=["experiment=smoke", "source.uri=@split/sample/images"],
    arms={
        "plain": [],
        "student": ["train.student=siglino-micro"],
        "then": ["train.checkpoint=@plain/export/student", "train.optim.steps=70"],
        "again": ["train.checkpoint=@then/export/student"],
    },
    baseline="plain",
)


def named(cells: list[Cell]) -> list[str]:
    return [cell.name for cell in cells]


def test_all_arms_of_a_seed_come_before_the_next_and_the_split_first() -> None:
    cells = cells_of(GRID, "out", seeds=2)
    arms = list(GRID.arms)
    assert named(cells) == ["split", *(f"{arm} seed {seed}" for seed in (0, 1) for arm in arms)]
    split, plain, _, then, _ = cells[:5]
    assert split.command == ["curate", "source.uri=pool", "run=out/split"]
    assert plain.command == [
        "run", "experiment=smoke", "source.uri=out/split/sample/images", "run=out/plain/seed-0", "seed=0",
    ]  # fmt: skip
    assert then.words[2:4] == ["train.checkpoint=out/plain/seed-0/export/student", "train.optim.steps=70"]
    assert then.settings == GRID.arms["then"]
    assert then.needs == ["out/split", "out/plain/seed-0"]
    assert plain.needs == ["out/split"]


def test_one_arm_alone_brings_those_that_it_stands_on() -> None:
    assert named(cells_of(GRID, "out", seeds=1, only="student")) == ["split", "student seed 0"]
    assert named(cells_of(GRID, "out", seeds=1, only="again")) == [
        "split",
        "plain seed 0",
        "then seed 0",
        "again seed 0",
    ]


def test_more_settings_are_over_all_arms_and_may_bring_another_experiment() -> None:
    cells = cells_of(GRID, "out", seeds=1, more=["train.optim.steps=50", "experiment=demo"])
    for cell in cells[1:]:
        assert cell.config().train.optim.steps == 50
        assert [word for word in cell.words if word.startswith("experiment=")] == ["experiment=demo"]
    assert "train.optim.steps=50" not in cells[0].words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("os.fsync", lambda _: None)
    return str(tmp_path)


def keys(cells: list[Cell]) -> dict[str, dict[str, str]]:
    return {cell.run: module._keys(cell.config()) for cell in cells}


def test_equal_settings_give_equal_keys_and_seeds_matter_from_the_clusters_on(folder: str) -> None:
    arms = {"plain": [], "micro": ["train.student=siglino-micro"], "fewer": ["sample.target_size=300"]}
    of = keys(cells_of(Grid(name="g", base=["experiment=smoke"], arms=arms), folder, seeds=2))
    plain, micro, fewer, seed = (
        of[f"{folder}/{at}"] for at in ("plain/seed-0", "micro/seed-0", "fewer/seed-0", "plain/seed-1")
    )
    assert plain == micro
    assert {stage for stage in plain if plain[stage] != fewer[stage]} == {"sample"}
    assert {stage for stage in plain if plain[stage] != seed[stage]} == {"cluster", "sample"}


def test_what_is_finished_by_equal_settings_is_taken_over_up_to_the_first_that_differs(folder: str) -> None:
    arms: dict[str, list[str]] = {"plain": [], "fewer": ["sample.target_size=300"]}
    of = keys(cells_of(Grid(name="g", base=["experiment=smoke"], arms=arms), folder, seeds=2))
    for stage in ("source", "embed", "cluster", "sample"):
        finish(Run(f"{folder}/plain/seed-0"), stage)
    assert take_over(f"{folder}/fewer/seed-0", of) == ["source", "embed", "cluster"]
    assert take_over(f"{folder}/plain/seed-1", of) == ["source", "embed"]
    assert take_over(f"{folder}/plain/seed-1", of) == []
    assert Run(f"{folder}/fewer/seed-0").stage("sample").manifest() is None


def started(cell: Cell, makes: str | None) -> Any:
    return module._Running(cell, None, Path("log"), makes)  # type: ignore[arg-type]


def test_a_run_waits_for_its_needs_and_for_whoever_embeds_the_same_pool(folder: str) -> None:
    split, plain, student, then, again = cells_of(GRID, folder, seeds=1)
    of = keys([split, plain, student, then, again])

    def able(waiting: list[Cell], *running: Any) -> list[str]:
        return named(list(module._startable(waiting, running, of)))

    assert able([split, plain, student, then, again]) == ["split"]
    assert able([plain, student, then, again], started(split, of[split.run]["embed"])) == []
    assert able([plain, student, then, again]) == ["plain seed 0", "student seed 0"]
    embedding = started(plain, of[plain.run]["embed"])
    assert able([student, then, again], embedding) == [], "the same embedding is being made"
    finish(Run(plain.run), "embed")
    assert able([student, then, again], embedding) == ["student seed 0"]
    assert able([then, again]) == ["then seed 0"]


def test_a_run_is_done_if_its_last_stage_is_and_its_settings_are_these(folder: str) -> None:
    (cell,) = cells_of(Grid(name="g", base=["experiment=smoke"], arms={"plain": []}), folder, seeds=1)
    config = cell.config()
    assert not is_done(cell, config)
    finish(Run(cell.run), "evaluate")
    assert not is_done(cell, config), "nobody noted by what it was made"
    for stage in ("source", "train", "evaluate"):
        Run(cell.run).note({"config": to_dict(config)}, stage)
    assert is_done(cell, config)
    for change in ("train.optim.steps=90", "seed=9"):
        other = replace(cell, words=[*cell.words, change])
        assert not is_done(other, other.config()), change
    other = replace(cell, words=[*cell.words, "runtime.workers=2"])
    assert is_done(other, other.config()), "nothing of it changes a byte"


def test_what_a_setting_leaves_open_may_be_noted_as_it_came_to_be(folder: str) -> None:
    (cell,) = cells_of(Grid(name="g", base=["experiment=smoke"], arms={"plain": []}), folder, seeds=1)
    stage = Run(cell.run).stage("cluster")
    identity = Identity(stage="cluster", version=1, config={"num_clusters": [13], "seed": 0}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "all", "kind": "part"}])
    with stage.writer("all", identity.fingerprint) as out:
        out.commit(rows=0)
    stage.finish(identity, todo)
    finish(Run(cell.run), "evaluate")
    assert cell.config().cluster.num_clusters == [], "the same as of a run that was not begun"
    for noted, done in (([], True), ([13], True), ([14], False)):
        values = to_dict(cell.config())
        values["cluster"]["num_clusters"] = noted
        for of in ("source", "train", "evaluate"):
            Run(cell.run).note({"config": values}, of)
        assert is_done(cell, cell.config()) is done, noted
