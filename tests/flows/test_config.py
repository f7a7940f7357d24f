"""From words to a config: experiments compose, every type can be overridden, and faults come all at once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from flows.config import compose_config, experiments, recipes, yaml_with_docs
from siglino_core.config import Config, Keep, Pick, Runner, Seeding, build, keys, to_dict
from siglino_core.errors import ConfigError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no run lies whose settings would count, such as the demo's beside a clone."""
    monkeypatch.chdir(tmp_path)


def said(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose_config(list(words))
    return str(caught.value)


def test_no_words_are_the_defaults() -> None:
    assert compose_config([]) == Config()


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_composes_and_says_what_it_is(name: str) -> None:
    found = compose_config([f"experiment={name}"])
    assert found != Config()
    assert found.run == f"runs/{name}"
    head = (Path(__file__).parents[2] / f"flows/conf/experiment/{name}.yaml").read_text().splitlines()
    assert head[0] == "# @package _global_"
    assert [line.split()[1] for line in head[1:3]] == ["What:", "Hardware:"] or "What:" in head[1]
    assert any("# Command:" in line for line in head)


def test_experiments_stand_on_each_other() -> None:
    demo, smoke = compose_config(["experiment=demo"]), compose_config(["experiment=smoke"])
    assert (smoke.source, smoke.cluster, smoke.sample) == (demo.source, demo.cluster, demo.sample)
    assert (demo.runtime.runner, smoke.runtime.runner) == (Runner.RAY, Runner.LOCAL)
    assert compose_config(["experiment=openlvd"]).cluster.num_clusters == [20_000_000, 500_000, 50_000, 20_000]


def test_the_distillations_experiments_hold_their_published_numbers() -> None:
    first, second = compose_config(["experiment=openlvd"]), compose_config(["experiment=openlvd-high"])
    for found in (first, second):
        train = found.train
        assert (train.student, train.optim.weight_decay, train.optim.clip) == ("siglino-moe-0.3b", 0.01, 1.0)
        assert train.ranks == 32
        patches = train.pack.packs_per_step * train.pack.capacity * 256 / 261  # images of 256 patches, CLS, registers
        assert patches == pytest.approx(1.64e6, rel=0.03)
    assert (first.train.optim.steps, first.targets.max_pixels) == (50_000, 256**2)
    assert (second.train.optim.steps, second.train.checkpoint) == (90_000, "s3://BUCKET/openlvd/export/student")
    parts = {p.name: p for p in second.train.parts}
    assert [round(p.max_pixels**0.5) for p in parts.values()] == [768, 512, 256, 256, 384]
    assert (parts["openlvd_native"].native_from, parts["openlvd_native"].native_to) == (256, 384)
    assert {p.run for p in second.train.parts} == {"", "s3://BUCKET/openlvd"}


def test_the_demos_distillation_is_small() -> None:
    demo = compose_config(["experiment=demo"])
    assert (demo.targets.teachers, demo.targets.keep.value) == (["lite", "lite_text"], "online")
    assert (demo.train.student, demo.train.ranks) == ("siglino-nano", 1)
    assert compose_config(["experiment=smoke"]).train == demo.train


def test_two_experiments_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="experiment= stands there more than once"):
        compose_config(["experiment=demo", "seed=1", "experiment=smoke"])


