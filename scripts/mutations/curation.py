"""Breaks of the curation: near-duplicates, clusters, sampling."""

from scripts.mutations.mutation import Mutation

CURATION, CURATION_TESTS = "siglino_core/curation", "tests/siglino_core/curation"

MUTATIONS = (
    # Near-duplicates and clusters
    Mutation(
        says="what is unlike counts as a near-duplicate",
        file=f"{CURATION}/dedup/near.py",
        old="np.where(best_R >= cosine,",
        new="np.where(best_R < cosine,",
        tests=(f"{CURATION_TESTS}/dedup/test_near.py",),
    ),
    Mutation(
        says="any neighbour of the block is a near-duplicate",
        file=f"{CURATION}/dedup/near.py",
        old="np.tril(inner_RR >= cosine, -1)",
        new="np.tril(inner_RR >= 0, -1)",
        tests=(f"{CURATION_TESTS}/dedup/test_near.py",),
    ),
    Mutation(
        says="half of an id makes an exact duplicate",
        file=f"{CURATION}/dedup/exact.py",
        old="(ordered[1:] == ordered[:-1]).all(1)",
        new="(ordered[1:] == ordered[:-1])[:, 0]",
        tests=(f"{CURATION_TESTS}/dedup/test_exact.py::test_all_128_bits_of_an_id_count",),
    ),
    Mutation(
        says="points go to the seed that is farther",
        file=f"{CURATION}/clustering/points.py",
        old="else d2_N < b.d2_N",
        new="else d2_N > b.d2_N",
        tests=(f"{CURATION_TESTS}/clustering/test_kmeans.py::test_seeding_by_distance_finds_what_random_misses",),
    ),
    Mutation(
        says="empty clusters stay empty",
        file=f"{CURATION}/clustering/kmeans.py",
        old="        means_KD[refill] = lost.points_MD.astype(np.float32)",
        new="        pass",
        tests=(f"{CURATION_TESTS}/clustering/test_kmeans.py::test_empty_clusters_get_the_farthest_points",),
    ),
    # Sampling
    Mutation(
        says="no outlier is trimmed",
        file="pipelines/sample/fill.py",
        old="int(candidates * trim) + 1",
        new="1",
        tests=("tests/pipelines/sample/test_cells.py::test_the_trimmed_are_the_loneliest",),
    ),
    Mutation(
        says="the threshold keeps one image more",
        file=f"{CURATION}/sampling/quotas.py",
        old="left = target - int(above.sum())",
        new="left = target - int(above.sum()) + 1",
        tests=(f"{CURATION_TESTS}/sampling/test_quotas.py::test_global_quotas_keep_the_target_and_the_highest",),
    ),
    Mutation(
        says="every rest of a quota goes to one cluster too many",
        file=f"{CURATION}/sampling/quotas.py",
        old="(room & (rank < short))",
        new="(room & (rank <= short))",
        tests=(f"{CURATION_TESTS}/sampling/test_quotas.py::test_exact_within_sizes_and_within_one_of_the_water_level",),
    ),
    Mutation(
        says="a cluster is thinned from its first row, not from the seed's",
        file="pipelines/sample/order.py",
        old="int(start[rows].argmin())",
        new="0",
        tests=("tests/pipelines/sample/test_order.py::test_where_a_cluster_is_thinned_from_follows_from_the_seed",),
    ),
    Mutation(
        says="an image counts once, however many near-duplicates it has",
        file="pipelines/sample/order.py",
        old="herding_scores(points[rows], weight[rows])",
        new="herding_scores(points[rows])",
        tests=("tests/pipelines/sample/test_order.py",),
    ),
    Mutation(
        says="an image that went counts for another than the one that stands for it",
        file="pipelines/sample/cells.py",
        old="np.bincount(stands, minlength=len(stands))",
        new="np.bincount(np.roll(stands, 1), minlength=len(stands))",
        tests=("tests/pipelines/sample/test_order.py",),
    ),
    Mutation(
        says="near-duplicates of a cluster's images do not count in its share",
        file="pipelines/sample/fill.py",
        old=", claims=claims, **how)",
        new=", **how)",
        tests=("tests/pipelines/sample/test_order.py",),
    ),
    Mutation(
        says="clusters of a pool without groups share as those of groups do",
        file="pipelines/sample/fill.py",
        old="s.quota_power if parents else 1.0",
        new="s.quota_power",
        tests=("tests/pipelines/sample/test_order.py",),
    ),
    Mutation(
        says="what was taken does not count against what is like it",
        file=f"{CURATION}/sampling/herding.py",
        old="to_taken_M * (REPULSION / (turn + 1))",
        new="np.where(np.isinf(to_taken_M), np.inf, 0)",
        tests=(f"{CURATION_TESTS}/sampling/test_herding.py",),
    ),
    Mutation(
        says="an outlier is told by distance alone",
        file=f"{CURATION}/sampling/coverage.py",
        old="np.where(mutual_M, MUTUAL * distance_M, distance_M)",
        new="distance_M",
        tests=(f"{CURATION_TESTS}/sampling/test_coverage.py",),
    ),
    Mutation(
        says="the weight of a member counts for those that represent it, not for itself",
        file=f"{CURATION}/sampling/facility.py",
        old="offer_MM *= weight_M.astype(np.float32)[:, None]",
        new="offer_MM *= weight_M.astype(np.float32)[None]",
        tests=(f"{CURATION_TESTS}/sampling/test_facility.py",),
    ),
    Mutation(
        says="the size of a cluster does not count",
        file="pipelines/sample/order.py",
        old=" / len(rows) ** sample.size_penalty",
        new="",
        tests=("tests/pipelines/sample/test_order.py",),
    ),
    Mutation(
        says="a table without rows has a row group, which `datasets` cannot read",
        file="pipelines/sample/write.py",
        old="        if table.num_rows:",
        new="        if True:",
        tests=("tests/e2e/test_opening.py::test_datasets_opens_the_other_tables",),
    ),
    Mutation(
        says="what has no caption is null in a tar's JSON",
        file="pipelines/sample/write.py",
        old='"" if image[name] is None else image[name]',
        new="image[name]",
        tests=("tests/e2e/test_opening.py::test_datasets_opens_tars_as_images",),
    ),
    Mutation(
        says="the traversal forgets where it starts",
        file=f"{CURATION}/sampling/coverage.py",
        old="at, distance = start, np.float32(np.inf)",
        new="at, distance = 0, np.float32(np.inf)",
        tests=(f"{CURATION_TESTS}/sampling/test_coverage.py::test_farthest_first_is_the_traversal",),
    ),
    Mutation(
        says="outliers stay",
        file="pipelines/sample/read.py",
        old='(decided["outlier_distance"].to_numpy() <= limit)',
        new='(decided["outlier_distance"].to_numpy() < np.inf)',
        tests=("tests/pipelines/sample/test_cells.py::test_the_trimmed_are_the_loneliest",),
    ),
)
