"""answers: a model that knows all, one that is blind, an untrained one, other models' files, and what is left of it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.answers import ask, prior_boxes, tables
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.evaluation.results.compare import compare
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.gate import gate
from siglino_core.evaluation.results.leaderboard import leaderboard
from siglino_core.evaluation.results.leaderboard_text import markdown
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.store import json_schema
from siglino_core.grounding.data import rle
from siglino_core.grounding.predict import predict
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.store import Run
from tests.pipelines.answering import (
    Memory,
    answered,
    boxed,
    config,
    contents,
    ground,
    image,
    several,
    untrained,
    write,
)
from tests.siglino_core.grounding.test_folder import written


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(str(tmp_path / "run"))


def begun(run: Run, monkeypatch: pytest.MonkeyPatch, rows: list, *, shards: int = 2, blind: bool = False) -> Memory:
    """A run whose model remembers these test images."""
    parts = [list(part) for part in np.array_split(np.array(rows, object), shards)]
    write(run, {"hand/test": parts})
    ground(run)
    memory = Memory(rows, blind=blind)
    monkeypatch.setattr(ask, "replies", memory)
    return memory


def results(run: Run) -> dict[tuple[str, str], Result]:
    """By task and row: the model is `model`, sanity rows are what they are, other models bear their names."""
    found = {}
    for r in Evaluation.open(run.stage("answers").files).results:
        row = r.view if r.network == "baseline" else r.sanity or {"grounding": "model"}.get(r.network, r.network)
        found[r.task, row] = r
    return found


def test_a_model_that_knows_all_is_right_and_falls_without_its_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = several(10)
    memory = begun(run, monkeypatch, rows)
    done = answered(run)
    assert (done.state, done.manifest.rows) == ("Computed", 30)
    found = results(run)
    box = found["grounding_box", "model"]
    assert {name: box.metrics[name].value for name in ("accuracy@0.5", "accuracy@0.9", "mean_iou")} == {
        "accuracy@0.5": 1,
        "accuracy@0.9": 1,
        "mean_iou": 1,
    }
    assert (box.dataset, box.view, box.n) == ("hand-test", "free", 10)
    assert box.metrics["several_f1@0.5"].value == 1
    assert box.metrics["f1@0.5, 2"].value == 1
    assert box.metrics["accuracy@0.5"].low == pytest.approx(0.7225, abs=1e-4)  # Wilson's of 10 of 10 images
    shuffled = found["grounding_box", "shuffled_text"]
    assert (shuffled.metrics["accuracy@0.5"].value, shuffled.metrics["mean_iou"].value) == (0, 0)
    assert found["grounding_mask", "model"].metrics["miou"].value == 1
    assert found["grounding_mask", "model"].n == 30
    assert found["grounding_mask", "shuffled_text"].metrics["miou"].value == pytest.approx(1 / 3)  # the absent ones
    assert found["grounding_presence", "model"].metrics["mcc"].value == 1
    assert found["grounding_presence", "shuffled_text"].metrics["mcc"].value == 0
    assert found["grounding_presence", "always present"].metrics["accuracy"].value == pytest.approx(2 / 3)
    assert box.metrics["above_best_baseline"].low > 0  # type: ignore[operator]
    assert not done.manifest.facts["not_above"]
    own = {row.image_id: {e.text for e in row.expressions} for row in rows}
    mine = [query for image_id, query in memory.asked if query in own[image_id]]
    assert (len(memory.asked), len(mine)) == (60, 30)  # each once as it is, and once as another image's


def test_a_blind_model_is_told_to_be_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(run, monkeypatch, several(10), blind=True)
    done = answered(run)
    found = results(run)
    own, shuffled = (found["grounding_box", row].metrics["accuracy@0.5"].value for row in ("model", "shuffled_text"))
    assert own == shuffled == 1  # it has seen the answers, and needs no text
    (words,) = [w for w in done.manifest.facts["not_above"] if "boxes" in w]
    assert words.startswith("grounding on hand-test: the share of boxes with an IoU of 0.5 is 100.0 (")
    assert "not shown to be above shuffled text (100.0): a difference of 0.0 points" in words
    checks = {c.name: c.passed for c in gate(list(found.values())).checks}
    assert not checks["baselines: grounding_box on hand-test test, grounding free"]


def test_an_untrained_model_is_not_above_the_prior(run: Run) -> None:
    rows = several(6)
    write(run, {"hand": [rows]})
    ground(run)
    done = answered(run, load=untrained, answers={"forced": True, "shown": 2})
    found = results(run)
    accuracy = {row: r.metrics["accuracy@0.5"].value for (task, row), r in found.items() if task == "grounding_box"}
    assert accuracy["model"] <= accuracy["largest-prior box"]
    assert any("not shown to be above" in words for words in done.manifest.facts["words"])
    assert found["grounding_box", "model"].view == "forced"
    rows_of = pq.read_table(Path(run.url) / "answers/answers/test-0-00000.parquet").to_pylist()
    assert {len(row["predicted"]) for row in rows_of} == {1}
    assert len(rows_of) == 6 * 3 * 4


def test_files_are_those_of_an_evaluation_and_of_other_tools(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = several(4)
    begun(run, monkeypatch, rows)
    done = answered(run)
    folder = Path(run.url) / "answers"
    for path in folder.glob("results/*/*.json"):
        jsonschema.validate(json.loads(path.read_bytes()), json_schema())
    evaluation = Evaluation.open(run.stage("answers").files)
    compared = compare(evaluation, evaluation)
    assert {pair.key.task for pair in compared.pairs} == {"grounding_box", "grounding_mask", "grounding_presence"}
    assert not compared.refused
    assert "shuffled text" in markdown(leaderboard(evaluation.results))
    entries = json.loads((folder / "predictions/hand-test.json").read_bytes())
    first = entries[0]
    box = rows[0].expressions[0].boxes_K4[0].tolist()
    assert first["image_id"] == rows[0].image_id
    assert (first["expression"], first["score"]) == ("thing 0", 0.9)
    assert first["bbox"] == [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    mask_HW = rle.decode(first["segmentation"]["counts"], *first["segmentation"]["size"])
    assert (mask_HW == boxed(box)).all()
    assert len(entries) == 4 * 3
    headlines = {(h["task"], h["network"], h["sanity"]): h["metric"] for h in done.manifest.facts["headlines"]}
    assert headlines["grounding_box", "grounding", ""] == "accuracy@0.5"
    assert headlines["grounding_box", "baseline", "constant_features"] == "accuracy@0.5"
    text = (folder / "answers.md").read_text()
    assert "| grounding free | 100.0 (" in text
    assert "| *centre box* | " in text
    page = (folder / "grounding.html").read_text()
    assert page.count('<figure class="tile">') == 4
    assert page.count("data:image/") == 4


def test_killed_at_any_unit_it_ends_with_the_same_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(run, monkeypatch, several(8))
    answered(run)
    whole = contents(run)
    shutil.rmtree(Path(run.url) / "answers")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tables, "grounding_page", killed)
        with pytest.raises(KeyboardInterrupt):
            answered(run)
    (Path(run.url) / "answers/commits/answer-test-0-00001.json").unlink()
    assert answered(run).state == "Resumed"
    assert contents(run) == whole
    assert answered(run).state == "Reused"


def test_other_settings_are_refused_and_other_speeds_are_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(run, monkeypatch, several(4))
    answered(run)
    assert answered(run, runtime={"runner": "local", "device": "cpu", "workers": 3}).state == "Reused"
    with pytest.raises(ConfigError, match="forced"):
        answered(run, answers={"forced": True, "shown": 4})


def test_a_set_without_masks_or_absent_ones_says_what_is_not_measured(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [image(i, {f"thing {i}": [[i, 2, i + 20, 30]]}, masks=False) for i in range(4)]
    begun(run, monkeypatch, rows)
    passed = answered(run).manifest.facts["passed"]
    assert {task for task, _ in results(run)} == {"grounding_box"}
    assert any("no masks" in line for line in passed)
    assert any("presence is not measured" in line for line in passed)


def test_a_shard_of_one_image_takes_texts_of_others_and_a_set_of_one_image_has_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = several(5)
    memory = begun(run, monkeypatch, rows, shards=5)
    answered(run)
    assert len(memory.asked) == 2 * 15
    alone = Run(str(tmp_path / "alone"))
    begun(alone, monkeypatch, several(1), shards=1)
    passed = answered(alone).manifest.facts["passed"]
    assert any("no shuffled text, as one image has more than half" in line for line in passed)
    assert ("grounding_box", "shuffled_text") not in results(alone)


def test_masks_are_left_out_where_nobody_wants_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(run, monkeypatch, several(4))
    answered(run, answers={"masks": False, "shown": 0})
    assert {task for task, _ in results(run)} == {"grounding_box", "grounding_presence"}
    assert "data:image/" not in (Path(run.url) / "answers/grounding.html").read_text()
    assert "segmentation" not in (Path(run.url) / "answers/predictions/hand-test.json").read_text()


def test_what_is_not_there_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"expressions.*not finished"):
        answered(run)
    write(run, {})
    ground(run)
    with pytest.raises(DataError, match=r"no test images: set expressions\.test"):
        answered(run)


def test_texts_of_strangers_stay_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<script>alert(1)</script> | `x` \u202egpj"
    rows = [image(i, {f"{evil} {i}": [[2, 2, 30, 30]]}) for i in range(3)]
    write(run, {"<b>set</b>": [rows]})
    ground(run)
    monkeypatch.setattr(ask, "replies", Memory(rows))
    answered(run)
    folder = Path(run.url) / "answers"
    page = (folder / "grounding.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert (folder / "results/grounding_box/b-set-b.json").exists()


def lines(path: Path, answers: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in answers))
    return str(path)


def test_other_models_are_judged_on_the_same_expressions(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = several(4)
    begun(run, monkeypatch, rows)
    said = [
        {"image_id": row.image_id, "expression": e.text.upper(), "output": e.boxes_K4.tolist()}
        for row in rows[:3]
        for e in row.expressions
    ]
    said[0]["output"] = [["x"], [30, 30, 2, 2]]  # one is no box, the other inverted
    said[1]["output"].append([0, 0, 300, 30])
    said.append({"image_id": "elsewhere", "expression": "x", "output": []})
    others = [{"name": "rival", "uri": lines(tmp_path / "rival.jsonl", said)}]
    passed = answered(run, answers={"others": others, "shown": 2}).manifest.facts["passed"]
    found = results(run)
    rival = found["grounding_box", "rival"]
    assert rival.metrics["accuracy@0.5"].value == 0.5  # two of four: one inverted, one missing
    assert (rival.n, rival.n_failed) == (4, 1)
    assert ("grounding_mask", "rival") not in found
    assert found["grounding_presence", "rival"].metrics["accuracy"].value == pytest.approx(10 / 12)
    assert "hand-test: rival lacks an answer to 3 of 12 expressions, which count as misses." in passed
    assert "rival: 1 of 10 boxes reach beyond their image. Are they in its pixels?" in passed
    assert "hand-test: 1 answer of rival had parts that were no box." in passed
    assert "rival: 1 answer about no expression of a test image." in passed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"image_id": "hand/0000", "expression": "thing 0", "output": 7}\n', "line 1: its output is 7"),
        ('\n{"image_id": "hand/0000"}\n', "line 2 lacks expression, output"),
        ("not json\n", "line 1 is no JSON"),
        ('{"image_id": "x", "expression": "y", "output": []}\n', "none of the 1 answers"),
        ("", "has no answers"),
        (
            '{"image_id": "hand/0000", "expression": "thing 0", "output": [[0, 0.5, 1, 0.75]]}\n',
            "each of the 1 boxes in .* lies within one pixel",
        ),
    ],
)
def test_a_bad_file_of_answers_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str
) -> None:
    begun(run, monkeypatch, several(2))
    path = tmp_path / "rival.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        answered(run, answers={"others": [{"name": "rival", "uri": str(path)}]})
    assert "rival.jsonl" in str(caught.value)


def test_a_file_of_answers_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun(run, monkeypatch, several(2))
    with pytest.raises(StoreError, match=r"answers\.others, rival: .*nothing\.jsonl cannot be read"):
        answered(run, answers={"others": [{"name": "rival", "uri": str(tmp_path / "nothing.jsonl")}]})
    with pytest.raises(ConfigError, match=r"answers\.others\[0\]\.name: 'a b' cannot name a model"):
        config(run, answers={"others": [{"name": "a b", "uri": "x"}]})
    with pytest.raises(ConfigError, match=r"answers\.others\[1\]\.name: a stands there twice"):
        config(run, answers={"others": [{"name": "a", "uri": "x"}, {"name": "a", "uri": "y"}]})


def test_boxes_that_never_change_come_from_a_bounded_draw(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = several(3)
    train = [image(i, {"it": [[16, 12, 48, 36]]}, name="train") for i in range(30)]
    write(run, {"hand": [rows]}, train)
    ground(run)
    monkeypatch.setattr(ask, "replies", Memory(rows))
    monkeypatch.setattr(prior_boxes, "MOST_BOXES", 8)
    answered(run)
    stored = json.loads((Path(run.url) / "answers/priors.json").read_text())
    assert stored["boxes"] == 8
    assert stored["centre"] == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert stored["prior"] == pytest.approx([0.25, 0.25, 0.75, 0.75])


def test_without_training_boxes_the_model_is_compared_with_shuffled_text(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = several(3)
    write(run, {"hand": [rows]}, [image(0, {"nothing": []}, name="train")])
    ground(run)
    monkeypatch.setattr(ask, "replies", Memory(rows))
    done = answered(run)
    assert any("there are no training boxes" in line for line in done.manifest.facts["passed"])
    assert ("grounding_box", "centre box") not in results(run)
    assert any("above shuffled text" in words for words in done.manifest.facts["words"])


def test_an_image_that_cannot_be_read_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(run, monkeypatch, several(2))

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("image file is truncated")
        yield

    monkeypatch.setattr(ask, "replies", broken)
    with pytest.raises(DataError, match=r"image hand/0000 of .* cannot be answered: image file is truncated"):
        answered(run)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_is_read_from_its_folder(run: Run, tmp_path: Path, precision: str) -> None:
    rows = several(2)
    model = written(tmp_path / "model")
    write(run, {"hand": [rows]})
    ground(run, tmp_path / "model")
    done = answered(run, load=None, answers={"precision": precision, "forced": True, "shown": 0})
    assert done.manifest.identity["config"]["precision"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]
    (entry, *_) = json.loads((Path(run.url) / "answers/predictions/hand.json").read_bytes())
    processor = SigLinoImageProcessor(patch_size=16, min_pixels=32**2, max_pixels=64**2)
    (mine,) = predict(model, rows[0].data, ["thing 0"], processor=processor, forced=True)
    left, top, right, bottom = mine[0].box_xyxy
    if precision == "fp32":
        assert entry["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=2e-3)
        assert entry["score"] == pytest.approx(mine[0].score, abs=1e-5)


@pytest.mark.slow
def test_on_ray_the_bytes_are_the_same(run: Run, tmp_path: Path) -> None:
    rows = several(4)
    found = []
    for name, runtime in (("a", {"runner": "local"}), ("b", {"runner": "ray", "workers": 2, "cpus": 2})):
        run = Run(str(tmp_path / name / "run"))
        write(run, {"hand": [rows[:2], rows[2:]]})
        ground(run)
        answered(run, load=untrained, answers={"shown": 2}, runtime={**runtime, "device": "cpu"})
        found.append(contents(run))
    assert found[0] == found[1]
