"""What a run leaves opens where people open it: `datasets`, webdataset, and the code of docs/opening.md."""

import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.e2e.mixed import HOSTILE, KINDS, TARGET, curate_mixed, write_mixed
from tests.e2e.tiny import Tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/opening.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## (.+)\n(?:(?!^## ).*\n)*?```python\n((?:.*\n)*?)```", PAGE, re.M))
# What must be true after a block; N is the number of curated images.
HOLDS = {
    "datasets": "images[0]['bytes'].size == uncarded[0]['bytes'].size == tars[0]['jpg'].size "
    "and len(images) == len(tars) == N < len(reasons)",
    "webdataset": "image.size and sum(1 for _ in tars) == N",
    "DuckDB": "dict(reasons)['kept'] == len(rows) == N and all(data for _, _, data in rows)",
    "Polars": "('kept', N) in reasons.rows() and len(rows) == labels['len'].sum() == N and all(rows['bytes'])",
    "pandas": "len(data) == N == decisions['kept'].sum() and data.map(len).min() > 0",
    "As files": "len(list(pathlib.Path('curated').iterdir())) == N",
    "FiftyOne": "len(dataset) == N and dataset.count('caption') == sum(r['caption'] is not None for r in rows)",
    "LightlyStudio": "len(list(dataset)) == N",
}
AFTER_FILES = ("FiftyOne", "LightlyStudio")
MODULES = {"FiftyOne": "fiftyone", "LightlyStudio": "lightly_studio", "As files": "pyarrow"}


