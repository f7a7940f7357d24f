"""Means, paired differences, and the JSON of a judgement by its schema."""

import json
from pathlib import Path

import jsonschema
import pytest

from siglino_core.evaluation.samples import judgement as module
from siglino_core.evaluation.samples.exam import METRICS
from siglino_core.evaluation.samples.judgement import Judgement, Method
from siglino_core.statistics.interval import Interval

SCHEMA = json.loads(Path(module.__file__).with_name("judgement.schema.json").read_text())


def method(role: str, probes: list[float]) -> Method:
    values = [{"seed": float(i + 4), **dict.fromkeys(METRICS, 0.5), "probe": p} for i, p in enumerate(probes)]
    return Method(role=role, settings={"sample": {"trim": 0.1}}, seeds=values)


def judged(**change: object) -> Judgement:
    made = {
        "pool": {"origin": "x.npy", "images": 9, "labels": 2, "labelled": 8, "dim": 4, "pixels": 0},
        "protocol": {
            "target": 300,
            "levels": [2],
            "seed": 4,
            "seeds": 3,
            "held_out": "a",
            "junk_share": 0.01,
            "junk": "b",
            "probe": "c",
            "student": "d",
            "near_duplicate": 0.9,
        },
        "recipe": "ours",
        "random": "random",
        "methods": {"ours": method("recipe", [0.5, 0.6, 0.9]), "random": method("baseline", [0.4, 0.6, 0.6])},
        "left_out": {"flat": "too small"},
        "selected": [0, 5, 8],
    }
    return Judgement(**{**made, **change})  # type: ignore[arg-type]


def test_differences_are_paired_by_seed() -> None:
    less = judged().differences("ours")
    assert vars(less["probe"]) == pytest.approx(vars(Interval.of([0.1, 0.0, 0.3])))
    assert less["junk"].mean == 0
    assert judged().differences("random") == {}
    assert judged(random="").differences("ours") == {}
    assert judged().methods["ours"].mean()["probe"] == Interval.of([0.5, 0.6, 0.9])


def test_seeds_that_agree_are_no_certainty() -> None:
    """Two seeds of equal figures say that the spread is below one image or answer, and not that there is none."""
    same = {"ours": method("recipe", [0.6, 0.6]), "random": method("baseline", [0.5, 0.5])}
    protocol = {**judged().protocol, "target": 40, "tested": 200}
    less = judged(methods=same, protocol=protocol).differences("ours")
    for key, step in (("probe", 1 / 40), ("near_duplicates", 1 / 40), ("junk", 1 / 40), ("labels_covered", 1)):
        assert (less[key].high or 0) - less[key].mean == pytest.approx(12.706 * step / 2**0.5), key
    assert less["effective_labels"].low is less["student"].low is None  # nobody knows by how much they may move
    assert judged(methods=same).as_json()["methods"]["ours"]["mean"]["student"]["low"] is None


def test_the_json_is_by_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = json.loads(json.dumps(judged().as_json()))
    jsonschema.validate(found, SCHEMA)
    assert [s["seed"] for s in found["methods"]["ours"]["seeds"]] == [4, 5, 6]
    assert found["methods"]["ours"]["less_random"]["probe"]["mean"] == pytest.approx(0.4 / 3)
    one = judged(methods={"ours": method("recipe", [0.5])}).as_json()  # one seed, no random: no interval, no difference
    jsonschema.validate(json.loads(json.dumps(one)), SCHEMA)
    assert one["methods"]["ours"]["mean"]["probe"]["low"] is None


def test_the_schema_names_every_metric() -> None:
    assert set(SCHEMA["$defs"]["figures"]["properties"]) == {"seed", *METRICS}