def test_overrides_of_every_type() -> None:
    found = compose_config(
        [
            "experiment=demo",
            "seed=7",
            "cluster.num_clusters=[30,5]",
            "cluster.center=false",
            "cluster.seeding=kmeans++",
            "cluster.fit_fraction=1e-3",
            "source.keep=pointer",
            "source.max_reject_share=.5",
            "source.image_column=null_or_not",
            "run=s3://bucket/a-b_c/run",
        ]
    )
    assert (found.seed, found.cluster.num_clusters, found.cluster.center) == (7, [30, 5], False)
    assert (found.cluster.seeding, found.cluster.fit_fraction) == (Seeding.KMEANS_PP, 1e-3)
    assert (found.source.keep, found.source.max_reject_share) == (Keep.POINTER, 0.5)
    assert (found.source.image_column, found.run) == ("null_or_not", "s3://bucket/a-b_c/run")
    assert found.embed == compose_config(["experiment=demo"]).embed


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ('run="a b, c=d"', "a b, c=d"),
        ("run='[x]'", "[x]"),
        ('run="it\'s {here}"', "it's {here}"),
        ("run=/data/2024-01-01", "/data/2024-01-01"),
        ("run=2024", "2024"),
        ("run=C:/x", "C:/x"),
        ('run="~/x"', "~/x"),
        ("run=a\\,b", "a,b"),
        ('run=""', None),
        ("run=", None),
        (
            "run=/my pool (1)/a=b%20&c, d[2024]{00000..00002}*?.tar",
            "/my pool (1)/a=b%20&c, d[2024]{00000..00002}*?.tar",
        ),
        ("run=写真/it's", "写真/it's"),
        ("run=a:b#c!@", "a:b#c!@"),
        ("run= x ", " x "),
        ("run=null", "null"),
        ("run=[x]", "[x]"),
        ("run=back\\slash (1)", "back\\slash (1)"),
    ],
)
def test_quoting(word: str, value: str | None) -> None:
    if value is None:
        assert "run: a folder or URL is needed" in said(word)
    else:
        assert compose_config([word]).run == value


def test_teachers_by_paths_as_they_are() -> None:
    words = "targets.teachers=[dinov3:/models (1)/a b, siglip2:/models/b&c]"
    assert compose_config([words]).targets.teachers == ["dinov3:/models (1)/a b", "siglip2:/models/b&c"]


def test_an_unfinished_interpolation_is_refused_too() -> None:
    assert "run: a/${HOME: no ${...} is filled in here; write the value" in said("run=a/${HOME")


def test_the_last_word_counts_in_any_order() -> None:
    assert compose_config(["seed=1", "experiment=demo", "seed=2"]).seed == 2
    assert compose_config(["sample.target_size=5", "experiment=demo"]).sample.target_size == 5


def test_every_fault_of_the_command_at_once() -> None:
    text = said("experiment=dmo", "+cluster.num_clusters=[5]", "~seed", "sample.target_sise=3", "a b", "nothing")
    assert text.splitlines()[0] == "the command does not hold:"
    for part in (
        "experiment=dmo: there is no such experiment (did you mean demo?): demo, openlvd, openlvd-ground, ",
        "openlvd-high, published,",
        "'+cluster.num_clusters=[5]': every key exists already; write cluster.num_clusters=[5]",
        "'~seed': every key exists already",
        "unknown key sample.target_sise (did you mean sample.target_size?)",
        "'a b' is not key=value",
        "'nothing' is not key=value",
    ):
        assert part in text
    assert len(text.splitlines()) == 7


def test_an_unknown_key_is_unknown_with_a_plus_too() -> None:
    assert "unknown key cluster.n_clusters (did you mean cluster.num_clusters?)" in said("+cluster.n_clusters=[5]")


def test_what_an_earlier_version_had_is_named_with_the_mend(tmp_path: Path) -> None:
    for text in (
        said("train.pack.window=64", "train.pack.match=step"),
        said(own(tmp_path, "train: {pack: {window: 64}}")),
    ):
        assert "train.pack.window: packs are sorted inside a step now" in text
    assert "train.pack.match=global: sorted packs across steps" in said("train.pack.match=global")


def test_values_are_judged_by_the_core() -> None:
    text = said("seed=-1", "cluster.num_clusters=[1,2]", "source.keep=all")
    assert "seed: -1 is below 0" in text
    assert "does not decrease" in text
    assert "source.keep: 'all' is not one of bytes, pointer" in text
    for word in ("seed=1,2", "seed=range(1,3)", "seed=null", "seed=[1]", "seed={a:1}", "cluster=5"):
        assert said(word)


