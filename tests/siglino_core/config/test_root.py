"""Settings: every fault is named at once, with a hint, and what is right survives the way there and back."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest

from siglino_core import config as c
from siglino_core.config import ClusterConfig, Config, EmbedConfig, SourceConfig, build, keys, shaping, to_dict
from siglino_core.config.distill import STUDENTS
from siglino_core.errors import ConfigError
from siglino_core.models import PRESETS


def faults(values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        build(Config, values)
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
        (
            {"cluster": {"num_clusters": [5, 6]}},
            "cluster.num_clusters: [5, 6] does not decrease from the finest level up",
        ),
        ({"source": {"uri": None}}, "source.uri: None is not text"),
        ({"source": {"uri": ["a"]}}, "source.uri: ['a'] is not text"),
        ({"source": {"keep": "all"}}, "source.keep: 'all' is not one of bytes, pointer"),
        ({"source": {"rows_per_shard": 65537}}, "source.rows_per_shard: 65537 is above 65536"),
        ({"run": ""}, "run: a folder or URL is needed"),
        ({"train": {"pack": {"packs_per_step": 0}}}, "train.pack.packs_per_step: 0 is below 1"),
        ({"train": {"pack": {"capacity": 2**31}}}, "train.pack.capacity: 2147483648 is above 1.67772e+07"),
        (
            {"train": {"pack": {"packs_per_step": 6}, "loss": {"relation_packs": 12}}},
            "train.loss.relation_packs: groups of 12 packs do not make a step of pack.packs_per_step=6; of 1, 2, 3, 6 "
            "do, and 0 is all of them",
        ),
        ({"train": {"pack": {"look_ahead": 12}}}, "train.pack.look_ahead: 12 is not a multiple of 8"),
        ({"train": {"pack": {"block": 0}}}, "train.pack.block: 0 is below 1"),
        ({"train": {"pack": {"match": "best"}}}, "train.pack.match: 'best' is not one of none, step"),
    ],
)
def test_each_fault_names_key_value_and_what_is_wanted(values: Any, said: str) -> None:
    assert faults(values) == [said]


def test_the_students_are_the_presets() -> None:
    assert list(STUDENTS) == list(PRESETS)


def test_a_student_is_a_preset_or_a_file(tmp_path: Path) -> None:
    (said,) = faults({"train": {"student": "siglino-nanno"}})
    assert said == (
        f"train.student: 'siglino-nanno' is neither a file nor one of {', '.join(STUDENTS)} "
        "(did you mean siglino-nano?)"
    )
    (said,) = faults({"train": {"student": str(tmp_path / "own.json")}})
    assert "own.json' is neither a file nor one of" in said
    (tmp_path / "own.json").write_text("{}")
    assert build(Config, {"train": {"student": str(tmp_path / "own.json")}}).train.student.endswith("own.json")


def test_not_a_mapping_at_all() -> None:
    assert faults([1]) == [": expected settings, got [1]"]


def test_what_yaml_and_the_command_line_may_say() -> None:
    built = build(
        Config,
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
    for config in (Config(), Config(seed=5, cluster=ClusterConfig(num_clusters=[9, 4, 1]))):
        plain = to_dict(config)
        assert build(Config, plain) == config
        assert to_dict(build(Config, plain)) == plain
    assert leaves(to_dict(Config())) <= {str, int, float, bool, list, type(None)}


def leaves(value: Any) -> set[type]:
    return set().union(*(leaves(v) for v in value.values())) if isinstance(value, dict) else {type(value)}


def test_lists_of_settings() -> None:
    parts = [{"name": "small", "max_pixels": 65536, "ratio": 1}, {"name": "large", "ratio": 0.5}]
    built = build(Config, {"train": {"parts": parts}})
    assert [(p.name, p.max_pixels, p.ratio) for p in built.train.parts] == [
        ("small", 65536, 1.0),
        ("large", 65536, 0.5),
    ]
    assert build(Config, to_dict(built)) == built
    wrong = faults({"train": {"parts": [{"nmae": "a"}, {"name": "b", "ratio": -1}], "optim": {"steps": 5, "lr": "x"}}})
    assert wrong[:3] == [
        "train.optim.lr: 'x' is not a number",
        "unknown key train.parts[0].nmae (did you mean train.parts?)",
        "train.parts[1].ratio: -1.0 is below 0",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train": {"optim": {"steps": 5}}}, "train.optim.warmup_steps: 1000 is not within 0..5 (steps)"),
        (
            {"train": {"pack": {"packs_per_step": 6}, "loss": {"relation_packs": 12}}},
            "train.loss.relation_packs: groups of 12 packs do not make a step of pack.packs_per_step=6; of 1, 2, 3, 6 "
            "do, and 0 is all of them",
        ),
        ({"train": {"pack": {"look_ahead": 12}}}, "train.pack.look_ahead: 12 is not a multiple of 8"),
        ({"train": {"ranks": 5}}, "train.pack.packs_per_step=32 over train.ranks=5: every rank holds as many"),
        ({"train": {"loss": {"weights": [1, 2, 3]}}}, "train.loss.weights: 3 numbers for the 2 of targets.teachers"),
        ({"train": {"loss": {"weights": [0, 0]}}}, "train.loss.weights: [0.0, 0.0]: no teacher weighs anything"),
        (
            {"train": {"loss": {"summary": 0, "patch": 0, "register": 0, "relation": "none"}}},
            "train.loss.summary, patch, register, gram: all are 0, and relation compares nothing",
        ),
        (
            {"train": {"loss": {"summary": 0, "patch": 0, "register": 0, "relation_weight": 0}}},
            "so that there is nothing to learn; set one of them above 0",
        ),
        ({"train": {"parts": [{"teachers": ["lite"]}]}}, "train.parts[0].name: a part needs a name"),
        ({"train": {"parts": [{"name": "a"}, {"name": "a"}]}}, "a stands there twice; each needs its own"),
        ({"train": {"loss": {"weights": [1, -1]}}}, "train.loss.weights: -1.0 is below 0"),
        (
            {"targets": {"teachers": ["lite"]}, "train": {"loss": {"drop": 0.5}}},
            "train.loss.drop=0.5 needs several teachers, and targets.teachers has 1: set it to 0",
        ),
        (
            {"train": {"loss": {"patch_error": "l1"}}},
            "train.loss.patch_error: 'l1' is not one of mse, smooth_l1, cosine",
        ),
        ({"train": {"loss": {"summary_normalize": "pca"}}}, "'pca' is not one of phi_s, channel, layer_norm, none"),
        ({"train": {"heads": {"form": "conv"}}}, "train.heads.form: 'conv' is not one of mlp, linear, transformer"),
        ({"train": {"heads": {"layers": [-1]}}}, "train.heads.layers: -1 is below 0"),
        ({"targets": {"teachers": []}}, "targets.teachers: at least one is needed"),
        ({"targets": {"teachers": ["lite", "lite"]}}, "targets.teachers: lite stands there twice"),
        ({"targets": {"keep": "int8"}, "train": {"flip": True}}, "train.flip needs targets.keep=online"),
        (
            {"targets": {"keep": "int8"}, "train": {"parts": [{"name": "a", "max_pixels": 99999}]}},
            "train.parts: a is of",
        ),
    ],
)
def test_what_a_distillation_cannot_be(values: Any, said: str) -> None:
    assert [line for line in faults(values) if said in line]


def test_defaults_do_not_leak_from_one_config_to_the_next() -> None:
    ClusterConfig().num_clusters.append(1)
    to_dict(ClusterConfig())["num_clusters"].append(1)
    assert ClusterConfig().num_clusters == []


def test_shaping_leaves_out_paths_and_what_only_speeds_up() -> None:
    assert shaping(c.RuntimeConfig()) == {}
    assert "uri" not in shaping(SourceConfig())
    assert not {"weights", "batch_size", "max_reject_share"} & shaping(EmbedConfig()).keys()
    assert not {"run", "runtime"} & shaping(Config(runtime=c.RuntimeConfig())).keys() - {"runtime"}
    assert shaping(ClusterConfig()) == to_dict(ClusterConfig())
    assert shaping(SourceConfig(keep=c.Keep.POINTER))["keep"] == "pointer"


def sections() -> list[type]:
    def inside(cls: Any) -> list[type]:
        hints = typing.get_type_hints(cls).values()
        nested = [of for t in hints if dataclasses.is_dataclass(of := next(iter(typing.get_args(t)), t))]
        return [cls, *(found for of in nested for found in inside(of))]

    return inside(Config)


def test_every_setting_has_a_sentence_and_every_default_is_in_range() -> None:
    for section in sections():
        assert section.__doc__
        for f in dataclasses.fields(section):
            assert f.metadata.get("doc") or dataclasses.is_dataclass(typing.get_type_hints(section)[f.name])
    assert len(keys(Config)) == len(set(keys(Config)))
    assert {"run", "seed", "cluster.num_clusters", "runtime.runner"} <= set(keys(Config))


def test_frozen_and_keyword_only() -> None:
    for section in sections():
        with pytest.raises(dataclasses.FrozenInstanceError):
            section().run = 1  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            section(1)
