"""Which members of a cluster are taken: every pick does what it says."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import sample
from siglino_core.config import Pick, Quota
from siglino_core.curation.sampling.facility import facility_gains
from siglino_core.curation.sampling.herding import herding_scores
from siglino_core.store import Run
from tests.pipelines.sampling import COVERAGE, FACILITY, GROUPED, check, clustered
from tests.siglino_core.curation.sampling.test_herding import likeness
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


def test_near_duplicates_count_in_what_is_represented(tmp_path: Path) -> None:
    recipe = {**FACILITY, "near_duplicate": 0.9, "duplicate_power": 1.0, "target_size": 30}
    cfg, of = config(cluster={"num_clusters": [6]}, sample=recipe), pool()
    run = clustered(tmp_path / "run", cfg)
    rows = check(run, of, cfg, sample.run(cfg, run).manifest)
    counts = counted(rows, 1.0)
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    worth = np.zeros(2)
    for cluster_id in {r["level_1"] for r in rows if r["kept"]}:
        mine = [i for i, r in enumerate(rows) if r["level_1"] == cluster_id and r["reason"] in ("kept", "over_quota")]
        weight = np.array([counts[rows[i]["image_id"]] for i in mine])
        kept, cosine = np.array([rows[i]["kept"] for i in mine]), np.maximum(x[mine] @ x[mine].T, 0)
        best = np.argsort(-facility_gains(x[mine], weight), kind="stable")[: kept.sum()]
        worth += [(weight * cosine[chosen].max(0)).sum() for chosen in (kept, best)]
    assert worth[0] == pytest.approx(worth[1], rel=2e-3)


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


def filled(budget: float, sizes: list[int], claims: list[float]) -> list[float]:
    """Shares by claims, none above its size: the level is found by halving."""
    low, high = 0.0, 1e6
    for _ in range(100):
        level = (low + high) / 2
        got = sum(min(n, level * claim) for n, claim in zip(sizes, claims, strict=True))
        low, high = (low, level) if got > budget else (level, high)
    return [min(n, low * claim) for n, claim in zip(sizes, claims, strict=True)]


def counted(rows: list[dict[str, Any]], power: float) -> dict[str, float]:
    """What each image that is left counts: those it stands for, itself among them, to a power."""
    stands = Counter(r["duplicate_of"] for r in rows if r["reason"] == "near_duplicate")
    assert max(stands.values()) > 1
    return {r["image_id"]: (1.0 + stands[r["image_id"]]) ** power for r in rows}


def claim_of(cluster_id: int, rows: list[dict[str, Any]], counts: dict[str, float]) -> float:
    left = [r for r in rows if r["level_1"] == cluster_id and r["reason"] in ("kept", "over_quota")]
    return sum(counts[r["image_id"]] for r in left)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_with_one_level_shares_are_in_proportion(tmp_path: Path, power: float) -> None:
    recipe = {**GROUPED, "near_duplicate": 0.9, "duplicate_power": power, "min_support": 1}
    cfg = config(cluster={"num_clusters": [8]}, sample=recipe)
    run = clustered(tmp_path / "run", cfg)
    rows = check(run, pool(), cfg, sample.run(cfg, run).manifest)
    clusters = table(run, "sample", "clusters/").to_pylist()
    claims = [claim_of(c["level_1"], rows, counted(rows, power)) for c in clusters]
    assert len({c["candidates"] for c in clusters}) > 3
    assert [c["kept"] for c in clusters] == pytest.approx(
        filled(60, [c["candidates"] for c in clusters], claims), abs=1
    )


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_groups_and_their_clusters_share_and_members_are_spread_as_theirs(tmp_path: Path, power: float) -> None:
    recipe = {**GROUPED, "near_duplicate": 0.9, "duplicate_power": power, "target_size": 30, "quota_power": 0.4}
    cfg, of = config(cluster={"num_clusters": [20, 3]}, sample={**recipe, "min_support": 1}), pool()
    run = clustered(tmp_path / "run", cfg)
    result = sample.run(cfg, run)
    rows = check(run, of, cfg, result.manifest)
    assert result.manifest.facts["balance"]["curated"]["effective_labels"]["n"] == 1  # nothing is drawn
    clusters = table(run, "sample", "clusters/").to_pylist()
    counts = counted(rows, power)
    claim = {c["level_1"]: claim_of(c["level_1"], rows, counts) for c in clusters}
    groups = {group: [c for c in clusters if c["level_2"] == group] for group in {c["level_2"] for c in clusters}}
    shares = [sum(c["kept"] for c in mine) for mine in groups.values()]
    wanted = [sum(claim[c["level_1"]] for c in mine) ** 0.4 for mine in groups.values()]
    assert shares == pytest.approx(
        filled(30, [sum(c["candidates"] for c in m) for m in groups.values()], wanted), abs=1
    )
    for share, mine in zip(shares, groups.values(), strict=True):
        inside = filled(share, [c["candidates"] for c in mine], [claim[c["level_1"]] ** 0.4 for c in mine])
        assert [c["kept"] for c in mine] == pytest.approx(inside, abs=1)
    x = of.vectors - of.vectors[of.embedded()].mean(0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    several = 0
    for cluster_id in {r["level_1"] for r in rows if r["kept"]}:
        mine = [i for i, r in enumerate(rows) if r["level_1"] == cluster_id and r["reason"] in ("kept", "over_quota")]
        score = herding_scores(x[mine])
        kept = np.array([rows[i]["kept"] for i in mine])
        several += 1 < kept.sum() < len(mine)
        away = likeness(x[mine])
        first = np.argsort(-score)[: kept.sum()]
        assert away[kept].mean() == pytest.approx(away[first].mean(), abs=0.05)  # ties by float16 may fall otherwise
    assert several > 3


def test_clusters_of_one_or_two_images_get_no_more_than_the_pool_s_share(tmp_path: Path) -> None:
    recipe = {**GROUPED, "near_duplicate": 1.0, "target_size": 100, "trim": 0.0}
    cfg = config(cluster={"num_clusters": [60, 5]}, sample={**recipe, "quota_power": 0.0, "min_support": 3})
    run = clustered(tmp_path / "run", cfg)
    sample.run(cfg, run)
    clusters = table(run, "sample", "clusters/").to_pylist()
    small = [c for c in clusters if c["size"] < 3]
    assert len(small) > 5
    rate = 100 / sum(c["size"] for c in clusters)
    assert sum(c["kept"] for c in small) <= 1.7 * rate * sum(c["size"] for c in small) + 2
    equal = filled(100, [c["candidates"] for c in clusters], [1.0] * len(clusters))
    whole_shares = sum(got for c, got in zip(clusters, equal, strict=True) if c["size"] < 3)
    assert sum(c["kept"] for c in small) < 0.8 * whole_shares


def test_one_threshold_for_herded_clusters_is_one_share_of_each(run: Run) -> None:
    cfg = config(sample={**GROUPED, "quota": Quota.GLOBAL, "near_duplicate": 1.0, "trim": 0.0})
    sample.run(cfg, run)
    clusters = table(run, "sample", "clusters/").to_pylist()
    share = 60 / sum(c["candidates"] for c in clusters)
    assert all(abs(c["kept"] - share * c["candidates"]) <= 1 for c in clusters)


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
