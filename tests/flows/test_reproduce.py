"""`siglino reproduce`: a stand-in's figure is reproduced by its own protocol, and by no other."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flows.cli import main
from flows.config import compose_config
from flows.reproduce import evaluate_words, measured, needs
from siglino_core.config import Cleaning, Fit, Task
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.reference import Reference, load_reference, references
from siglino_core.evaluation.results.result import PERMUTED, Metric, Result
from tests import pictures
from tests.siglino_core.evaluation.network.folders import siglip

N = 24
TEXT = """
title = "a stand-in"
percent = {percent}
decimals = 2
metric = "{metric}"
n = {n}
source = "a test"
network = "siglip2:nowhere"
fit = "squash"
image_size = 64
view = "siglip2"
recipe = "tints"
task = "{task}"
cleaning = "{cleaning}"
notes = ["it is small"]

[preprocessing]
rule = "squash"
size = 64

[parameters]
{parameters}
"""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"})
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    return siglip(tmp_path_factory.mktemp("siglip2"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures tinted red or blue, hardly: by class folder, and a CSV of captions beside."""
    folder = tmp_path_factory.mktemp("tints")
    rows = ["image,caption"]
    for i in range(N):
        tint, name = [((200, 40, 40), "red"), ((40, 40, 200), "blue")][i % 2]
        image = Image.blend(pictures.pixels(i, (64, 48)), Image.new("RGB", (64, 48), tint), 0.12)
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{i}.png").write_bytes(pictures.encode(image, "png"))
        rows.append(f"{name}/{i}.png,The MAP of a {name} town no. {i}!")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


def written(
    folder: Path, percent: float = 50.0, metric: str = "top1", task: str = "knn", cleaning: str = "canonical"
) -> str:
    """A reference's file."""
    parameters = "k = 3" if task == "knn" else f'cleaning = "{cleaning}"'
    asked = {"metric": metric, "task": task, "cleaning": cleaning, "parameters": parameters}
    (folder / "stand_in.toml").write_text(TEXT.format(percent=percent, n=N, **asked))
    return str(folder / "stand_in.toml")


def reproduced(file: str, network: str, images: Path, run: Path, *more: str) -> tuple[int, dict]:
    """The exit code, and what was written down."""
    words = [f"network={network}", f"uri={images}", f"run={run}", "runtime.runner=local", "runtime.device=cpu"]
    code = main(["reproduce", file, *words, *more])
    (record,) = json.loads((run / "evaluate" / "references.json").read_text())
    return code, record


