"""What must hold in any evaluation: broken, each is found; whole, chance seldom fails it."""

from typing import Any

import numpy as np
import pytest

from siglino_core.evaluation.results.invariants import grounded, partials, retained, sanity, switches
from siglino_core.evaluation.results.result import ABOVE, Metric, Result
from siglino_core.evaluation.results.rows import GROUNDING
from siglino_core.grounding.judged.numbers import TASKS
from siglino_core.statistics.proportion import wilson
from tests.siglino_core.evaluation.made import metric, result
from tests.siglino_core.evaluation.results.test_curves import at


def share(hits: int, n: int) -> Metric:
    found = wilson(hits, n)
    return Metric(value=found.mean, low=found.low, high=found.high, n=n, method="wilson")


def permuted(*values: float) -> list[Result]:
    chance = result(0.01, sanity="chance", network="", view="")
    return [chance, *(result(v, sanity="permuted_labels", view=f"v{i}") for i, v in enumerate(values))]


def test_permuted_labels_at_chance_pass_and_above_it_fail() -> None:
    checks = list(sanity([*permuted(0.012, 0.9), result(0.9)]))
    assert [c.passed for c in checks] == [True, False]
    assert checks[0].name == "permuted labels: knn on cub test, student v0"
    assert checks[1].words == "90.0 (88.0 to 92.0) against 1.0: better than chance: something tells the answers"


def test_below_chance_is_no_leak() -> None:
    chance = result(0.5, sanity="chance")
    assert next(sanity([chance, result(0.1, sanity="shuffled_text")])).passed


def test_what_constant_features_get_is_chance_too() -> None:
    rows = permuted(0.3)
    assert not next(sanity(rows)).passed
    assert next(sanity([*rows, result(0.3, sanity="constant_features")])).passed
    other = result(0.3, sanity="constant_features", dataset="dtd")
    assert not next(sanity([*rows, other])).passed


def test_without_chance_nothing_is_judged_and_that_is_said() -> None:
    (check,) = sanity([result(0.9, sanity="permuted_labels"), result(0.1, "top5", sanity="chance")])
    assert (check.passed, check.skipped) == (True, True)


def test_many_rows_fail_by_chance_no_oftener_than_one() -> None:
    rng = np.random.default_rng(0)
    chance = result(0.1, sanity="chance")
    failed = 0
    for _ in range(200):
        hits = rng.binomial(1000, 0.1, 40)
        rows = [
            result(sanity="permuted_labels", view=f"v{i}", metrics={"top1": share(int(h), 1000)})
            for i, h in enumerate(hits)
        ]
        failed += any(not c.passed for c in sanity([chance, *rows]))
    assert failed <= 10  # of 200; unwidened, 1 - 0.975 ** 40 = 64% of them would


def answering(value: float, above: Metric | None, **changes: Any) -> Result:
    metrics = {"accuracy@0.5": metric(value)} | ({ABOVE: above} if above else {})
    of_model: dict[str, Any] = {"task": "grounding_box", "network": "grounding", "view": "free"}
    return result(metrics=metrics, **(of_model | changes))


def test_a_grounding_model_that_sees_the_image_may_beat_a_constant_box_whatever_it_is_asked() -> None:
    rows = [
        answering(0.82, metric(0.58, method="paired bootstrap; against shuffled text")),
        answering(0.24, None, sanity="shuffled_text"),
        answering(0.10, None, sanity="constant_features", network="baseline", view="largest-prior box"),
    ]
    assert list(sanity(rows)) == []
    (check,) = grounded(rows)
    assert (check.passed, check.name) == (True, "baselines: grounding_box on cub test, grounding free")
    assert check.words == (
        "82.0 (80.0 to 84.0), +58.0 points (+56.0 to +60.0; paired bootstrap; against shuffled text): "
        "above its best baseline"
    )


