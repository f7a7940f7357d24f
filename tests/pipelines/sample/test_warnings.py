"""What a sample says beside its numbers."""

import re
from typing import Any

import pytest

from pipelines import sample
from pipelines.sample.warnings import warnings
from siglino_core.config import Pick, SampleConfig
from siglino_core.errors import WARNING
from siglino_core.store import Run
from tests.pipelines.sampling import FACILITY
from tests.stages import config

LEFT = "kept from an earlier sample"


@pytest.mark.parametrize(
    ("settings", "clusters", "reasons", "said"),
    [
        ({}, 10, {"kept": 100, "over_quota": 900, "outlier": 10}, None),
        ({}, 26, {"kept": 100, "over_quota": 900, "outlier": 10}, "near one image a cluster .* to at most 25"),
        ({"pick": Pick.RANDOM}, 26, {"kept": 100, "over_quota": 900, "outlier": 10}, None),
        ({}, 10, {"kept": 100, "over_quota": 300, "outlier": 4}, "100 images are 25% of the 400 that are left"),
        ({"pick": Pick.COVERAGE}, 10, {"kept": 100, "over_quota": 300, "outlier": 4}, None),
        ({}, 10, {"kept": 100, "over_quota": 900, "outlier": 7}, r"7 outliers .* sample\.trim=0\.01 asks for 10"),
        ({"trim": 0.0}, 10, {"kept": 100, "over_quota": 900}, None),
        ({}, 10, {"kept": 100, "over_quota": 900, "outlier": 10, "near_duplicate": 670}, None),
        (
            {},
            10,
            {"kept": 100, "over_quota": 900, "outlier": 10, "near_duplicate": 680},
            r"^40% of 1,690 images .*=0\.95",
        ),
    ],
)
def test_warnings(settings: dict[str, Any], clusters: int, reasons: dict[str, int], said: str | None) -> None:
    made = SampleConfig(**{"target_size": 100, **settings})
    found = warnings(made, clusters, reasons)
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0])


@pytest.mark.parametrize(
    ("target", "clusters", "said"),
    [
        (100, 2, "2 clusters of level 1 are LEFT; for 100 images 25 would suit: --redo cluster."),
        (100, 1, "1 cluster of level 1 is LEFT; for 100 images 25 would suit: --redo cluster."),
        (1, 6, "6 clusters of level 1 are LEFT; for 1 image 1 would suit: --redo cluster."),
        (100, 13, None),
        (100, 30, None),
    ],
)
def test_clusters_that_followed_from_another_sample(target: int, clusters: int, said: str | None) -> None:
    made = SampleConfig(target_size=target, pick=Pick.RANDOM, trim=0)
    reasons = {"kept": target, "over_quota": 1000}
    assert warnings(made, clusters, reasons, (1000, 1000)) == ([said.replace("LEFT", LEFT)] if said else [])
    assert warnings(made, clusters, reasons) == []  # somebody said how many


def test_one_is_one() -> None:
    assert warnings(SampleConfig(target_size=1, trim=0), 1, {"kept": 1, "over_quota": 900}) == []
    [found] = warnings(SampleConfig(target_size=1, trim=0), 1, {"kept": 1, "over_quota": 1})
    assert found.startswith("1 image is 50% of the 2 that are left")
    [found] = warnings(SampleConfig(target_size=9), 1, {"kept": 9, "over_quota": 990, "outlier": 1})
    assert found.startswith("1 outlier was dropped")
    [found] = warnings(SampleConfig(target_size=1, trim=0), 2, {"kept": 1, "over_quota": 9})
    assert found.startswith("2 clusters of level 1 for 1 image: ")


def test_a_warning_is_told_and_kept(run: Run) -> None:
    notes: list[str] = []
    facts = sample.run(config(sample=FACILITY), run, lambda *a: notes.append(a[3])).manifest.facts
    assert [n.removeprefix(WARNING) for n in notes if n.startswith(WARNING)] == facts["warnings"] != []
