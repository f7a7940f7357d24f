"""Two evaluations compared: the tests are the right ones, in pairs, corrected for being many."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siglino_core.evaluation.results.compare import BOOTSTRAP, MCNEMAR, SAME, Comparison, compare, compare_folders
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.result import Metric
from siglino_core.evaluation.results.store import results_file, samples_file, write_results, write_samples
from siglino_core.statistics.paired import holm, mcnemar, paired_difference
from siglino_core.store import Files
from tests.siglino_core.evaluation.made import result, samples


def evaluation(correct: Any, groups: Any = None, name: str = "e", metric: str = "top1", **changes: Any) -> Evaluation:
    """One result with its samples."""
    values = np.asarray(correct, float)
    made = result(metrics={metric: Metric(value=float(values.mean()), n=len(values))}, **changes)
    table = samples(values, groups, network=made.network, view=made.view, metric=metric)
    return Evaluation.of(name, [made], {(made.task, made.dataset): table})


def both(*parts: Evaluation) -> Evaluation:
    """Several data sets as one evaluation."""
    tables = {(r.task, r.dataset): p.samples(r.task, r.dataset) for p in parts for r in p.results}
    return Evaluation.of("all", [r for p in parts for r in p.results], {k: t for k, t in tables.items() if t})


def only(found: Comparison) -> str:
    """Why the only thing in it was refused."""
    assert found.pairs == []
    assert len(found.refused) == 1
    return found.refused[0].why


FIRST = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0] * 20)
SECOND = np.array([1, 1, 1, 1, 0, 0, 1, 0, 0, 0] * 20)


def test_right_and_wrong_have_mcnemar() -> None:
    pair = compare(evaluation(FIRST), evaluation(SECOND)).pairs[0]
    assert (pair.first, pair.second, pair.n, pair.groups) == (0.6, 0.5, 200, 200)
    assert pair.difference == pytest.approx(-0.1)
    assert pair.p == mcnemar(FIRST == 1, SECOND == 1) == pair.p_holm
    assert pair.method == MCNEMAR
    expected = paired_difference(FIRST, SECOND)
    assert (pair.low, pair.high) == (expected.low, expected.high)
    # 60 of 200 pairs differ: sd 0.5399, by 2.8016 / sqrt(200)
    assert pair.detectable == pytest.approx(0.10695, abs=5e-6)


def test_a_group_is_one_draw() -> None:
    groups = [f"g{i // 10}" for i in range(200)]
    alone, grouped = (compare(evaluation(FIRST, g), evaluation(SECOND, g)).pairs[0] for g in (None, groups))
    assert (grouped.n, grouped.groups, grouped.method) == (200, 20, f"{BOOTSTRAP}, by group")
    # every group has the same difference: as a draw, it is sure
    assert grouped.high is not None
    assert alone.high is not None
    assert grouped.high - grouped.difference < 1e-9 < alone.high - alone.difference
    own = [f"g{i}" for i in range(200)]
    single = compare(evaluation(FIRST, own), evaluation(SECOND, own)).pairs[0]
    assert single == alone


def test_samples_without_a_group_are_their_own() -> None:
    groups = [None if i >= 10 else "one" for i in range(200)]
    pair = compare(evaluation(FIRST, groups), evaluation(SECOND, groups)).pairs[0]
    assert pair.groups == 191


def test_other_numbers_have_the_bootstrap() -> None:
    first = np.random.default_rng(0).random(300)
    second = np.clip(first + 0.02 + np.random.default_rng(1).normal(0, 0.1, 300), 0, 1)
    pair = compare(evaluation(first), evaluation(second)).pairs[0]
    assert pair.method == BOOTSTRAP
    assert pair.p == paired_difference(first, second).p


def test_where_nothing_differs_the_interval_is_that_of_no_event() -> None:
    pair = compare(evaluation(FIRST), evaluation(FIRST)).pairs[0]
    bound = 1 - 0.025 ** (1 / 200)  # 0 of 200: at most 1.83%
    assert (pair.low, pair.high) == (-bound, bound)
    assert bound == pytest.approx(0.0183, abs=5e-5)
    assert (pair.difference, pair.p, pair.detectable, pair.method) == (0, 1, None, SAME)


@pytest.mark.slow
def test_several_pairs_are_corrected_and_draws_are_enough_for_it() -> None:
    rng = np.random.default_rng(0)
    first = [rng.random(16) for _ in range(110)]
    names = [f"d{i:03d}" for i in range(110)]
    a = both(*(evaluation(f, dataset=d) for f, d in zip(first, names, strict=True)))
    b = both(*(evaluation(f - 0.2 + 0.01 * f**2, dataset=d) for f, d in zip(first, names, strict=True)))
    found = compare(a, b)
    assert len(found.pairs) == 110
    assert all(p.p_holm >= p.p for p in found.pairs)
    assert max(p.p_holm for p in found.pairs) < 0.05  # 2,000 draws could not: 110 / 2,001 > 0.05


def test_p_values_are_holms() -> None:
    weaker = np.where(np.arange(200) % 40 == 0, 0, FIRST)
    a = both(evaluation(FIRST), evaluation(FIRST, dataset="dtd"), evaluation(FIRST, task="ridge"))
    b = both(evaluation(SECOND), evaluation(weaker, dataset="dtd"), evaluation(FIRST, task="ridge"))
    pairs = {f"{p.key.task} {p.key.dataset}": p for p in compare(a, b).pairs}
    expected = holm({name: pair.p for name, pair in pairs.items()})
    assert {name: pair.p_holm for name, pair in pairs.items()} == expected
    assert pairs["knn cub"].p_holm == pytest.approx(3 * pairs["knn cub"].p)


def test_the_order_of_rows_does_not_matter() -> None:
    a, b = evaluation(FIRST), evaluation(SECOND)
    table = b.samples("knn", "cub")
    assert table is not None
    shuffled = Evaluation.of("e", b.results, {("knn", "cub"): table.take(np.random.default_rng(0).permutation(200))})
    assert compare(a, shuffled) == compare(a, b)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"limit": 200}}, "the second is partial: limit=200"),
        ({"preprocessing": {"fit": "grid", "max_pixels": 9}}, "the preprocessing differs: max_pixels 65536 against 9"),
        ({"preprocessing": {}}, "the preprocessing differs: fit grid against None; max_pixels 65536 against None"),
        ({"split": "val"}, "the splits differ: test against val"),
        ({"parameters": {"teacher_network": "v"}}, "the teacher differs: teacher_network None against v"),
    ],
)
def test_what_may_not_be_compared_is_refused(change: dict, said: str) -> None:
    assert only(compare(evaluation(FIRST), evaluation(FIRST, **change))) == said


def test_lists_and_tuples_are_the_same_preprocessing() -> None:
    a, b = ({"fit": {"mean": kind([0.5, 0.5])}} for kind in (list, tuple))
    assert len(compare(evaluation(FIRST, preprocessing=a), evaluation(SECOND, preprocessing=b)).pairs) == 1


def test_other_parameters_are_told() -> None:
    found = compare(evaluation(FIRST), evaluation(SECOND, parameters={"k": 10}))
    assert found.pairs[0].remark == "the parameters differ: k 20 against 10"


def changed(**columns: list) -> Evaluation:
    """The first evaluation with other values in its samples."""
    base = evaluation(FIRST)
    table = base.samples("knn", "cub")
    assert table is not None
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(name), [values])
    return Evaluation.of("e", base.results, {("knn", "cub"): table})


def test_other_samples_are_refused() -> None:
    ids = [f"s{i:06d}" for i in range(199)] + ["other"]
    why = only(compare(evaluation(FIRST), changed(sample_id=ids)))
    assert why == "the samples differ: 1 only in the first, 1 only in the second, such as s000199"
    shorter = Evaluation.of("e", evaluation(FIRST[:10]).results, {("knn", "cub"): samples(FIRST[:10])})
    assert only(compare(evaluation(FIRST), shorter)).startswith("the samples differ: 190 only in the first, 0 only")
    images = ["i"] * 198 + ["j", ""]
    assert only(compare(evaluation(FIRST), changed(image_id=images))) == "1 samples have other images, such as s000198"
    unread = changed(image_id=["", *["i"] * 199])
    assert len(compare(unread, evaluation(FIRST)).pairs) == len(compare(evaluation(FIRST), unread).pairs) == 1
    assert only(compare(evaluation(FIRST), changed(group=["g"] * 200))) == "the samples are in other groups"


def test_samples_of_another_evaluation_are_refused() -> None:
    a = evaluation(FIRST)
    wrong = Evaluation.of("e", [result(0.6001)], {("knn", "cub"): samples(FIRST)})
    assert only(compare(a, wrong)) == "the second's samples have the mean 0.600000, but its result says 0.600100"
    assert "the first's samples" in only(compare(wrong, a))


def test_a_metric_that_is_no_plain_mean_may_have_samples() -> None:
    made = [result(0.3, "miou")]
    a, b = (Evaluation.of("e", made, {("knn", "cub"): samples(v, metric="image_iou")}) for v in (FIRST, SECOND))
    assert compare(a, b).pairs[0].key.metric == "image_iou"


def test_without_samples_nothing_is_compared() -> None:
    none = Evaluation.of("e", evaluation(FIRST).results, {})
    assert only(compare(none, evaluation(FIRST))) == "the first has no samples of it"
    other = evaluation(FIRST, metric="top5")
    found = compare(evaluation(FIRST), other)
    assert [(r.key.metric, r.why) for r in found.refused] == [
        ("top1", "only the first has samples of it"),
        ("top5", "only the second has samples of it"),
    ]


def test_what_only_one_has_is_told_and_sanity_rows_are_left_out() -> None:
    extra = [result(network="x"), result(sanity="permuted_labels", network="y")]
    a = evaluation(FIRST)
    more = Evaluation.of("e", [*a.results, *extra], {("knn", "cub"): samples(FIRST)})
    assert [k.network for k in compare(more, a).only_first] == ["x"]
    assert [k.network for k in compare(a, more).only_second] == ["x"]


def test_two_splits_of_one_name_cannot_be_told_apart() -> None:
    a = evaluation(FIRST)
    two = Evaluation.of("e", [*a.results, result(split="val")], {("knn", "cub"): samples(FIRST)})
    assert re.match("several splits", only(compare(a, two)))


def test_folders(tmp_path: Path) -> None:
    for name, made in (("a", evaluation(FIRST)), ("b", evaluation(SECOND))):
        files, table = Files(str(tmp_path / name)), made.samples("knn", "cub")
        assert table is not None
        files.put(results_file("knn", "cub"), write_results(made.results))
        files.put(samples_file("knn", "cub"), write_samples(table))
    found = compare_folders(Files(str(tmp_path / "a")), Files(str(tmp_path / "b")))
    assert (found.first, found.second) == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert found.pairs == compare(evaluation(FIRST), evaluation(SECOND)).pairs


def test_what_describes_is_not_compared() -> None:
    geometry = result(0.5, "rank_share", task="geometry")
    first, second = evaluation([1, 0, 1, 0]), evaluation([1, 0, 1, 1], name="f")
    with_more = [Evaluation.of(e.name, [*e.results, geometry], {}) for e in (first, second)]
    found = compare(*with_more)
    assert "geometry" not in {p.key.task for p in found.pairs} | {r.key.task for r in found.refused}
    assert not found.only_first
