"""Which members of a cluster are taken: every pick does what it says."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines import sample
from siglino_core.config import Pick, Quota
from siglino_core.curation.sampling.facility import facility_gains
from siglino_core.store import Run
from tests.pipelines.sampling import COVERAGE, FACILITY, GROUPED, check, clustered
from tests.stages import config, pool, table


def test_one_threshold_keeps_the_same_spacing_everywhere(run: Run) -> None:
    cfg, of = config(sample={**COVERAGE, "near_duplicate": 0.99}), pool()
    result = sample.run(cfg, run)
    rows = check(run, of, cfg, result.manifest)
    candidates = sum(r["reason"] in ("kept", "over_quota", "outlier") for r in rows)
    assert sum(r["reason"] == "outlier" for r in rows) == int(0.05 * candidates)
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    apart, covered = [], []
    for cluster_id in {r["level_1"] for r in rows if r["kept"]}:
        mine = [i for i, r in enumerate(rows) if r["level_1"] == cluster_id]
        kept = [i for i in mine if rows[i]["kept"]]
        left = [i for i in mine if rows[i]["reason"] == "over_quota"]
        d2 = ((x[kept][:, None] - x[kept][None]) ** 2).sum(2)
        apart += d2[np.triu_indices(len(kept), 1)].tolist()
        covered += ((x[left][:, None] - x[kept][None]) ** 2).sum(2).min(1).tolist() if left else []
    assert min(apart) >= max(covered) - 4e-3  # the threshold lies between: what stays is farther apart than what goes


def test_facility_keeps_what_represents_the_others_best(run: Run) -> None:
    cfg, of = config(sample={**FACILITY, "near_duplicate": 0.99}), pool()
    result = sample.run(cfg, run)
    rows = check(run, of, cfg, result.manifest)
    assert result.manifest.facts["balance"]["curated"]["effective_labels"]["n"] == 1  # nothing is drawn
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    scores: list[np.ndarray] = []
    for cluster_id in {r["level_1"] for r in rows if r["kept"]}:
        mine = [i for i, r in enumerate(rows) if r["level_1"] == cluster_id and r["reason"] in ("kept", "over_quota")]
        gains, kept = facility_gains(x[mine]), np.array([rows[i]["kept"] for i in mine])
        cosine = np.maximum(x[mine] @ x[mine].T, 0)
        best = np.argsort(-gains, kind="stable")[: kept.sum()]
        assert cosine[kept].max(0).sum() == pytest.approx(cosine[best].max(0).sum(), rel=2e-3)
        scores.append(np.sort(gains)[::-1][: kept.sum()] / len(mine) ** 0.25)
    everyone = [r["reason"] in ("kept", "over_quota") for r in rows]
    assert sum(map(len, scores)) == 60 < sum(everyone)
    assert min(map(np.min, scores)) > 0


def filled(budget: float, sizes: list[int]) -> list[float]:
    """Shares by the root of sizes, none above its size: the level is found by halving."""
    low, high = 0.0, 1e6
    for _ in range(100):
        level = (low + high) / 2
        low, high = (low, level) if sum(min(n, level * n**0.5) for n in sizes) > budget else (level, high)
    return [min(n, low * n**0.5) for n in sizes]


def test_with_one_level_shares_are_in_proportion(tmp_path: Path) -> None:
    cfg = config(cluster={"num_clusters": [8]}, sample={**GROUPED, "near_duplicate": 0.9})
    run = clustered(tmp_path / "run", cfg)
    sample.run(cfg, run)
    clusters = table(run, "sample", "clusters/").to_pylist()
    left = sum(c["candidates"] for c in clusters)
    assert len({c["candidates"] for c in clusters}) > 3
    assert all(abs(c["kept"] - 60 * c["candidates"] / left) < 1 for c in clusters)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_groups_share_equally_and_clusters_by_the_root_of_what_is_left(tmp_path: Path, power: float) -> None:
    recipe = {**GROUPED, "near_duplicate": 0.9, "duplicate_power": power, "target_size": 30}
    cfg, of = config(cluster={"num_clusters": [20, 3]}, sample=recipe), pool()
    run = clustered(tmp_path / "run", cfg)
    result = sample.run(cfg, run)
    rows = check(run, of, cfg, result.manifest)
    assert result.manifest.facts["balance"]["curated"]["effective_labels"]["n"] == 1  # nothing is drawn
    clusters = table(run, "sample", "clusters/").to_pylist()
    groups = {group: [c for c in clusters if c["level_2"] == group] for group in {c["level_2"] for c in clusters}}
    shares = {group: sum(c["kept"] for c in mine) for group, mine in groups.items()}
    whole = {group for group, mine in groups.items() if shares[group] == sum(c["candidates"] for c in mine)}
    assert max(shares[g] for g in shares if g not in whole) <= 1 + min(shares[g] for g in shares if g not in whole)
    for group, mine in groups.items():
        wanted = filled(shares[group], [c["candidates"] for c in mine])
        assert [c["kept"] for c in mine] == pytest.approx(wanted, abs=1)
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    stands = Counter(r["duplicate_of"] for r in rows if r["reason"] == "near_duplicate")
    assert max(stands.values()) > 1
    for cluster_id in {r["level_1"] for r in rows if r["kept"]}:
        mine = [i for i, r in enumerate(rows) if r["level_1"] == cluster_id and r["reason"] in ("kept", "over_quota")]
        weight = np.array([1.0 + stands[rows[i]["image_id"]] for i in mine]) ** power
        kept, cosine = np.array([rows[i]["kept"] for i in mine]), np.maximum(x[mine] @ x[mine].T, 0)
        best = np.argsort(-facility_gains(x[mine], weight), kind="stable")[: kept.sum()]
        worth = [(weight * cosine[chosen].max(0)).sum() for chosen in (kept, best)]
        assert worth[0] == pytest.approx(worth[1], rel=2e-3)


def test_a_random_pick_with_one_threshold_is_a_random_sample(run: Run) -> None:
    """What other recipes are held against: neither clusters nor neighbours count."""
    cfg = config(sample={"quota": Quota.GLOBAL, "pick": Pick.RANDOM, "near_duplicate": 1.0, "target_size": 100})
    kept = np.zeros(len(pool().vectors))
    for seed in range(12):
        sample.run(dataclasses.replace(cfg, seed=seed), run, redo="always")
        kept += [row["kept"] for row in table(run, "sample", "part-").to_pylist()]
    kept = kept[pool().embedded()]
    p = 100 / len(kept)
    assert kept.sum() == 1200
    assert kept.var() == pytest.approx(12 * p * (1 - p), rel=0.35)  # binomial: nobody is preferred


def test_another_seed_keeps_others_and_closest_ignores_it(tmp_path: Path) -> None:
    kept = {}
    for pick in (Pick.RANDOM, Pick.CLOSEST):
        for seed in (0, 1):
            run = clustered(tmp_path / f"{pick}-{seed}", config())  # clusters of seed 0
            cfg = dataclasses.replace(config(sample={"pick": pick, "target_size": 40}), seed=seed)
            sample.run(cfg, run)
            rows = table(run, "sample", "part-").to_pylist()
            kept[pick, seed] = [i for i, r in enumerate(rows) if r["kept"]]
            if pick is Pick.CLOSEST:
                assert len(kept[pick, seed]) == 40
    assert kept[Pick.RANDOM, 0] != kept[Pick.RANDOM, 1]
    same = set(kept[Pick.CLOSEST, 0]) & set(kept[Pick.CLOSEST, 1])
    assert len(same) >= 25  # only the quotas' remainders differ


def test_where_a_cluster_is_thinned_from_follows_from_the_seed(tmp_path: Path) -> None:
    kept = []
    for seed in (0, 1):
        run = clustered(tmp_path / str(seed), config())
        sample.run(dataclasses.replace(config(sample=COVERAGE), seed=seed), run)  # it draws nothing else
        kept.append([row["kept"] for row in table(run, "sample", "part-").to_pylist()])
    assert kept[0] != kept[1]
    assert sum(kept[0]) == sum(kept[1]) == 60


@pytest.mark.parametrize("penalty", [0.0, 0.25, 1.0])
def test_scores_of_all_clusters_compare_by_gain_over_size_to_the_power(run: Run, penalty: float) -> None:
    cfg, of = config(sample={**FACILITY, "near_duplicate": 0.99, "size_penalty": penalty}), pool()
    rows = check(run, of, cfg, sample.run(cfg, run).manifest)
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    mine = [i for i, r in enumerate(rows) if r["reason"] in ("kept", "over_quota")]
    cluster, kept = np.array([rows[i]["level_1"] for i in mine]), np.array([rows[i]["kept"] for i in mine])
    score = np.zeros(len(mine))
    for k in np.unique(cluster):
        score[cluster == k] = facility_gains(x[mine][cluster == k]) / (cluster == k).sum() ** penalty
    wanted = np.bincount(cluster[np.argsort(-score)[: kept.sum()]], minlength=20)
    assert np.abs(np.bincount(cluster[kept], minlength=20) - wanted).sum() <= 2  # ties go by pixels there