@pytest.fixture(scope="module")
def runs(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/demo in Parquet and runs/tars in webdataset, of one pool."""
    folder = tmp_path_factory.mktemp("opening")
    pool = write_mixed(folder / "pool")
    curate_mixed(tiny, pool, folder / "runs/demo")
    curate_mixed(tiny, pool, folder / "runs/tars", "sample.shards=webdataset")
    return folder


@pytest.fixture(scope="module")
def kept(runs: Path) -> dict[str, dict[str, Any]]:
    """The curated images by id, as SQL finds them; the pool's variety is among them."""
    columns = ("image_id", "format", "caption", "label", "data")
    query = f"SELECT image_id, format, caption, label, bytes FROM '{runs}/runs/demo/sample/images/part-*.parquet'"
    rows = {r[0]: dict(zip(columns, r, strict=True)) for r in duckdb.sql(query).fetchall()}
    assert len(rows) == TARGET
    assert {r["format"] for r in rows.values()} == set(KINDS.values())
    for text in ("caption", "label"):
        assert {r[text] is None for r in rows.values()} == {True, False}
    return rows


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`datasets.load_dataset` without a network, with a cache of the test's own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    yield lambda *args, **more: datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), split="train", **more)
    datasets.enable_progress_bars()


def same(image: Image.Image, data: bytes) -> bool:
    wanted = Image.open(io.BytesIO(data))
    return (image.format, image.size) == (wanted.format, wanted.size) and image.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("place", ["", "sample", "sample/images", "files"])
def test_datasets_opens_parquet_as_images(
    runs: Path, kept: dict[str, dict[str, Any]], load: Any, place: str, streaming: bool
) -> None:
    """By the cards; and where there is none, as bytes that can be cast."""
    run = runs / "runs/demo"
    if place == "files":
        rows = load("parquet", data_files=f"{run}/sample/images/part-*.parquet", streaming=streaming)
    else:
        rows = load(str(run / place), streaming=streaming)
    if place in ("sample/images", "files"):
        assert all(row["bytes"] == kept[row["image_id"]]["data"] for row in rows)
        rows = rows.cast_column("bytes", importlib.import_module("datasets").Image())
    assert type(rows.features["bytes"]).__name__ == "Image"
    seen = set()
    for row in rows:
        wanted = kept[row["image_id"]]
        seen.add(row["image_id"])
        assert same(row["bytes"], wanted["data"])
        assert (row["caption"], row["label"]) == (wanted["caption"], wanted["label"])
    assert seen == kept.keys()


@pytest.mark.parametrize("place", ["", "sample", "sample/images", "files"])
def test_datasets_opens_tars_as_images(runs: Path, kept: dict[str, dict[str, Any]], load: Any, place: str) -> None:
    run = runs / "runs/tars"
    if place == "files":
        rows = load("webdataset", data_files=f"{run}/sample/images/part-*.tar")
    else:
        rows = load(str(run / place))
    assert type(rows.features["jpg"]).__name__ == "Image"
    assert set(rows.column_names) == {"jpg", "txt", "json", "__key__", "__url__"}
    assert len(rows) == TARGET
    for row in rows:
        wanted = kept[row["__key__"]]
        assert same(row["jpg"], wanted["data"])
        assert (row["txt"], row["json"]["label"]) == (wanted["caption"] or "", wanted["label"] or "")
        assert row["json"]["format"] == wanted["format"]


def test_webdataset_decodes_every_sample(runs: Path, kept: dict[str, dict[str, Any]]) -> None:
    webdataset = pytest.importorskip("webdataset")
    tars = sorted(str(p) for p in (runs / "runs/tars/sample/images").iterdir())
    rows = webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("__key__", "jpg", "txt", "json")
    seen = set()
    for key, image, caption, about in rows:
        wanted = kept[key]
        seen.add(key)
        assert image.tobytes() == Image.open(io.BytesIO(wanted["data"])).convert("RGB").tobytes()
        assert (caption, about["label"]) == (wanted["caption"] or "", wanted["label"] or "")
    assert seen == kept.keys()


@pytest.mark.parametrize("kind", ["demo", "tars"])
def test_datasets_opens_the_other_tables(runs: Path, load: Any, kind: str) -> None:
    """By the card's names, or as files: that has one reader, and tars need another."""
    sample = runs / "runs" / kind / "sample"
    sizes = {p.stem: pq.read_metadata(p).num_rows for p in sample.glob("part-*.parquet")}
    assert sizes["part-00000"] == 0, "nothing in the first source shard is an image"
    if kind == "demo":
        decisions, clusters = (load(str(sample), name) for name in ("decisions", "clusters"))
    else:
        patterns = ("part-*.parquet", "clusters/part-*.parquet")
        decisions, clusters = (load("parquet", data_files=f"{sample}/{pattern}") for pattern in patterns)
    assert len(decisions) == sum(sizes.values())
    assert sum(decisions["kept"]) == TARGET == sum(clusters["kept"])


def test_source_shards_of_which_nothing_is_kept_have_no_files(runs: Path) -> None:
    for kind in ("demo", "tars"):
        sample = runs / "runs" / kind / "sample"
        images, indexes = ({p.stem for p in (sample / folder).iterdir()} for folder in ("images", "index"))
        assert images == indexes
        assert "part-00000" not in images


def test_a_sample_is_a_pool_again(tiny: Tiny, runs: Path, kept: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    query = "SELECT image_id, format, caption, label, bytes FROM '{}/source/part-*.parquet'"
    for kind in ("demo", "tars"):
        run = tmp_path / kind
        tiny.run(run, "--only=source", f"source.uri={runs}/runs/{kind}/sample/images", "source.label_folder=none")
        found = duckdb.sql(query.format(run)).fetchall()
        assert {r[0]: tuple(r) for r in found} == {i: tuple(r.values()) for i, r in kept.items()}


def test_the_card_stays_yaml_beside_hostile_labels(runs: Path, kept: dict[str, dict[str, Any]]) -> None:
    from huggingface_hub import DatasetCard

    assert HOSTILE in {r["label"] for r in kept.values()}
    for kind, column, tables in (("demo", "bytes", ["images", "decisions", "clusters"]), ("tars", "jpg", ["images"])):
        card = DatasetCard.load(runs / "runs" / kind / "sample/README.md")
        assert [c["config_name"] for c in card.data["configs"]] == tables
        (image,) = (f for f in card.data["dataset_info"][0]["features"] if f.get("dtype") == "image")
        assert image["name"] == column
        assert "](http://evil" not in card.text.replace("\\]", "")


def test_every_tool_of_the_page_has_a_block_and_a_check() -> None:
    assert list(BLOCKS) == re.findall(r"^## (.+)$", PAGE, re.M) == list(HOLDS)
    assert all(len([line for line in block.splitlines() if line]) <= 7 for block in BLOCKS.values())


@pytest.mark.parametrize("tool", HOLDS)
def test_the_pages_code_runs_as_it_stands(runs: Path, tool: str, tmp_path: Path) -> None:
    module = MODULES.get(tool, tool.lower())
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    (tmp_path / "runs").symlink_to(runs / "runs")
    before = BLOCKS["As files"] if tool in AFTER_FILES else ""
    code = f"{before}\n{BLOCKS[tool]}\nN = {TARGET}\nassert {HOLDS[tool]}\n"
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    quiet = {"FIFTYONE_DO_NOT_TRACK": "true", "LIGHTLY_STUDIO_ANALYTICS_ENABLED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **home, **quiet},
        capture_output=True,
        text=True,
        check=False,
    )
    if "MongoDB could not be installed" in done.stderr:
        pytest.skip("FiftyOne has no MongoDB here")
    assert done.returncode == 0, done.stderr
