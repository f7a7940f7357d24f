"""Settings: every fault is named at once, with a hint, and what is right survives the way there and back."""

import dataclasses
import typing
from typing import Any

import pytest

from siglino_core import config as c
from siglino_core.config import ClusterConfig, CurateConfig, EmbedConfig, SourceConfig, build, keys, shaping, to_dict
from siglino_core.errors import ConfigError


def faults(values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(CurateConfig, values)
    head, *lines = str(caught.value).split("\n  ")
    assert head == "the config does not hold:"
    return lines


def test_every_fault_at_once() -> None:
    found = faults(
        {
            "sed": 1,
            "sample": {"target_sise": 5, "near_duplicate": 1.5},
            "cluster": {"num_clusters": [10, 10], "seeding": "kmeanspp", "iterations": -1},
            "source": {"rows_per_shard": "many"},
        }
    )
    assert sorted(found) == sorted(
        [
            "unknown key sed (did you mean seed?)",
            "unknown key sample.target_sise (did you mean sample.target_size?)",
            "sample.near_duplicate: 1.5 is above 1",
            "cluster.seeding: 'kmeanspp' is not one of random, kmeans++, d2_rounds",
            "cluster.iterations: -1 is below 0",
            "source.rows_per_shard: 'many' is not a whole number",
            "cluster.num_clusters: [10, 10] does not decrease from the finest level up",
        ]
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_clusters": [5]}, "unknown key num_clusters (did you mean cluster.num_clusters?)"),
        ({"zzz": 1}, "unknown key zzz"),
        ({1: 1}, "unknown key 1"),
        ({"cluster": 3}, "cluster: expected settings, got 3"),
        ({"cluster": None}, "cluster: expected settings, got None"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"seed": True}, "seed: True is not a whole number"),
        ({"seed": None}, "seed: None is not a whole number"),
        ({"seed": float("nan")}, "seed: nan is not a whole number"),
        ({"seed": float("inf")}, "seed: inf is not a whole number"),
        ({"seed": "1e999"}, "seed: '1e999' is not a whole number"),
        ({"cluster": {"fit_fraction": "half"}}, "cluster.fit_fraction: 'half' is not a number"),
        ({"cluster": {"fit_fraction": True}}, "cluster.fit_fraction: True is not a number"),
        ({"cluster": {"fit_fraction": float("nan")}}, "cluster.fit_fraction: nan is below 1e-09"),
        ({"cluster": {"fit_fraction": 0}}, "cluster.fit_fraction: 0.0 is below 1e-09"),
        ({"cluster": {"center": "yes"}}, "cluster.center: 'yes' is not true or false"),
        ({"cluster": {"center": 1}}, "cluster.center: 1 is not true or false"),
        ({"cluster": {"num_clusters": 5}}, "cluster.num_clusters: 5 is not a list of whole numbers"),
        ({"cluster": {"num_clusters": "53"}}, "cluster.num_clusters: '53' is not a list of whole numbers"),
        ({"cluster": {"num_clusters": [5, "x"]}}, "cluster.num_clusters: [5, 'x'] is not a list of whole numbers"),
        ({"cluster": {"num_clusters": [5, 0]}}, "cluster.num_clusters: 0 is below 1"),
        ({"cluster": {"num_clusters": []}}, "cluster.num_clusters: at least one level is needed"),
        (
            {"cluster": {"num_clusters": [5, 6]}},
            "cluster.num_clusters: [5, 6] does not decrease from the finest level up",
        ),
        ({"source": {"uri": None}}, "source.uri: None is not text"),
        ({"source": {"uri": ["a"]}}, "source.uri: ['a'] is not text"),
        ({"source": {"keep": "all"}}, "source.keep: 'all' is not one of bytes, pointer"),
        ({"source": {"rows_per_shard": 65537}}, "source.rows_per_shard: 65537 is above 65536"),
        ({"run": ""}, "run: a folder or URL is needed"),
    ],
)
def test_each_fault_names_key_value_and_what_is_wanted(values: Any, said: str) -> None:
    assert faults(values) == [said]


def test_not_a_mapping_at_all() -> None:
    assert faults([1]) == [": expected settings, got [1]"]


def test_what_yaml_and_the_command_line_may_say() -> None:
    built = build(
        CurateConfig,
        {
            "seed": "7",
            "run": 2024,
            "sample": {"target_size": 1e3, "near_duplicate": "0.9"},
            "cluster": {"num_clusters": (20, 5), "fit_fraction": 1, "center": False, "seeding": "kmeans++"},
        },
    )
    assert (built.seed, built.run, built.sample.target_size, built.sample.near_duplicate) == (7, "2024", 1000, 0.9)
    assert isinstance(built.sample.target_size, int)
    assert built.cluster == ClusterConfig(num_clusters=[20, 5], center=False, seeding=c.Seeding.KMEANS_PP)
    assert isinstance(built.cluster.fit_fraction, float)


def test_round_trip() -> None:
    for config in (CurateConfig(), CurateConfig(seed=5, cluster=ClusterConfig(num_clusters=[9, 4, 1]))):
        plain = to_dict(config)
        assert build(CurateConfig, plain) == config
        assert to_dict(build(CurateConfig, plain)) == plain
    flat = [v for section in to_dict(CurateConfig()).values() if isinstance(section, dict) for v in section.values()]
    assert {type(v) for v in flat} <= {str, int, float, bool, list}


def test_defaults_do_not_leak_from_one_config_to_the_next() -> None:
    ClusterConfig().num_clusters.append(1)
    to_dict(ClusterConfig())["num_clusters"].append(1)
    assert ClusterConfig().num_clusters == [1000, 100, 10]


def test_shaping_leaves_out_paths_and_what_only_speeds_up() -> None:
    assert shaping(c.RuntimeConfig()) == {}
    assert "uri" not in shaping(SourceConfig())
    assert not {"weights", "batch_size", "max_reject_share"} & shaping(EmbedConfig()).keys()
    assert not {"run", "runtime"} & shaping(CurateConfig(runtime=c.RuntimeConfig())).keys() - {"runtime"}
    assert shaping(ClusterConfig()) == to_dict(ClusterConfig())
    assert shaping(SourceConfig(keep=c.Keep.POINTER))["keep"] == "pointer"


def sections() -> list[type]:
    hints = typing.get_type_hints(CurateConfig)
    return [CurateConfig, *(t for t in hints.values() if dataclasses.is_dataclass(t))]


def test_every_setting_has_a_sentence_and_every_default_is_in_range() -> None:
    for section in sections():
        assert section.__doc__
        for f in dataclasses.fields(section):
            assert f.metadata.get("doc") or dataclasses.is_dataclass(typing.get_type_hints(section)[f.name])
    assert len(keys(CurateConfig)) == len(set(keys(CurateConfig)))
    assert {"run", "seed", "cluster.num_clusters", "runtime.runner"} <= set(keys(CurateConfig))


def test_frozen_and_keyword_only() -> None:
    for section in sections():
        with pytest.raises(dataclasses.FrozenInstanceError):
            section().run = 1  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            section(1)
