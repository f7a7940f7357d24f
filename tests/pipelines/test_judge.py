"""The judge from end to end: recipes through the product's stages, the same figures every time, and who is better."""

import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from pipelines import cluster, judge, sample
from pipelines.judge import Asked, selected
from pipelines.judge.folder import kept, written
from pipelines.judge.methods import BASELINES, DEDUPLICATED, FLAT, PUBLISHED, RANDOM, WHOLE_POOL, fitted
from pipelines.judge.pool import JudgedPool, of_arrays
from siglino_core.config import Config, SampleConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.samples import judgement as core
from siglino_core.store import lease
from tests.siglino_core.evaluation.samples.mixture import mixture

X, LABEL = mixture(head=300, others=20, each=12, spread=0.5)
SCHEMA = json.loads(Path(core.__file__).with_name("judgement.schema.json").read_text())
ASKED = Asked(recipe="default", config=Config(), target=60, levels=[12, 4], seeds=2, against=(RANDOM,))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def pool(tmp_path: Path) -> JudgedPool:
    for name, values in (("x", X), ("label", LABEL), ("pixels", X @ np.ones((24, 7)))):
        np.save(tmp_path / f"{name}.npy", values)
    return of_arrays(*(str(tmp_path / f"{name}.npy") for name in ("x", "label", "pixels")))


def test_all_methods_of_a_small_pool(pool: JudgedPool) -> None:
    told: list[tuple[int, str]] = []
    asked = replace(ASKED, against=BASELINES, seed=3)
    found = judge.judge(pool, asked, lambda seed, name, _: told.append((seed, name)))
    jsonschema.validate(json.loads(json.dumps(found.as_json())), SCHEMA)
    assert list(found.methods) == ["default", *BASELINES]
    assert {(seed, name) for seed in (3, 4) for name in found.methods} == set(told)
    for method in found.methods.values():
        assert [figures["seed"] for figures in method.seeds] == [3, 4]
        assert all(0 <= figures["probe"] <= 1 and 0 <= figures["junk"] < 0.1 for figures in method.seeds)
    assert found.methods["random"].settings["cluster"]["num_clusters"] == [1]
    assert found.methods[PUBLISHED].settings["cluster"]["resampling"] == 3
    assert found.methods[FLAT].settings["cluster"]["num_clusters"] == [12]
    assert not found.methods["k_centre"].settings
    assert found.left_out == {}
    assert found.pool["pixels"] == 7


def test_the_same_figures_every_time_but_for_their_price(pool: JudgedPool) -> None:
    a, b = (judge.judge(pool, ASKED).as_json() for _ in range(2))
    for found in (a, b):
        for method in found["methods"].values():
            for figures in (*method["seeds"], method["mean"], method["less_random"]):
                figures.pop("cpu_seconds", None)
    assert a == b


def test_the_recipe_is_run_as_users_run_it(pool: JudgedPool, tmp_path: Path) -> None:
    config = replace(fitted(Config(sample=SampleConfig(trim=0.05)), len(pool), 60, [12, 4]), seed=5)
    folder = written(str(tmp_path / "run"), pool.unit_ND, pool.ids)
    cluster.run(config, folder.run)
    sample.run(config, folder.run)
    rows = selected(pool, replace(ASKED, config=Config(sample=SampleConfig(trim=0.05)), seed=5))
    assert np.array_equal(rows, kept(folder))
    assert len(rows) == 60
    assert not np.array_equal(rows, selected(pool, ASKED))


def test_a_recipe_that_is_known_to_be_better_is_told_better(pool: JudgedPool) -> None:
    """One label has most of the pool: equal shares of clusters, about one a label, teach what random ones miss."""
    config = Config(sample=SampleConfig(near_duplicate=1.0))
    asked = replace(ASKED, config=config, target=40, levels=[24], seeds=4, against=(RANDOM, FLAT))
    found = judge.judge(pool, asked)
    for metric in ("effective_labels", "labels_covered", "probe"):
        assert (found.differences(FLAT)[metric].low or -1) > 0, metric
    assert found.methods[RANDOM].mean()["probe"].mean < 0.6


def test_the_measure_and_the_baselines_drop_duplicates_though_the_recipe_does_not(pool: JudgedPool) -> None:
    twice = replace(pool, unit_ND=np.concatenate([pool.unit_ND[:270], pool.unit_ND[:270]]))
    keeps = Config(sample=SampleConfig(near_duplicate=1.0))
    found = judge.judge(twice, replace(ASKED, config=keeps, seeds=1, against=(RANDOM, DEDUPLICATED)))
    means = {name: found.means(name)["near_duplicates"].mean for name in found.methods}
    assert means[DEDUPLICATED] == 0
    assert means[RANDOM] > 0.05
    own = judge.judge(twice, replace(ASKED, config=Config(sample=SampleConfig(near_duplicate=0.9)), seeds=1))
    assert (own.protocol["near_duplicate"], own.protocol["near_duplicate_of"]) == (0.9, "recipe")


def test_another_recipe_beside_it(pool: JudgedPool) -> None:
    others = {"no trim": Config(sample=SampleConfig(trim=0.0))}
    found = judge.judge(pool, replace(ASKED, others=others, seeds=1))
    assert list(found.methods) == ["default", "no trim", "random"]
    assert found.methods["no trim"].settings["sample"]["trim"] == 0
    assert found.differences("no trim")["probe"].low is None  # of one seed


def test_what_cannot_be(pool: JudgedPool) -> None:
    with pytest.raises(ConfigError, match=r"target=420: 405 of the pool's 540 .* Ask for at most 405\."):
        judge.judge(pool, replace(ASKED, target=420))
    with pytest.raises(ConfigError, match=r"recipe default, of the whole pool: target=390: only 378 images"):
        judge.judge(pool, replace(ASKED, target=390, config=Config(sample=SampleConfig(trim=0.3))))
    with pytest.raises(ConfigError, match=r"levels=\[420\]: 405 of the pool's 540 .* Ask for at most 405\.") as caught:
        judge.judge(pool, replace(ASKED, levels=[420], target=420))
    assert len(caught.value.args) == 2  # the target's fault does not hide it
    assert not lease._held  # of folders that are gone
    few = replace(pool, label_N=np.arange(len(pool)) // 3)
    with pytest.raises(DataError, match="fewer than two labels have four images"):
        judge.judge(few, ASKED)


def test_a_baseline_that_cannot_be_had_is_left_out(pool: JudgedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.judge.methods.MOST", 100)
    told: list[tuple[int, str, object]] = []
    asked = replace(ASKED, against=(RANDOM, *WHOLE_POOL))
    found = judge.judge(pool, asked, lambda *what: told.append(what))
    assert list(found.methods) == ["default", RANDOM]
    assert list(found.left_out) == list(WHOLE_POOL)
    assert "left out above" in found.left_out[WHOLE_POOL[0]]
    assert [name for seed, name, figures in told if isinstance(figures, str)] == list(WHOLE_POOL)  # said once
    jsonschema.validate(json.loads(json.dumps(found.as_json())), SCHEMA)