def test_a_figure_is_reproduced_or_not_or_not_comparable(
    tmp_path: Path, network: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    _, first = reproduced(written(tmp_path), network, images, run)
    percent = round(100 * first["measured"]["value"], 2)
    assert first["measured"]["n"] == N
    assert 50 < percent < 100

    code, record = reproduced(written(tmp_path, percent), network, images, run)
    assert (code, record["reproduced"], record["differs"]) == (0, True, [])
    assert abs(record["difference"]) < 0.01
    printed = capsys.readouterr().out
    assert f"a stand-in, top1: {percent:.2f} against {percent:.2f} published (" in printed
    assert "reproduced; " in printed
    assert "Note: it is small." in printed

    code, record = reproduced(written(tmp_path, percent - 40), network, images, run)
    assert (code, record["reproduced"], record["differs"]) == (1, False, [])
    assert record["difference"] == pytest.approx(40, abs=0.01)
    assert "(+40.00 points): not reproduced; " in capsys.readouterr().out

    code, record = reproduced(written(tmp_path, percent), network, images, tmp_path / "other", "image_size=32")
    assert (code, record["reproduced"], record["differs"]) == (2, False, ["size=32, not 64"])
    assert "not comparable: size=32, not 64" in capsys.readouterr().out

    assert main(["verify", str(run)]) == 0  # what is beside the artifact does not spoil it


def test_captions_are_cleaned_as_the_reference_says(tmp_path: Path, network: str, images: Path) -> None:
    file = written(tmp_path, metric="image_to_text recall@1", task="retrieval", cleaning="lower")
    captions = f"annotations={images / 'captions.csv'}"
    _, record = reproduced(file, network, images, tmp_path / "run", captions)
    assert record["differs"] == []
    code, record = reproduced(file, network, images, tmp_path / "other", captions, "cleaning=canonical")
    assert code == 2
    assert record["differs"] == ["cleaning=canonical, not lower"]


def test_every_reference_becomes_an_evaluation_of_its_own_protocol() -> None:
    composed = "dinov3_vitl16_dinotxt_imagenet_zero_shot", "siglip2_so400m_naflex_coco_t2i", "siglino_0_6b_imagenet_knn"
    for name, r in references().items():
        reference, words = evaluate_words([name, "uri=/data", "network=lite", "seed=3"])
        assert reference == r
        if name not in composed:  # Hydra's grammar takes its time on 80 texts
            continue
        config = compose_config(words)
        (model,), (data,) = config.evaluate.models, config.evaluate.datasets
        assert (config.run, config.seed) == (f"runs/{name}", 3)
        assert (model.network, model.fit, model.image_size) == ("lite", Fit(r.fit), r.image_size)
        assert (model.min_pixels, model.max_pixels, model.texts) == (r.min_pixels, r.max_pixels, list(r.texts))
        assert (data.name, data.recipe, data.uri, data.tasks) == (r.recipe, r.recipe, "/data", [Task(r.task)])
        assert (len(data.templates), data.cleaning) == (80 if r.templates else 0, Cleaning(r.cleaning))
        if "k" in r.parameters:
            assert (config.evaluate.k, config.evaluate.temperature) == ([20], 0.07)


def test_what_is_given_counts_before_the_references_own() -> None:
    words = ["siglino_0_6b_coco_t2i", "annotations=c.json", "texts=[siglip2=siglip2:/x, dinov3=dinotxt:/y]"]
    _, asked = evaluate_words([*words, "max_pixels=65536", "run=r"])
    config = compose_config(asked)
    assert config.run == "r"
    (model,), (data,) = config.evaluate.models, config.evaluate.datasets
    assert model.texts == ["siglip2=siglip2:/x", "dinov3=dinotxt:/y"]
    assert (model.max_pixels, data.annotations, data.cleaning) == (65536, "c.json", "lower")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["uri=/data"], "nothing is named; name one reference"),
        (["a", "b"], "a and b is named; name one"),
        (["siglino_0_6b_imagenet_knm", "uri=/data"], r"did you mean siglino_0_6b_imagenet_knn\?"),
        (["siglino_0_6b_imagenet_knn"], "It needs siglino:tiiuae/siglino-0.6B; ImageNet-1k and its training images"),
        (["siglino_0_6b_imagenet_knn", "uri=/data", "netwrok=x"], r"no word netwrok \(did you mean network\?\)"),
        (["radio_v2_5_h_imagenet_zero_shot", "uri=/data"], r"no spec names RADIOv2\.5-H"),
    ],
)
def test_what_cannot_be(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluate_words(words)


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    for name, r in references().items():
        assert f"{name}: {r.percent:.{r.decimals}f}% {r.metric}, {r.title}\n" in printed
        assert f"  needs   {needs(r)}\n" in printed
        assert f"  source  {r.source}\n" in printed


def test_the_result_is_of_the_references_view_and_never_a_sanity_row() -> None:
    reference: Reference = load_reference("siglino_0_6b_imagenet_knn")
    metrics = {"top1": Metric(value=0.8, n=50_000)}
    plain = Result(
        task="knn", dataset="imagenet", split="val", network="x", view="siglino", n=50_000, metrics=metrics
    )  # fmt: skip
    right = replace(plain, view="ensemble (siglino)")
    sane = replace(right, sanity=PERMUTED)
    assert measured(reference, [sane, plain, right]) is right
    assert measured(reference, [sane, plain]) is plain
    with pytest.raises(DataError, match="the evaluation has no top1 of knn on imagenet"):
        measured(reference, [sane, replace(plain, task="logistic"), replace(plain, metrics={})])