@pytest.mark.parametrize(
    "above",
    [metric(-0.1, half=0.02), metric(0.0, half=0.02), metric(0.01, half=0.01), Metric(value=0.5, n=1)],
    ids=["below", "equal", "at the end", "one image"],
)
def test_a_grounding_model_that_is_not_above_its_best_baseline_fails(above: Metric) -> None:
    (check,) = grounded([answering(0.0, above)])
    assert not check.passed
    assert check.words.endswith(": not shown to be above its best baseline")


def test_of_grounding_the_runs_own_model_is_judged_where_there_is_a_baseline() -> None:
    rival = answering(0.0, metric(-0.1), network="florence")
    (check,) = grounded([answering(0.5, None), rival, result(metrics={"top1": metric(0.1), ABOVE: metric(-0.5)})])
    assert (check.passed, check.skipped) == (True, True)
    assert tuple(TASKS) == GROUNDING


def test_a_switch_of_modes_is_found_and_noise_is_none() -> None:
    good, bad = [at(224, 0.80), at(512, 0.82), at(768, 0.79)], [at(224, 0.80), at(512, 0.82), at(768, 0.013)]
    assert [c.passed for c in switches(good, 0.02)] == [True, True]
    checks = list(switches(bad, 0.02))
    assert [c.passed for c in checks] == [True, False]
    assert checks[1].name == "size 512 to 768: knn on cub, student-224 siglip2"


def test_the_allowed_drop_is_beyond_both_intervals() -> None:
    # 0.02 allowed, and sqrt(2) * 0.02 unsure: 0.0483
    assert next(switches([at(224, 0.8), at(512, 0.752)], 0.02)).passed
    assert not next(switches([at(224, 0.8), at(512, 0.751)], 0.02)).passed


def test_retention() -> None:
    rows = [result(0.76), result(0.80, network="siglip2"), result(0.2, view="siglino")]
    (check,) = retained(rows, 0.95)
    assert check.passed
    assert check.words == "76.0 (74.0 to 78.0) is 95.0% of 80.0, 95.0% is asked"
    assert next(retained(rows, 0.97)).passed  # 0.776 is inside the interval
    assert not next(retained(rows, 0.98)).passed  # 0.784 is not
    assert list(retained(rows, 0.95, teachers={})) == []
    assert len(list(retained([*rows, result(0.1, network="untrained")], 0.95))) == 1


@pytest.mark.parametrize("teacher", [result(0.0, network="siglip2"), result(network="siglip2", dataset="dtd")])
def test_a_teacher_without_a_value_is_skipped(teacher: Result) -> None:
    (check,) = retained([result(0.5), teacher], 0.95)
    assert (check.passed, check.skipped) == (True, True)


def test_partial_results_never_pass() -> None:
    (check,) = partials([result(), result(parameters={"limit": 8}, metrics={"top1": metric(1.0)})])
    assert not check.passed
    assert check.words == "partial: limit=8; a gate judges whole data sets alone"


def test_permuted_labels_may_reach_the_share_of_the_commonest_class() -> None:
    chance = result(metrics={"top1": metric(0.1), "top1 (majority)": metric(0.6)}, sanity="chance")
    row = result(0.55, sanity="permuted_labels")
    assert next(sanity([chance, row])).passed
    assert not next(sanity([chance, result(0.7, sanity="permuted_labels")])).passed
    recall = result(0.55, "mean_recall", sanity="permuted_labels")
    more = result(metrics={"mean_recall": metric(0.1), "top1 (majority)": metric(0.6)}, sanity="chance")
    assert not next(sanity([more, recall])).passed, "of another metric it says nothing"


def test_geometry_is_no_better_or_worse() -> None:
    fallen = [at(224, 0.9, task="geometry"), at(512, 0.1, task="geometry")]
    assert list(switches(fallen, 0.02)) == []
    assert len(list(switches([at(224, 0.9), at(512, 0.1)], 0.02))) == 1
    taught = [result(0.1, task="geometry"), result(0.9, task="geometry", network="siglip2", view="siglip2")]
    assert list(retained(taught, 0.95)) == []