def own(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return f"experiment={path}"


def test_a_yaml_file_of_one_s_own(tmp_path: Path) -> None:
    word = own(tmp_path, "run: here\ncluster:\n  num_clusters: [40, 8, 2]\n  seeding: random\nseed: 3\n")
    found = compose_config([word])
    assert (found.run, found.seed, found.cluster.num_clusters) == ("here", 3, [40, 8, 2])
    assert found.cluster.seeding is Seeding.RANDOM
    assert found.sample == Config().sample
    found = compose_config(["seed=9", word, "cluster.num_clusters=[7]", 'run="a b"'])
    assert (found.seed, found.cluster.num_clusters, found.run) == (9, [7], "a b")
    assert compose_config([own(tmp_path, "")]) == Config()


def test_faults_in_a_yaml_file_of_one_s_own(tmp_path: Path) -> None:
    text = said(own(tmp_path, "sed: 1\ncluster: {n_clusters: [5]}\nsample: {target_size: x}\n"))
    assert "unknown key sed (did you mean seed?)" in text
    assert "unknown key cluster.n_clusters (did you mean cluster.num_clusters?)" in text
    assert "sample.target_size: 'x' is not a whole number" in text
    assert "none.yaml" in said(f"experiment={tmp_path}/none.yaml")
    assert "unknown key just words" in said(own(tmp_path, "just words"))
    for broken in ("a: [1", "- 1\n- 2\n"):
        assert f"experiment={tmp_path}/own.yaml cannot be composed: " in said(own(tmp_path, broken))


@pytest.mark.parametrize("text", ["${nope}", "${oc.env:HOME}", "runs/${oc.env:AWS_SECRET_ACCESS_KEY}", "${seed}"])
def test_nothing_is_filled_in(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    for words in ([own(tmp_path, f"run: '{text}'")], [f"run='{text}'"], [f"targets.teachers=[lite,'{text}']"]):
        with pytest.raises(ConfigError, match=r"no \$\{\.\.\.\} is filled in here; write the value") as caught:
            compose_config(words)
        assert "hunter2" not in str(caught.value)


def sections(values: dict[str, Any]) -> int:
    nested = [v for v in values.values() if isinstance(v, dict)]
    return len(nested) + sum(map(sections, nested))


def test_the_printed_config_is_the_config_with_a_sentence_a_key() -> None:
    found = compose_config(["experiment=demo", "run='odd: # \"name'"])
    text = yaml_with_docs(found)
    assert build(Config, OmegaConf.to_container(OmegaConf.create(text))) == found  # type: ignore[arg-type]
    lines = [line for line in text.splitlines() if line.strip()]
    assert all(line.rpartition("  # ")[2].strip() for line in lines)
    assert len(lines) == len(keys(Config)) + sections(to_dict(found))
    assert json.dumps(found.run) in text


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_sets_clusters_and_sample_over_the_experiment_s(name: str) -> None:
    demo, found = compose_config(["experiment=demo"]), compose_config(["experiment=demo", f"recipe={name}"])
    assert replace(found, cluster=demo.cluster, sample=demo.sample) == demo
    assert found.sample.target_size == demo.sample.target_size
    assert compose_config([f"recipe={name}", "sample.trim=0.3"]).sample.trim == 0.3  # what is typed counts
    head = (Path(__file__).parents[2] / f"flows/conf/recipe/{name}.yaml").read_text().splitlines()
    assert (head[0], head[1].split()[1]) == ("# @package _global_", "What:")


def test_the_default_recipe_is_the_default() -> None:
    assert compose_config(["recipe=default"]) == Config()
    changed = compose_config(["recipe=coverage"])
    assert (changed.sample.pick, changed.cluster) == (Pick.COVERAGE, Config().cluster)


def test_a_recipe_that_is_none_is_refused() -> None:
    assert "recipe=defalt: there is no such recipe (did you mean default?)" in said("recipe=defalt")
    assert "recipe= stands there more than once" in said("recipe=random", "recipe=default")
