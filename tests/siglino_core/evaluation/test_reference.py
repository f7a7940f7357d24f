"""Published figures: files that can be run, and verdicts that hold and that do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siglino_core.config import Fit, Task
from siglino_core.encoders.spec import KINDS, Spec
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.knn import knn_classify
from siglino_core.evaluation.network.load import describe_network
from siglino_core.evaluation.reference import Reference, differences, interval_of, judge, load_reference, references
from siglino_core.evaluation.results.result import PERMUTED, Metric, Result
from siglino_core.evaluation.retrieval import I2T, T2I
from siglino_core.statistics.proportion import wilson
from tests import pictures as pictures_
from tests.siglino_core.evaluation.network.folders import loaded, siglino

TEXT = """
title = "a stand-in"
percent = 80.2
decimals = 1
metric = "top1"
n = 1000
source = "a test"
recipe = "imagenet"
task = "knn"
view = "dinov3"

[preprocessing]
rule = "squash"
size = 512

[parameters]
k = 20
"""
REFERENCE = Reference.read("stand_in", TEXT)


def result(hits: int = 802, n: int = 1000, **changes: object) -> Result:
    share = wilson(hits, n)
    assert share.low is not None
    assert share.high is not None
    metric = Metric(value=share.mean, low=share.low, high=share.high, n=n, method="wilson")
    made = Result(
        task="knn",
        dataset="imagenet",
        split="val",
        network="mine",
        view="dinov3",
        n=n,
        metrics={"top1": metric},
        parameters={"k": 20},
        preprocessing={"rule": "squash", "size": 512, "interpolation": "bicubic"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_reproduced() -> None:
    verdict = judge(REFERENCE, result(790))
    assert verdict.reproduced
    assert verdict.difference == pytest.approx(-1.2)
    high = wilson(790, 1000).high
    assert high is not None
    assert verdict.allowed == pytest.approx(100 * (high - 0.79) + 0.05)
    assert verdict.words.startswith("a stand-in, top1: 79.0 against 80.2 published (-1.20 points): reproduced; ")
    assert verdict.words.endswith("are allowed for n=1,000 and rounding")


@pytest.mark.parametrize("hits", [770, 830])
def test_not_reproduced(hits: int) -> None:
    verdict = judge(REFERENCE, result(hits))
    assert not verdict.reproduced
    assert abs(verdict.difference) > verdict.allowed
    assert ": not reproduced; " in verdict.words


def test_it_is_the_side_of_the_interval_that_counts_and_the_last_digits_half() -> None:
    metric = Metric(value=0.8, low=0.79, high=0.83, n=1000)
    for percent, near in ((83.04, True), (83.06, False), (78.96, True), (78.94, False)):
        other = replace(REFERENCE, percent=percent)
        assert judge(other, result(metrics={"top1": metric})).reproduced is near
    printed = replace(REFERENCE, percent=83.006, decimals=2)
    assert not judge(printed, result(metrics={"top1": metric})).reproduced


def test_without_an_interval_of_its_own_the_samples_give_one() -> None:
    low, high = interval_of(Metric(value=0.802, n=1000))
    wanted = wilson(802, 1000)
    assert (low, high) == (wanted.low, wanted.high)
    assert judge(REFERENCE, result(metrics={"top1": Metric(value=0.79, n=1000)})).reproduced


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset": "food101"}, "data set food101, not imagenet"),
        ({"task": "logistic"}, "task logistic, not knn"),
        ({"view": "siglip2"}, "view siglip2, not dinov3"),
        ({"preprocessing": {"rule": "grid", "size": 512}}, "rule=grid, not squash"),
        ({"preprocessing": {"size": 224}}, "size=224, not 512"),
        ({"parameters": {"k": 10}}, "k=10, not 20"),
        ({"metrics": {"top1": Metric(value=0.802, n=900)}}, "900 samples, not 1,000"),
    ],
)
def test_another_protocol_reproduces_nothing_however_near(changes: dict[str, object], says: str) -> None:
    verdict = judge(REFERENCE, result(**changes))
    assert not verdict.reproduced
    assert verdict.differs == (says,)
    assert verdict.words.endswith(f"not comparable: {says}")


def test_what_a_result_does_not_tell_is_not_held_against_it() -> None:
    assert differences(REFERENCE, result(preprocessing={}, parameters={})) == []
    assert differences(replace(REFERENCE, view=""), result(view="whatever")) == []
    nearly = {"top1": Metric(value=0.8, n=995)}
    assert differences(REFERENCE, result(metrics=nearly)) == []


def test_templates_are_counted() -> None:
    reference = replace(REFERENCE, templates="imagenet")
    assert differences(reference, result(parameters={"templates": ["a {}"]})) == ["1 templates, not 80"]
    assert differences(reference, result(parameters={"templates": ["a {}"] * 80})) == []


def test_what_is_no_measurement() -> None:
    with pytest.raises(DataError, match=r"a sanity row .permuted_labels. is no measurement"):
        judge(REFERENCE, result(sanity=PERMUTED))
    with pytest.raises(DataError, match="the result has no metric 'top1', but top5"):
        judge(REFERENCE, result(metrics={"top5": Metric(value=1.0, n=1000)}))
    nan = {"top1": Metric(value=float("nan"), low=0.0, high=1.0, n=1000)}
    assert not judge(REFERENCE, result(metrics=nan)).reproduced


def test_a_contested_figure_says_so() -> None:
    verdict = judge(replace(REFERENCE, contested="others have 78"), result())
    assert verdict.words.endswith("; contested: others have 78")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title = ", "reference x: "),
        (TEXT.replace("percent", "per_cent"), r"no key per_cent \(did you mean percent\?\)"),
        (TEXT.replace('title = "a stand-in"', ""), "title"),
        (TEXT.replace("80.2", "0.0"), "percent above 0"),
        (TEXT.replace('"a test"', '""'), "and a source"),
        (TEXT.replace('"knn"', '"nearest"'), "'nearest' is not a valid Task"),
    ],
)
def test_what_is_no_reference(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Reference.read("x", text)


def test_one_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "stand_in.toml").write_text(TEXT)
    assert load_reference(str(tmp_path / "stand_in.toml")) == REFERENCE
    with pytest.raises(ConfigError, match="there is no such file"):
        load_reference("nothing.toml")
    with pytest.raises(ConfigError, match=r"not one of .*\(did you mean siglino_0_6b_imagenet_knn\?\)"):
        load_reference("siglino_06b_imagenet_knn")


def test_those_that_come_with_the_package() -> None:
    found = references()
    assert len(found) == 20
    figures = {name: r.percent for name, r in found.items()}
    assert figures["siglip2_so400m_naflex_coco_t2i"] == 55.1
    assert figures["siglip2_so400m_512_coco_i2t"] == 71.3
    assert figures["siglino_0_6b_imagenet_knn"] == 86.1
    assert figures["siglino_0_6b_voc2012_segmentation"] == 89.8
    names = {"top1", "mean_iou", f"{T2I} recall@1", f"{I2T} recall@1"}
    for r in found.values():
        assert r.metric in names
        assert len(f"{r.percent:.{r.decimals}f}") >= len(str(r.percent))  # no digit is hidden
        assert r.source
        assert (r.recipe, r.n) in {
            ("imagenet", 50_000), ("coco_retrieval", 25_010), ("coco_retrieval", 25_000), ("coco_retrieval", 5_000),
            ("flickr30k_retrieval", 5_000), ("flickr30k_retrieval", 1_000), ("voc2012", 1_449), ("cityscapes", 500),
        }  # fmt: skip
        assert Fit(r.fit)


def test_they_can_be_run_as_they_stand() -> None:
    for r in references().values():
        if not r.network:
            with pytest.raises(ConfigError, match=r"no spec names RADIOv2\.5-H.*give one's own, module:attribute"):
                r.model()
            assert r.model("mine:Radio").network == "mine:Radio"
            continue
        model = r.model()
        assert Spec.parse(model.network, "x").kind in KINDS
        assert all(Spec.parse(text.partition("=")[2], "x").kind in KINDS for text in model.texts)
        if Fit(r.fit) is Fit.GRID:
            assert 0 < r.min_pixels <= r.max_pixels
            assert r.preprocessing.get("max_pixels") == r.max_pixels
        if r.fit == "squash":
            assert r.preprocessing["size"] == r.image_size
        data = r.dataset("images", train="more")
        assert (data.recipe, data.uri, data.train, data.tasks) == (r.recipe, "images", "more", [Task(r.task)])
        assert len(data.templates) == (80 if r.templates else 0)


def test_what_they_ask_of_pixels_is_what_a_network_then_says() -> None:
    """A small network in the place of a published one: its pixels are described as the file asks."""
    for r in references().values():
        if r.fit == "auto" or r.network.startswith("open_clip"):
            continue
        config = replace(r.model("lite"), texts=[])
        said = describe_network(config, min_pixels=1, max_pixels=1).pixels.describe()
        asked = {k: v for k, v in r.preprocessing.items() if k not in ("mean", "std")}
        assert asked == {k: said[k] for k in asked}


def test_a_stand_ins_figure_is_reproduced_by_itself_and_not_by_another(tmp_path: Path) -> None:
    """From networks to verdicts: a small network's own figure again, and one that sees nothing."""
    labels = np.arange(60) % 2
    tints = Image.new("RGB", (64, 64), (200, 40, 40)), Image.new("RGB", (64, 64), (40, 40, 200))
    pictures = [Image.blend(pictures_.pixels(i, (64, 64)), tints[k], 0.5) for i, k in enumerate(labels)]

    def measured(spec: str) -> Result:
        network = loaded(spec)
        view = next(iter(network.views))
        rows = network([network.pixels(image) for image in pictures]).summaries[view]
        found = knn_classify(rows[:30], labels[:30], rows[30:], k=3)
        hits = int((found == labels[30:]).sum())
        return result(hits, 30, view="dinov3", preprocessing=network.pixels.describe(), parameters={"k": 3})

    first = measured("lite")
    percent = round(100 * first.metrics["top1"].value, 1)
    assert percent > 90
    reference = replace(REFERENCE, percent=percent, n=30, preprocessing={"max_pixels": 9216}, parameters={"k": 3})
    assert judge(reference, measured("lite")).reproduced
    blind = judge(reference, measured(siglino(tmp_path / "model").replace("siglino:", "siglino_untrained:")))
    assert not blind.reproduced
    assert blind.differs == ()
    assert blind.difference < -30
