"""What `datasets` reads of a card: the columns are those of the files, and each table's files are its own."""

import pyarrow as pa
import pytest
import yaml

from siglino_core import schema
from siglino_core.config import Shards
from siglino_core.report.opening import front_matter, image_columns, run_card, with_columns


def told(shards: Shards, column: str) -> dict[str, list[dict]]:
    return yaml.safe_load("\n".join(front_matter(shards, 2, column)))


def in_datasets(table: pa.Schema) -> list[tuple[str, str]]:
    return [(c.name, "image" if c.name == "bytes" else str(c.type)) for c in table]


def columns(info: dict) -> list[tuple[str, str]]:
    return [(f["name"], f["dtype"]) for f in info["features"]]


def test_parquet_has_three_tables_with_the_columns_of_their_schemas() -> None:
    found = told(Shards.PARQUET, "bytes")
    assert {c["config_name"]: c["data_files"][0]["path"] for c in found["configs"]} == {
        "images": "images/part-*",
        "decisions": "part-*.parquet",
        "clusters": "clusters/part-*.parquet",
    }
    assert [c["config_name"] for c in found["configs"] if c.get("default")] == ["images"]
    schemas = {"images": schema.images(2), "decisions": schema.sample(2), "clusters": schema.clusters(2)}
    for info in found["dataset_info"]:
        assert columns(info) == in_datasets(schemas.pop(info["config_name"]))
    assert not schemas


def test_tars_have_an_image_a_text_and_the_rest_in_json() -> None:
    found = told(Shards.WEBDATASET, "png")
    assert [c["config_name"] for c in found["configs"]] == ["images"], "one reader a folder, and this one is of tars"
    (info,) = found["dataset_info"]
    assert [f["name"] for f in info["features"]] == ["png", "txt", "json", "__key__", "__url__"]
    assert info["features"][0]["dtype"] == "image"
    assert [f["name"] for f in info["features"][2]["struct"]] == [n for n in schema.images(2).names if n != "bytes"]


@pytest.mark.parametrize("shards", Shards)
def test_what_may_be_absent_is_said(shards: Shards) -> None:
    word = {Shards.PARQUET: "null", Shards.WEBDATASET: "empty"}[shards]
    absent = [
        name.removeprefix("json.") for name, _, doc in image_columns(shards, 1, "jpg") if f"(may be {word})" in doc
    ]
    assert absent == {"null": ["caption", "label"], "empty": ["txt", "caption", "label"]}[word]


@pytest.mark.parametrize("shards", Shards)
def test_the_runs_card_leads_to_the_samples_images_alone(shards: Shards) -> None:
    card = run_card(shards, 3)
    front = yaml.safe_load(card.split("---\n")[1])
    (one,) = front["configs"]
    assert one["data_files"] == [{"split": "train", "path": "sample/images/part-*"}]
    told = [columns(info) for info in front.get("dataset_info", [])]
    assert told == ([in_datasets(schema.images(3))] if shards is Shards.PARQUET else []), "tars tell it themselves"
    assert "sample/README.md" in card


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_owners_words_stay_and_the_columns_follow_the_files(ends: str) -> None:
    cards = [run_card(shards, levels) for shards in Shards for levels in (1, 3)]
    for card in cards:
        mine = (card + "My licence: mine.\n").replace("\n", ends)
        for other in cards:
            assert with_columns(mine, other) == other + "My licence: mine.\n"
    for words in ("mine", "---\nlicense: mit\n---\nmine"):
        assert with_columns(words, cards[0]) == words
