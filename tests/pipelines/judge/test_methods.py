"""Ways to choose: levels that suit a pool, baselines that are what they are called, and what does not fit."""

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from pipelines.judge import methods
from pipelines.judge.folder import Folder, written
from pipelines.judge.methods import (
    BASELINES,
    DEDUPLICATED,
    FACILITY,
    FLAT,
    GREEDY_START,
    K_CENTRE,
    PUBLISHED,
    RANDOM,
    WHOLE_POOL,
    baselines,
    by_recipe,
    fitted,
    settings,
    whole_pool,
)
from siglino_core.config import Config, Quota, SampleConfig
from siglino_core.curation.clustering.levels import derived
from siglino_core.errors import ConfigError

N, COPIES = 400, 150
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 12))
X[N - COPIES :] = X[0] + 0.01 * RNG.normal(size=(COPIES, 12))  # a head of near-duplicates
X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
IDS = [hashlib.sha256(b"%d" % i).hexdigest()[:32] for i in range(N)]
CONFIG = fitted(Config(), N, 60, [12, 4])


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return written(str(tmp_path_factory.mktemp("judge") / "run"), X, IDS)


def test_a_recipe_is_fitted_to_a_pool() -> None:
    made = fitted(Config(sample=SampleConfig(trim=0.2)), 700, 80, None)
    assert made.cluster.num_clusters == derived(700, 80, 700)
    assert (made.sample.target_size, made.sample.trim) == (80, 0.2)
    assert fitted(Config(), 700, 80, [9]).cluster.num_clusters == [9]


def test_random_keeps_duplicates_and_the_others_do_not(folder: Folder) -> None:
    simple = baselines(CONFIG, 100)
    assert [*simple, *WHOLE_POOL] == list(BASELINES)
    copies = {}
    for name, config in simple.items():
        chosen = by_recipe(config, folder)
        assert len(chosen.rows_T) == 60
        assert chosen.cpu_seconds > 0
        copies[name] = int((chosen.rows_T >= N - COPIES).sum())
    assert 12 <= copies.pop(RANDOM) <= 34  # of 60, 22.5 on average
    assert max(copies.values()) <= 3
    assert (simple[RANDOM].sample.quota, simple[RANDOM].cluster.num_clusters) == (Quota.GLOBAL, [1])


def test_random_draws_every_image_as_often(folder: Folder) -> None:
    config = baselines(CONFIG, 100)[RANDOM]
    config = replace(config, sample=replace(config.sample, target_size=200))
    drawn = [by_recipe(replace(config, seed=seed), folder).rows_T for seed in range(8)]
    assert not np.array_equal(drawn[0], drawn[1])
    times = np.bincount(np.concatenate(drawn), minlength=N)
    assert times.mean() == 4
    assert times.var() == pytest.approx(8 * 0.5 * 0.5, rel=0.25)


def test_whole_pool_baselines(folder: Folder) -> None:
    for name in WHOLE_POOL:
        rows = whole_pool(name, CONFIG, X, folder).rows_T
        assert np.array_equal(rows, np.unique(rows))
        assert len(rows) == 60
        assert (rows >= N - COPIES).sum() <= 1
    with pytest.raises(ConfigError, match="only 250 images are left when duplicates are gone"):
        whole_pool(FACILITY, replace(CONFIG, sample=replace(CONFIG.sample, target_size=300)), X, folder)


def test_what_is_too_large_is_left_out(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "MOST", 399)
    with pytest.raises(ConfigError, match="left out above"):
        whole_pool(K_CENTRE, CONFIG, X, folder)


def test_a_recipe_without_room_says_so(folder: Folder) -> None:
    config = baselines(CONFIG, 100)[DEDUPLICATED]
    with pytest.raises(ConfigError, match=r"only 25\d images are left when duplicates"):
        by_recipe(replace(config, sample=replace(config.sample, target_size=300)), folder)


def test_among_many_images_k_means_starts_in_rounds_and_its_settings_say_so() -> None:
    few, many = (baselines(CONFIG, images) for images in (GREEDY_START, GREEDY_START + 1))
    for name in (PUBLISHED, FLAT):
        assert settings(few[name])["cluster"]["seeding"] == "kmeans++"
        assert settings(many[name])["cluster"]["seeding"] == "d2_rounds"
