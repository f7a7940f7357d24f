"""Settings of earlier versions: each named with what to do instead, and none kept from an earlier run."""

from typing import Any

import pytest

from siglino_core.config import Config, build
from siglino_core.config.retired import RETIRED, retired, without_retired
from siglino_core.errors import ConfigError


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        ({"window": 64}, "train.pack.window: packs are sorted inside a step now"),
        ({"match": "global"}, "train.pack.match=global: sorted packs across steps"),
        ({"match": "shards"}, "train.pack.match=shards: sorted packs across steps"),
    ],
)
def test_each_names_the_mend(pack: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Config, {"train": {"pack": pack}})
    (line,) = str(caught.value).splitlines()[1:]
    assert line.strip().startswith(said)
    assert "leave it out" in line


def nested(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def test_none_is_a_setting_of_today() -> None:
    for key in RETIRED:
        name, _, value = key.partition("=")
        assert retired(name, value)
        with pytest.raises(ConfigError, match=name):
            build(Config, nested(name, value or 1))
    assert retired("train.pack.match", "step") is retired("train.pack.block", 1) is None


def test_an_earlier_runs_settings_are_taken_without_them() -> None:
    kept = {"student": "siglino-nano", "pack": {"packs_per_step": 8, "window": 64, "match": "global"}}
    found = without_retired({"train": kept})
    assert found == {"train": {"student": "siglino-nano", "pack": {"packs_per_step": 8}}}
    assert without_retired(kept, "train.") == found["train"]
    assert build(Config, found).train.pack.packs_per_step == 8


def test_a_value_that_has_another_name_now_is_kept_by_that() -> None:
    kept = without_retired({"quota": "radius", "pick": "coverage"}, "sample.")
    assert kept == {"quota": "global", "pick": "coverage"}
    assert build(Config, {"sample": kept}).sample.quota == "global"
