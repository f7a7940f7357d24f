"""Results on disk: the same bytes for the same results, all that was said comes back, anything else is refused."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.results import store
from siglino_core.evaluation.results.result import SANITY, Metric, Result
from tests.siglino_core.evaluation.made import metric, result, samples

jsonschema = pytest.importorskip("jsonschema")

THREE = {"top5": metric(0.8), "a": metric(0.1), "top1": Metric(value=0.5, n=3)}
finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.one_of(finite, st.integers(-(2**53), 2**53), st.none(), st.booleans(), st.text(max_size=5))
metrics = st.builds(
    Metric, value=finite, low=st.none() | finite, high=finite, n=st.integers(0, 10**9), method=st.text(max_size=4)
)
results = st.builds(
    Result,
    task=st.just("knn"),
    dataset=st.just("cub"),
    split=st.sampled_from(["test", "val"]),
    network=st.text(max_size=3),
    view=st.text(max_size=3),
    n=st.integers(0, 10**9),
    sanity=st.sampled_from(["", *SANITY]),
    metrics=st.dictionaries(st.text(max_size=4), metrics, min_size=1, max_size=4),
    parameters=st.dictionaries(st.text(max_size=4), numbers | st.lists(numbers, max_size=3), max_size=3),
    per_class=st.dictionaries(st.text(max_size=4), finite, max_size=3),
)


def valid(data: bytes) -> None:
    jsonschema.Draft202012Validator(store.json_schema()).validate(json.loads(data))


@given(st.lists(results, min_size=1, max_size=4, unique_by=lambda r: (r.split, r.network, r.view, r.sanity)))
def test_what_was_written_comes_back_and_again_gives_the_same_bytes(written: list[Result]) -> None:
    data = store.write_results(written)
    valid(data)
    read = store.read_results(data)
    assert store.write_results(read) == data
    assert store.write_results(written[::-1]) == data
    by_key = {(r.split, r.network, r.view, r.sanity): r for r in written}
    for r in read:
        original = by_key[r.split, r.network, r.view, r.sanity]
        assert list(r.metrics) == list(original.metrics)
        assert r.headline[0] == original.headline[0]
        for name, m in r.metrics.items():
            assert m.value == pytest.approx(original.metrics[name].value, rel=1e-11)


def test_the_bytes_are_strict_json_with_keys_in_order() -> None:
    data = store.write_results([result(metrics=THREE)])
    content = json.loads(data, parse_constant=lambda c: pytest.fail(c))
    assert json.dumps(content, indent=1, sort_keys=True).encode() + b"\n" == data
    assert content["results"][0]["metric_names"] == ["top5", "a", "top1"]
    assert content["schema"] == 1


def test_floats_keep_twelve_digits_so_that_sums_in_another_order_agree() -> None:
    forward, backward = sum([0.1] * 10), 1.0
    assert forward != backward
    assert store.write_results([result(forward)]) == store.write_results([result(backward)])
    assert store.write_results([result(0.123456789012)]) != store.write_results([result(0.123456789013)])
    assert store.write_results([result(metrics={"d": Metric(value=-0.0, n=1)})]) == store.write_results(
        [result(metrics={"d": Metric(value=0.0, n=1)})]
    )


def test_numpy_scalars_and_tuples_become_plain() -> None:
    r = result(
        parameters={"k": np.int64(20), "ks": (1, 2), "t": np.float32(0.5)},
        metrics={"a": Metric(value=np.float64(1), n=2)},
    )
    read = store.read_results(store.write_results([r]))[0]
    assert read.parameters == {"k": 20, "ks": [1, 2], "t": 0.5}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (list, "there are no results"),
        (lambda: [result(float("nan"))], "metrics, top1, value is nan"),
        (lambda: [result(parameters={"x": float("inf")})], "parameters, x is inf"),
        (lambda: [result(parameters={1: 2})], "is no text"),
        (lambda: [result(parameters={"x": object()})], "is a object, which JSON does not know"),
        (lambda: [result(metrics={})], "has no metric"),
        (lambda: [result(), result(dataset="dtd")], "one task and data set"),
        (lambda: [result(), result(0.6)], "knn on cub test: student siglip2 is there twice"),
    ],
)
def test_what_is_no_result_is_not_written(bad: Callable[[], list[Result]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        store.write_results(bad())


def edited(change: Callable[[dict[str, Any]], None]) -> bytes:
    content = json.loads(store.write_results([result(metrics=THREE)]))
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no file of results"),
        (b"[]", "no schema"),
        (b'{"schema": NaN}', "it holds NaN"),
        (b"[" * 100_000, "no file of results"),
        (edited(lambda c: c.update(schema=2)), "schema 2 is not 1"),
        (edited(lambda c: c.update(task="ridge")), "is in the file of ridge"),
        (edited(lambda c: c["results"][0].pop("n")), "no file of results"),
        (edited(lambda c: c["results"][0].update(more=1)), "no file of results"),
        (edited(lambda c: c["results"][0].update(sanity="none")), "sanity is 'none'"),
        (edited(lambda c: c["results"][0].update(metric_names=["top1"])), "metric_names are"),
        (edited(lambda c: c["results"][0]["metrics"]["top1"].update(value="1")), "top1 of knn on cub"),
        (edited(lambda c: c["results"][0]["metrics"]["top1"].update(low=True)), "top1 of knn on cub"),
    ],
)
def test_what_is_no_file_of_results_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as e:
        store.read_results(data, "here.json")
    assert str(e.value).startswith("here.json: ")


def test_the_schema_refuses_what_reading_refuses() -> None:
    validator = jsonschema.Draft202012Validator(store.json_schema())
    jsonschema.Draft202012Validator.check_schema(store.json_schema())
    fields = {f.name for f in dataclasses.fields(Result)} | {"metric_names"}
    assert set(store.json_schema()["$defs"]["result"]["properties"]) == fields
    assert set(store.json_schema()["$defs"]["metric"]["properties"]) == {f.name for f in dataclasses.fields(Metric)}
    assert set(store.json_schema()["$defs"]["result"]["properties"]["sanity"]["enum"]) == {"", *SANITY}
    for bad in (
        edited(lambda c: c["results"][0].update(more=1)),
        edited(lambda c: c["results"][0]["metrics"]["top1"].update(value="1")),
        edited(lambda c: c["results"][0].pop("hashes")),
    ):
        assert not validator.is_valid(json.loads(bad))


def test_names_of_files_are_plain() -> None:
    assert store.results_file("knn", "cub-200.v1") == "results/knn/cub-200.v1.json"
    assert store.samples_file("knn", "cub") == "samples/knn/cub.parquet"
    for name in ("", ".", "../x", "a/b", "a\n", "ü", "a" * 200, "-x"):
        with pytest.raises(ConfigError, match="cannot name a file"):
            store.results_file("knn", name)


def test_samples_come_back_in_order_and_in_the_same_bytes() -> None:
    table = samples([1, 0, 0.25], groups=["a", "b", "a"])
    data = store.write_samples(table.take([2, 0, 1]))
    assert store.write_samples(table) == data
    assert store.read_samples(data).equals(table)
    assert b"SHA-256" in store.read_samples(data).schema.field("image_id").metadata[b"doc"]


def test_what_is_no_file_of_samples_is_refused() -> None:
    with pytest.raises(DataError, match=r"x\.parquet: no Parquet file"):
        store.read_samples(b"nothing", "x.parquet")
