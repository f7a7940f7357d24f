"""What libraries say of the files that an evaluation leaves is what it says: features, kNN, the student's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from pipelines import evaluate
from pipelines.evaluate.extract import identity_of
from siglino_core.config import Config, DatasetConfig, ModelConfig, build
from siglino_core.evaluation.data.open import open_split
from siglino_core.evaluation.network.load import describe_network
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.store import Run
from siglino_core.weights.export import export
from tests import pictures
from tests.siglino_core.models.tiny import TINY, filled

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
TEST, TRAIN = 36, 48  # pictures
K, TEMPERATURE, MAX_PIXELS = 5, 0.07, 64 * 64
SIZES = [(64, 48), (40, 90), (33, 33), (120, 50)]
COLOURS = {"blue": (40, 40, 200), "green": (40, 160, 40), "red": (200, 40, 40)}


def folder(path: Path, count: int, start: int) -> Path:
    """Pictures of hardly three colours and several sizes, a folder a class."""
    for i in range(start, start + count):
        name, colour = list(COLOURS.items())[i % 3]
        (path / name).mkdir(parents=True, exist_ok=True)
        size = SIZES[i % len(SIZES)]
        image = Image.blend(pictures.pixels(i, size), Image.new("RGB", size, colour), 0.15)
        (path / name / f"{i:03d}.png").write_bytes(pictures.encode(image, "png"))
    return path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student, exported, and evaluated on pictures with a training split and on the same without one."""
    at = tmp_path_factory.mktemp("agreement")
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY)))
    assert isinstance(model, SigLinoModel)
    export(model, str(at / "student"), source="a test", max_pixels=MAX_PIXELS)
    test, train = folder(at / "test", TEST, 0), folder(at / "train", TRAIN, 100)
    tasks: dict[str, Any] = {"uri": str(test), "tasks": ["knn"]}
    values = {
        "run": str(at / "run"),
        "evaluate": {
            "models": [{"name": "student", "network": f"siglino:{at / 'student'}"}],
            "datasets": [{"name": "split", "train": str(train), **tasks}, {"name": "alone", **tasks}],
            "k": [K, 3],
            "temperature": TEMPERATURE,
            "max_pixels": MAX_PIXELS,
        },
        "runtime": {"runner": "local", "device": "cpu"},
    }
    evaluate.run(build(Config, values), Run(str(at / "run")))
    return at


def stored(run: Path, count: int) -> dict[str, Any]:
    """The features of the split of so many pictures, as anybody reads them, by column."""
    folders = [path.parent for path in (run / "features").glob("*/manifest.json")]
    found = [pq.read_table(sorted(folder.glob("part-*.parquet"))) for folder in folders]
    assert sorted(table.num_rows for table in found) == [TEST, TRAIN]  # what two data sets share is there once
    return next(table.to_pydict() for table in found if table.num_rows == count)


def answers(run: Path, dataset: str, view: str) -> dict[str, str]:
    rows = pq.read_table(run / "evaluate/samples/knn" / f"{dataset}.parquet").to_pylist()
    return {row["sample_id"]: row["predicted"] for row in rows if row["view"] == view and row["metric"] == "top1"}


def top1(run: Path, dataset: str, view: str) -> float:
    results = json.loads((run / "evaluate/results/knn" / f"{dataset}.json").read_text())["results"]
    (result,) = [r for r in results if r["view"] == view and not r.get("sanity")]
    return result["metrics"]["top1"]["value"]


def neighbours() -> KNeighborsClassifier:
    weights: Any = lambda d: np.exp(-d / TEMPERATURE)  # noqa: E731
    return KNeighborsClassifier(K, weights=weights, metric="cosine", algorithm="brute")


@pytest.mark.parametrize("view", ["siglino", "siglip2", "dinov3"])
def test_knn_is_scikit_learns_on_the_stored_features(evaluated: Path, view: str) -> None:
    run = evaluated / "run"
    train, test = stored(run, TRAIN), stored(run, TEST)
    column = f"summary_{view}"
    found = neighbours().fit(np.array(train[column], np.float64), train["label"]).predict(np.array(test[column]))
    assert dict(zip(test["sample_id"], found.tolist(), strict=True)) == answers(run, "split", view)
    assert top1(run, "split", view) == pytest.approx(np.mean(found == np.array(test["label"])), abs=1e-6)
    assert len(set(found)) == 3


def test_each_left_out_in_its_turn_is_scikit_learns_without_it(evaluated: Path) -> None:
    run = evaluated / "run"
    rows = stored(run, TEST)
    features, labels = np.array(rows["summary_dinov3"], np.float64), np.array(rows["label"])
    everyone = np.arange(len(labels))
    found = [
        neighbours().fit(features[everyone != i], labels[everyone != i]).predict(features[i : i + 1])[0]
        for i in everyone
    ]
    assert dict(zip(rows["sample_id"], found, strict=True)) == answers(run, "alone", "dinov3")
    assert top1(run, "alone", "dinov3") == pytest.approx(np.mean(np.array(found) == labels), abs=1e-6)


def test_the_students_stored_features_are_the_exported_models(evaluated: Path) -> None:
    """As transformers loads it, code and all, with the image processor that it was exported with."""
    source = str(evaluated / "student")
    model = transformers.AutoModel.from_pretrained(source, trust_remote_code=True).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=True)
    rows = stored(evaluated / "run", TEST)
    for i, name in enumerate(rows["sample_id"][:12]):
        image = Image.open(evaluated / "test" / name).convert("RGB")
        inputs = processor(image, return_tensors="pt")
        with torch.no_grad():
            wanted = model(**inputs).summary_features
        h, w = inputs["spatial_shapes"][0].tolist()
        assert (rows["height"][i], rows["width"][i]) == (16 * h, 16 * w)
        for view in ("siglino", "siglip2", "dinov3"):
            np.testing.assert_allclose(rows[f"summary_{view}"][i], wanted[view][0].numpy(), atol=2e-5)


def test_features_are_of_one_way_to_make_pixels(evaluated: Path) -> None:
    """The folder of features is named after all that decides their bytes: what other sizes give is not taken for it."""
    split = open_split(DatasetConfig(uri=str(evaluated / "test")))
    model = ModelConfig(network=f"siglino:{evaluated / 'student'}")

    def folder_of(low: int, high: int, precision: str = "fp32") -> str:
        described = describe_network(model, min_pixels=low, max_pixels=high)
        return identity_of(described, split, dense=False, precision=precision).stage

    usual = folder_of(1024, MAX_PIXELS)
    assert usual == folder_of(1024, MAX_PIXELS)
    others = [folder_of(256, MAX_PIXELS), folder_of(1024, 128 * 128), folder_of(1024, MAX_PIXELS, "bf16")]
    assert len({usual, *others}) == 4
