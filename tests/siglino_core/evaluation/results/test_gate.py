"""The gate trips over a planted drop and lets a run pass that changed nothing, at the sizes of real test sets."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from siglino_core.evaluation.results.compare import Comparison, compare
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.gate import Rules, gate
from siglino_core.evaluation.results.matching import Key, Refused
from tests.siglino_core.evaluation.made import metric, result, samples
from tests.siglino_core.evaluation.results.test_compare import both, evaluation

REPETITIONS = 200
CHURN = 0.02  # of the samples change to right, and as many to wrong, from a training to the next


def answers(rng: np.random.Generator, n: int, drop: float) -> tuple[np.ndarray, np.ndarray]:
    """n answers of two runs, 70% right; ``drop`` of all samples become wrong in the second besides the churn."""
    kinds = rng.choice(4, n, p=[0.70 - CHURN - drop, 0.30 - CHURN, CHURN, CHURN + drop])
    first, second = np.array([1, 0, 0, 1]), np.array([1, 0, 1, 0])
    return first[kinds], second[kinds]


def failures(n: int, drop: float, sets: int, seed: int) -> int:
    """How many of the repetitions the gate fails, each over ``sets`` data sets; one of them has the drop."""
    rng = np.random.default_rng(seed)
    failed = 0
    for _ in range(REPETITIONS):
        pairs = [answers(rng, n, drop if i == 0 else 0.0) for i in range(sets)]
        a, b = (both(*(evaluation(p[side], dataset=f"d{i}") for i, p in enumerate(pairs))) for side in (0, 1))
        failed += not gate(b.results, compare(a, b)).passed
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 2000])
def test_no_change_passes_and_three_points_trip(n: int) -> None:
    assert failures(n, 0.0, 1, seed=n) <= 0.05 * REPETITIONS
    tripped = failures(n, 0.03, 1, seed=n + 1)
    assert tripped >= (0.9 if n == 1000 else 0.99) * REPETITIONS


@pytest.mark.slow
def test_over_many_data_sets_false_alarms_stay_seldom() -> None:
    assert failures(1000, 0.0, 8, seed=0) <= 0.05 * REPETITIONS


def comparison(drop: int, n: int = 5000, **changes: object) -> Comparison:
    """Of n samples ``drop`` became wrong, and 50 each way besides."""
    first = np.r_[np.ones(50 + drop), np.zeros(50), np.ones(n - 100 - drop)]
    second = np.r_[np.zeros(50 + drop), np.ones(50), np.ones(n - 100 - drop)]
    return replace(compare(evaluation(first), evaluation(second)), **changes)


def test_a_drop_fails_with_words_that_say_how_much() -> None:
    found = gate([result()], comparison(150))
    assert not found.passed
    assert found.exit_code == 1
    (check,) = found.checks
    assert check.name == "regression: knn on cub, student siglip2, top1"
    assert check.words.startswith("99.0 to 96.0, −3.0 points (−3.")
    assert "a sure drop, of more than the 0.5 allowed; a drop of " in check.words
    # 250 of 5,000 differ: a standard error of 0.31 points, by 2.80
    assert check.words.endswith("a drop of 0.9 would be found 4 times in 5")


def test_a_sure_drop_within_what_is_allowed_passes() -> None:
    assert gate([result()], comparison(150), rules=Rules(allowed=0.04)).passed
    assert gate([result()], comparison(150), rules=Rules(by_metric={"top1": 0.04})).passed
    assert not gate([result()], comparison(150), rules=Rules(by_metric={"top5": 0.04})).passed


def test_a_large_drop_of_few_samples_may_be_chance() -> None:
    (check,) = gate([result()], comparison(3, n=110)).checks
    assert check.passed
    assert "a drop that may be chance" in check.words


def test_strict_asks_for_proof() -> None:
    strict = Rules(strict=True)
    assert not gate([result()], comparison(0, n=1000), rules=strict).passed
    (check,) = gate([result()], comparison(0, n=20_000), rules=strict).checks
    assert check.passed
    assert "shown to be no drop of more than the 0.5 allowed" in check.words
    (check,) = gate([result()], comparison(90, n=20_000), rules=strict).checks
    assert "not shown to be" in check.words


def test_a_rise_passes() -> None:
    found = comparison(150)
    risen = replace(found.pairs[0], difference=0.03, low=0.02, high=0.04)
    assert gate([result()], replace(found, pairs=[risen])).passed


def test_what_cannot_be_judged_does_not_pass() -> None:
    key = Key(task="knn", dataset="dtd", network="student", view="siglip2")
    lost = gate([result()], comparison(0, only_first=[key]))
    assert [c.passed for c in lost.checks] == [False, True]
    assert gate([result()], comparison(0, only_second=[key])).passed
    refused = gate([result()], comparison(0, refused=[Refused(key=key, why="the splits differ")]))
    assert [c.words for c in refused.checks if not c.passed] == ["not compared: the splits differ"]
    assert not gate([result()], Comparison(first="a", second="b", pairs=[])).passed
    assert not gate([]).passed


def test_a_partial_result_blocks() -> None:
    assert gate([result()]).passed
    assert not gate([result(parameters={"limit": 100})]).passed


def test_every_invariant_is_asked() -> None:
    rows = [
        result(0.01, sanity="chance"),
        result(0.5, sanity="permuted_labels"),
        result(0.5, network="siglip2"),
        result(0.1),
        result(0.1, network="large", preprocessing={"fit": "grid", "max_pixels": 262144}),
    ]
    found = {c.name.split(":")[0]: c.passed for c in gate(rows, rules=Rules(retention=0.95)).checks}
    assert found == {"permuted labels": False, "retention": False, "size 256 to 512": False}
    assert "retention" not in {c.name.split(":")[0] for c in gate(rows).checks}


def test_random_weights_are_no_regression() -> None:
    def pair(network: str) -> Comparison:
        found = comparison(150)
        return replace(found, pairs=[replace(p, key=replace(p.key, network=network)) for p in found.pairs])

    assert not gate([result()], pair("student")).passed
    assert gate([result()], pair("untrained")).passed
    assert gate([result()], pair("untrained@224")).passed


def test_an_allowance_for_nothing_fails() -> None:
    assert gate([result()], comparison(0), rules=Rules(by_metric={"top1": 0.04})).passed
    found = gate([result()], comparison(0), rules=Rules(by_metric={"topl": 0.04}))
    assert not found.passed
    assert "topl is allowed, but nothing of that name is compared; compared are top1" in found.checks[0].words


def test_another_question_fails_and_another_fit_does_not() -> None:
    first = evaluation(np.arange(100) % 2, parameters={"k": 20, "learning_rate": 0.1})
    fitted = evaluation(np.arange(100) % 2, parameters={"k": 20, "learning_rate": 0.2})
    assert gate(fitted.results, compare(first, fitted)).passed
    easier = evaluation(np.ones(100), parameters={"k": 3, "learning_rate": 0.1})
    (check,) = gate(easier.results, compare(first, easier)).checks
    assert not check.passed
    assert check.words == "not the same question: the parameters differ: k 20 against 3"


def test_a_network_that_names_the_commonest_class_alone_fails_by_mean_recall() -> None:
    labels = np.where(np.arange(600) < 300, "common", np.array([f"c{i % 30}" for i in range(600)]))
    rng = np.random.default_rng(0)

    def one(correct: np.ndarray) -> Evaluation:
        recall = np.mean([correct[labels == label].mean() for label in np.unique(labels)])
        metrics = {"mean_recall": metric(float(recall)), "top1": metric(float(correct.mean()))}
        made = result(task="zero_shot", metrics=metrics)
        return Evaluation.of("e", [made], {("zero_shot", "cub"): labelled(correct, labels)})

    good, collapsed = one(rng.random(600) < 0.3), one(labels == "common")
    found = compare(good, collapsed)
    assert {p.key.metric: p.difference > 0 for p in found.pairs} == {"mean_recall": False, "top1": True}
    failed = [c.name for c in gate(collapsed.results, found).checks if not c.passed]
    assert failed == ["regression: zero_shot on cub, student siglip2, mean_recall"]


def labelled(correct: np.ndarray, labels: np.ndarray) -> pa.Table:
    table = samples(correct.astype(float))
    at = table.schema.get_field_index("label")
    return table.set_column(at, table.schema.field(at), pa.array(labels.tolist(), pa.string()))


def test_other_labels_are_not_compared() -> None:
    made, correct = result(metrics={"top1": metric(0.5)}), np.arange(100) % 2
    tables = [labelled(correct, np.array(["cat", other])[correct]) for other in ("dog", "wolf")]
    a, b = (Evaluation.of("e", [made], {("knn", "cub"): table}) for table in tables)
    (refused,) = compare(a, b).refused
    assert refused.why == "50 samples have other labels, such as s000001: dog against wolf"
    assert not gate(b.results, compare(a, b)).passed
