"""The dataset card: complete, honest about the licence, and safe with other people's text."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from siglino_core import schema
from siglino_core.config import ClusterConfig, Config, Pick, Quota, SampleConfig, Seeding, Shards
from siglino_core.report.cards import dataset_card, size_category
from tests.siglino_core.report import samples

CONFIG = Config(cluster=ClusterConfig(num_clusters=[60, 6]))


def front(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_has_what_a_reader_asks_for() -> None:
    card = dataset_card(samples.small(), CONFIG)
    meta = front(card)
    assert meta["license"] == "unknown"
    assert meta["size_categories"] == ["n<1K"]
    assert "The licence of the images is not known." in card
    for title in (
        "What it is",
        "Licence",
        "How it was made",
        "Balance",
        "How to open it",
        "Columns",
        "Known limits",
        "How to make",
    ):
        assert f"\n## {title}" in card
    for column in schema.images(2):
        assert f"| `{column.name}` |" in card
        assert column.metadata[b"doc"].decode().split(",")[0] in card
    assert "| `bytes` | image | encoded image |" in card, "and never null"
    assert "| ours | 118 (116 to 120) |" in card
    assert "siglino curate experiment=smoke run=runs/demo" in card
    assert "experiment=again.yaml" in card
    assert "d" * 32 in card


def test_the_card_of_tars_names_what_is_in_them() -> None:
    tars = replace(CONFIG, sample=SampleConfig(shards=Shards.WEBDATASET))
    card = dataset_card(samples.small(), tars, column="png")
    assert 'row["png"]  # a picture; beside it row["txt"], row["json"]["label"]' in card
    assert '.to_tuple("png", "txt", "json")' in card
    assert 'load_dataset("parquet", data_files=f"{FOLDER}/part-*.parquet")' in card
    assert "| `json.label` | string | class that came with the image, if any (may be empty) |" in card


@pytest.mark.parametrize("shards", Shards)
@pytest.mark.parametrize("text", ["demo", 'a: "b" #c', "'\n---\nlicense: mit\n", "\ud800\x00\x85\u2028é日"])
def test_the_hubs_own_library_reads_the_card(tmp_path: Path, shards: Shards, text: str) -> None:
    config = replace(CONFIG, sample=SampleConfig(shards=shards))
    path = tmp_path / "README.md"
    path.write_text(dataset_card(samples.hostile(text), config, licence="cc-by-4.0"), encoding="utf-8")
    card = DatasetCard.load(path)
    told = card.data.to_dict()
    assert (told["license"], told["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    assert told["task_categories"] == ["image-feature-extraction"]
    assert isinstance(told["pretty_name"], str)
    assert told["configs"][0]["config_name"] == told["dataset_info"][0]["config_name"] == "images"
    assert DatasetCardData(**told).to_dict() == told
    assert card.text.strip().startswith("# ")


def test_a_given_licence_is_named() -> None:
    card = dataset_card(samples.small(), CONFIG, licence="cc-by-4.0")
    assert front(card)["license"] == "cc-by-4.0"
    assert "is not known" not in card


def test_no_labels_and_no_baseline_are_said() -> None:
    card = dataset_card(samples.without_labels(), CONFIG)
    assert "Not measured against a baseline." in card
    assert "The pool has no labels, so balance by meaning was not measured." in card


@pytest.mark.parametrize("text", ['a|b `c` <b>d</b> "e": [f](http://g)\n---\n# h', "```\n````\nx", "\ud800\x00é日"])
def test_other_peoples_text_stays_text(text: str) -> None:
    card = dataset_card(samples.hostile(text), CONFIG)
    card.encode()
    assert isinstance(front(card)["pretty_name"], str)
    prose = card.split("---\n", 2)[2]
    prose = re.sub(r"^(`{3,})\w+\n.*?\n\1$", "", prose, flags=re.S | re.M)
    prose = re.sub(r"(?<!\\)`[^`\n]*`", "", prose)  # code spans are literal
    assert "<b>" not in prose
    assert not re.search(r"(?<!\\)\[f(?<!\\)\]\(http", prose)
    assert len(re.findall(r"^# ", prose, re.M)) == 1
    for line in prose.splitlines():
        if line.startswith("| `level_1`"):
            assert line.count("|") == 4


@pytest.mark.parametrize(
    ("images", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (200_000_000, "100M<n<1B"), (2 * 10**12, "n>1T")],
)
def test_size_categories(images: int, name: str) -> None:
    assert size_category(images) == name


SENTENCES = {
    (Pick, Pick.COVERAGE): "farthest from one another are kept first",
    (Pick, Pick.CLOSEST): "closest to its centroid are kept",
    (Pick, Pick.RANDOM): "drawn at random",
    (Pick, Pick.FACILITY): r"represent its other members best .* to the power 0\.3\)",
    (Pick, Pick.HERDING): r"spread as all its members are \(kernel herding\)",
    (
        Quota,
        Quota.GROUPED,
    ): r"left in a cluster, .* power 0\.3; .* level 2 share .* to the power 0\.5, and .* fewer than 4 images",
    (Quota, Quota.GLOBAL): "one threshold for the images of all clusters",
    (Quota, Quota.HIERARCHICAL): r"from the top level down \(.* size to the power 0\.5; one of fewer than 4 images",
    (Seeding, Seeding.RANDOM): "seeded at random",
    (Seeding, Seeding.KMEANS_PP): r"seeded by k-means\+\+",
    (Seeding, Seeding.D2_ROUNDS): "seeded in rounds that double",
}


@pytest.mark.parametrize("value", [*Pick, *Quota, *Seeding])
def test_every_choice_has_its_sentence_and_no_others(value: Pick | Quota | Seeding) -> None:
    recipe = SampleConfig(quota=Quota.HIERARCHICAL, quota_power=0.5, min_support=4, duplicate_power=0.3)
    config = replace(CONFIG, sample=recipe)
    if isinstance(value, Seeding):
        config = replace(config, cluster=replace(config.cluster, seeding=value))
    elif isinstance(value, Pick):
        config = replace(config, sample=replace(recipe, pick=value))
    else:
        config = replace(config, sample=replace(recipe, quota=value))
    card = dataset_card(samples.small(), config)
    found = [other for other in type(value) if re.search(SENTENCES[type(value), other], card)]
    assert found == [value]


def test_the_default_recipe() -> None:
    card = dataset_card(samples.small(), CONFIG)
    assert "10,000 images asked for; shares in proportion to the images left in a cluster, each" in card
    assert "the 0.01 of the images that are farthest from their neighbours are left out" in card
    assert "random" not in card.partition("## How it was made")[2].partition("## Balance")[0]
