"""Grids as files: those that ship compose, name keys that exist, and hold; and what does not hold is said."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.ablation import FOLDER, grids, load_grid, placed, referred
from flows.cells import cells_of
from flows.words import RECIPE
from scripts.docs.experiments_page import header
from siglino_core.config import Config, Task, kinds
from siglino_core.errors import ConfigError
from siglino_core.evaluation.results.ablation import Measure
from siglino_core.grounding.judged.numbers import TASKS

SMALL: dict[str, Any] = {
    "baseline": "plain",
    "arms": {"plain": [], "other": ["train.flip=true"]},
    "metrics": {"knn": {"task": "knn"}},
}


def written(folder: Path, **changes: Any) -> str:
    """A grid's file; a change to None leaves the key out."""
    values = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    (folder / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return str(folder / "mine.yaml")


@pytest.mark.parametrize("name", grids())
def test_every_grid_composes_and_names_keys_that_exist(name: str, tmp_path: Path) -> None:
    grid = load_grid(name)
    assert grid.baseline in grid.arms
    assert len(grid.arms) > 1
    for cell in cells_of(grid, str(tmp_path), seeds=2):
        config = cell.config()
        assert config.run == cell.run
        assert config.seed == cell.seed
        assert not any("@" in word for word in cell.words)
    for metric in grid.metrics.values():
        assert bool(metric.fact) != (metric.task in [*Task, *TASKS])
    for arm, words in grid.arms.items():
        for word in words:
            key = word.partition("=")[0]
            assert key in kinds(Config) or key == RECIPE, f"{arm}: {word}"


@pytest.mark.parametrize("name", grids())
def test_arms_differ_from_their_baseline_alone_in_what_they_say(name: str, tmp_path: Path) -> None:
    configs = {cell.arm: cell.config() for cell in cells_of(load_grid(name), str(tmp_path), seeds=1) if cell.arm}
    made = [(c.source, c.embed, c.cluster, c.sample, c.targets, c.train, c.export, c.ground) for c in configs.values()]
    assert all(one != other for i, one in enumerate(made) for other in made[:i]), "two arms are the same training"


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_grids_head_says_what_it_is(path: Path) -> None:
    head = header(path.read_text())
    wanted = {"What", "Hardware"} | ({"Time", "Expect", "Command"} if path.parent == FOLDER else set())
    assert wanted <= head.keys()
    if "Command" in head:
        assert head["Command"][0].startswith(f"siglino ablate {path.stem}")


def test_what_stands_under_a_grid_is_its_own_where_it_says_so() -> None:
    grid = load_grid("relation")
    below = yaml.safe_load((FOLDER / "common/cpu.yaml").read_text())
    assert list(grid.base) == below["base"]
    assert list(grid.split) == below["split"]
    assert [m.name for m in grid.measures] == list(below["metrics"])
    (knn,) = [m for m in grid.measures if m.name == "knn"]
    assert dict(knn.paper) == {"rkd": -0.93, "arkd": 0.09}
    assert knn.title == below["metrics"]["knn"]["title"]


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    grid = load_grid(
        written(tmp_path, metrics={"speed": {"fact": "tokens_per_second", "scale": 1, "unit": "tokens/s"}})
    )
    assert (grid.name, grid.seeds, grid.here) == ("mine", 3, str(tmp_path))
    assert grid.measures == [Measure(name="speed", unit="tokens/s", scale=1)]
    assert grid.metrics["speed"].fact == "tokens_per_second"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "none"}, "the baseline none is not among its arms: plain, other"),
        ({"baseline": None}, r"the baseline \(none\) is not among its arms"),
        ({"arms": {}}, "is not among its arms: none"),
        ({"arms": {"plain": [], "a b": []}}, "'a b' is no name of an arm"),
        ({"arms": {"plain": [], "run": []}}, "'run' is no name of an arm"),
        ({"seeds": "many"}, "seeds: 'many' is no whole number"),
        ({"metrics": {}}, "metrics: at least one is needed"),
        ({"metrics": {"knn": {}}}, "metrics.knn: it needs a task of the evaluation, or a fact of the training"),
        ({"metrics": {"knn": {}}}, r"not both; `common: cpu`, which this grid does not name, has one"),
        ({"metrics": {"mine": {}}}, r"not both$"),
        ({"metrics": {"knn": {"task": "knn", "fact": "steps"}}}, "and not both$"),
        ({"arms": {"plain": [], "other": ["sample.learned=@zz"]}}, r"other: sample\.learned=@zz: there is no arm zz"),
        ({"base": ["sample.learned=@plian"]}, r"base: .* no arm plian \(did you mean plain\?\): plain, other"),
        ({"metrics": {"knn": {"tsk": "knn"}}}, r"metrics.knn: unknown key tsk \(did you mean task\?\)"),
        (
            {"metrics": {"knn": {"task": "knn", "paper": {"othr": 1}}}},
            r"othr, which is no arm \(did you mean other\?\)",
        ),
        ({"metrics": {"knn": {"task": "knn", "paper": {"other": "more"}}}}, "'more' is neither a number, up nor down"),
        ({"basline": "plain"}, r"unknown key basline \(did you mean baseline\?\)"),
        ({"common": "moon"}, "moon.yaml: it cannot be read"),
        ({"arms": {"plain": ["train.checkpoint=@plain/x"]}}, "the arm plain waits for its own run"),
        ({"arms": {"plain": ["run=@b"], "b": ["run=@c"], "c": ["run=@plain"]}}, "the arm plain waits for its own run"),
    ],
)
def test_what_does_not_hold_is_one_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_grid(written(tmp_path, **changes))
    assert len(caught.value.args) == 1


@pytest.mark.parametrize("text", ["", "# soon\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml: it is empty; a grid has a baseline, arms and metrics"):
        load_grid(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_a_file_that_is_no_grid(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml: it (is no mapping|cannot be read)"):
        load_grid(str(tmp_path / "mine.yaml"))


def test_an_unknown_grid_names_those_that_ship() -> None:
    with pytest.raises(ConfigError, match=r"no such grid \(did you mean relation\?\): .*relation"):
        load_grid("relatoin")


def test_names_of_runs_in_words() -> None:
    words = ["a=@run/x", "b=[@one,@one-two]", "c=network@224", "d=@other"]
    places = {"@run": "R", "@one": "1", "@one-two": "12"}
    assert placed(words, places) == ["a=R/x", "b=[1,12]", "c=network@224", "d=@other"]
    assert referred(words, ["one", "two", "one-two", "224"]) == ["one", "one-two"]
