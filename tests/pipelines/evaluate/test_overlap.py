"""Test images that training has seen: a copy, a re-encoded one, and neither; told, left out, and without vectors."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines import cluster, embed, evaluate, sample, source
from pipelines.evaluate import overlap
from siglino_core import schema
from siglino_core.config import (
    ClusterConfig,
    Config,
    DatasetConfig,
    EvaluateConfig,
    ModelConfig,
    Overlap,
    Pick,
    Runner,
    RuntimeConfig,
    SampleConfig,
    SourceConfig,
)
from siglino_core.errors import DataError
from siglino_core.pools.rows import image_id
from siglino_core.store import Run
from tests import pools
from tests.pictures import encode, noise, picture, pixels

HERE = RuntimeConfig(runner=Runner.LOCAL, device="cpu")


def images() -> list[bytes]:
    return [picture(i, "png", (64, 64)) for i in range(24)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 24 images of which 12 are kept, and test images: a kept one's bytes, nearly those, and neither."""
    folder = tmp_path_factory.mktemp("overlap")
    pools.parquet_file(folder / "pool.parquet", {"image": images()})
    config = Config(
        source=SourceConfig(uri=str(folder / "pool.parquet"), rows_per_shard=5),
        cluster=ClusterConfig(num_clusters=[6, 2], center=True),
        sample=SampleConfig(target_size=12, near_duplicate=0.8, trim=0.0, pick=Pick.COVERAGE),
        runtime=HERE,
    )
    run = Run(str(folder / "run"))
    for stage in (source, embed, cluster, sample):
        stage.run(config, run)
    kept = kept_ids(run)
    same, nearly = [data for data in images() if image_id(data) in kept][:2]
    again = io.BytesIO()
    Image.open(io.BytesIO(nearly)).save(again, "JPEG", quality=98, subsampling=0)
    strange = encode(pixels(99, (80, 50)).rotate(90, expand=True), "jpeg")
    test = {"a/same.png": same, "a/near.jpg": again.getvalue(), "b/other.jpg": strange, "b/noise.png": noise(77)}
    pools.write_files(folder / "test", test)
    return folder


def kept_ids(run: Run) -> set[str]:
    ids: set[str] = set()
    for file in sorted(Path(run.url, "sample").glob("part-*.parquet")):
        table = pq.read_table(file)
        ids |= set(table.filter(table["kept"])["image_id"].to_pylist())
    return ids


def evaluated(folder: Path, **settings: Any) -> tuple[Path, list[dict[str, Any]], list[str]]:
    """The evaluation's folder, its results, and what it passed over."""
    model = ModelConfig(name="lite0", network="efficientnet_lite0")
    dataset = DatasetConfig(name="birds", uri=str(folder / "test"))
    chosen = EvaluateConfig(**{"models": [model], "datasets": [dataset], "k": [1], **settings})
    manifest = evaluate.run(
        Config(evaluate=chosen, runtime=HERE, run=str(folder / "run")), Run(str(folder / "run"))
    ).manifest
    results = json.loads((folder / "run/evaluate/results/knn/birds.json").read_text())["results"]
    return folder / "run" / "evaluate", results, manifest.facts["passed"]


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "made")


def test_copies_are_found_and_told_of_in_every_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "GROUP", 2)
    to, results, passed = evaluated(folder)
    table = pq.read_table(to / "overlap/birds.parquet")
    assert table.schema.equals(schema.OVERLAP)
    rows = {row["sample_id"]: row for row in table.to_pylist()}
    assert set(rows) == {"a/same.png", "a/near.jpg"}
    assert (rows["a/same.png"]["exact"], rows["a/near.jpg"]["exact"]) == (True, False)
    assert rows["a/same.png"]["train_id"] == rows["a/same.png"]["image_id"]
    assert rows["a/near.jpg"]["train_id"] in kept_ids(Run(str(folder / "run"))) - {rows["a/near.jpg"]["image_id"]}
    assert 0.8 <= rows["a/near.jpg"]["cosine"] <= 1.001
    assert len(list(to.glob("overlap/parts/*.parquet"))) == 3, "of five source shards two a unit"
    told = {"exact": 1, "near": 1, "threshold": 0.8, "removed": 0}
    assert results
    assert all(r["parameters"]["overlap"] == told for r in results)
    assert results[0]["n"] == 4
    assert any("2 test images of birds are in the run's training sample, 1 of them byte by byte" in p for p in passed)
    assert evaluate_again(folder) == "Reused"


def evaluate_again(folder: Path) -> str:
    model = ModelConfig(name="lite0", network="efficientnet_lite0")
    dataset = DatasetConfig(name="birds", uri=str(folder / "test"))
    config = Config(evaluate=EvaluateConfig(models=[model], datasets=[dataset], k=[1]), runtime=HERE)
    return evaluate.run(config, Run(str(folder / "run"))).state


def test_they_are_left_out(folder: Path) -> None:
    pools.write_files(folder / "test", {"b/noise2.png": noise(78)})
    _, results, passed = evaluated(folder, overlap=Overlap.REMOVE)
    told = {"exact": 1, "near": 1, "threshold": 0.8, "removed": 2}
    assert all(r["parameters"]["overlap"] == told for r in results)
    assert {r["n"] for r in results} == {3}
    samples = pq.read_table(folder / "run/evaluate/samples/knn/birds.parquet")
    assert set(samples["sample_id"].to_pylist()) == {"b/other.jpg", "b/noise.png", "b/noise2.png"}
    assert any("they are left out" in p for p in passed)


def test_nothing_is_left(folder: Path) -> None:
    for name in ("b/other.jpg", "b/noise.png", "a/near.jpg"):
        (folder / "test" / name).unlink()
    with pytest.raises(DataError, match="all 1 test images are in the run's training sample"):
        evaluated(folder, overlap=Overlap.REMOVE)


def test_it_is_not_asked_for(folder: Path) -> None:
    to, results, passed = evaluated(folder, overlap=Overlap.NONE)
    assert not (to / "overlap").exists()
    assert all("overlap" not in r["parameters"] for r in results)
    assert not any("training sample" in p for p in passed)


@pytest.mark.parametrize("gone", ["embed", "encoder"])
def test_without_embeddings_the_same_bytes_alone(folder: Path, gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if gone == "embed":
        Run(str(folder / "run")).stage("embed").erase()
        why = "the run's embed is not there"
    else:
        real = overlap.describe_embedding
        monkeypatch.setattr(overlap, "describe_embedding", lambda config: _other(real(config)))
        why = "is another network here than the run's"
    _, results, passed = evaluated(folder)
    assert all(r["parameters"]["overlap"] == {"exact": 1, "removed": 0} for r in results)
    assert any(why in p and "near copies" in p for p in passed)


def _other(described: Any) -> Any:
    import dataclasses

    return dataclasses.replace(described, card=dataclasses.replace(described.card, identity="other"))


def test_a_run_without_a_sample_and_its_own_images_are_not_asked_about(folder: Path) -> None:
    _, results, _ = evaluated(folder)
    assert "overlap" in results[0]["parameters"]
    shutil.rmtree(folder / "run" / "evaluate")
    shutil.rmtree(folder / "run" / "sample")
    _, results, _ = evaluated(folder)
    assert "overlap" not in results[0]["parameters"]
