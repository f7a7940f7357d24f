"""`siglino ground`: from RefCOCO's and COCO's files to the page, and one sentence for what cannot be."""

import json
import pickle
import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.config import compose_config
from flows.stages import PATH, choose, configured
from siglino_core.store import Identity, Run
from tests.flows.grounded import BY, SHARED, TEST, files, refs, said, sets, words
from tests.pipelines import grounding
from tests.refer import file_name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data sets, a student, and a run that was grounded on them; none of it is to be changed."""
    folder = tmp_path_factory.mktemp("grounded")
    student = grounding.student(folder / "student")
    code, out, err = said("ground", *words(folder / "run", student, files(folder)))
    assert code == 0, err
    (folder / "out.txt").write_text(out)
    return folder


def at(folder: Path) -> dict[str, str]:
    return {"uri": str(folder / "data"), "images": str(folder / "images"), "coco": str(folder)}


def again(made: Path, run: Path, *more: str, **changes: Any) -> tuple[int, str, str]:
    """The same command for another run."""
    return said("ground", *more, *words(run, str(made / "student"), at(made), **changes))


def test_from_files_to_the_report(made: Path) -> None:
    out = (made / "out.txt").read_text()
    for stage in ("expressions", "ground", "answers"):
        assert Run(str(made / "run")).stage(stage).manifest() is not None
        assert stage in out
    assert f"Grounding        {made}/run/answers/grounding.html" in "".join(out.splitlines())
    assert f"siglino ground predict PHOTO 'the red bird' --model {made}/run/ground/model" in "".join(out.splitlines())
    folder = made / "run/answers"
    page, text = (folder / "grounding.html").read_text(), (folder / "answers.md").read_text()
    for name in TEST:
        safe = name.replace("/", "-")
        assert safe in page
        assert safe in text
        predictions = json.loads((folder / f"predictions/{safe}.json").read_bytes())
        assert all(row["bbox"][2] > 0 and row["bbox"][3] > 0 for row in predictions)
    (told,) = [s for s in expressions(made / "run") if s["which"] == "train" and s["name"] == "refcoco/unc/train"]
    assert (told["images"], told["expressions"], told["masks"]) == (6, 12, True)


def expressions(run: Path) -> list[dict[str, Any]]:
    return Run(str(run)).stage("expressions").require().facts["sets"]


def test_no_image_of_a_test_set_is_trained_on(made: Path) -> None:
    index = (made / "run/expressions/index").glob("*.parquet")
    ids = {path.stem: set(pq.read_table(path)["image_id"].to_pylist()) for path in index}
    trained = set().union(*(found for name, found in ids.items() if name.startswith("train-")))
    tested = set().union(*(found for name, found in ids.items() if name.startswith("test-")))
    assert len(trained) == 3 * 6 + 3
    assert not trained & tested
    held_out = {f"coco/{r['image_id']}" for dataset in BY for r in refs(dataset) if r["split"] != "train"}
    assert not trained & held_out  # nor one of a split that nobody asked for
    (coco,) = [s for s in expressions(made / "run") if s["which"] == "train" and "coco" in s["name"].split("/")[0:1]]
    assert coco["left_out"]["image_of_a_test_set"] == 1
    assert f"coco/{SHARED}" in tested


def test_a_second_time_all_is_reused_and_the_run_is_shown_verified_and_compared(made: Path) -> None:
    code, out, _ = again(made, made / "run")
    assert code == 0
    assert out.count("Reused") == 3
    code, out, err = said("ground", f"run={made}/run", "runtime.runner=local", "runtime.device=cpu")
    assert (code, out.count("Reused")) == (0, 3), err  # settings that are not given are the run's
    code, out, _ = said("inspect", str(made / "run"))
    assert code == 0
    for name in ("refcocog/umd/train", *TEST[:3]):
        assert name in out
    assert "grounding.html" in out
    code, out, _ = said("verify", str(made / "run"))
    assert (code, "Everything is what was written." in out) == (0, True)
    for place in ("run", "run/answers"):
        code, out, err = said("compare", str(made / "run"), str(made / place))
        assert code == 0, err
        assert "grounding" in out
        assert "refcoco-unc-val" in out


def test_a_damaged_model_is_found_and_mended(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    path = run / "ground/model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = said("verify", str(run), "ground")
    assert (code, "Damaged: ground." in out) == (1, True)
    code, out, err = said("verify", str(run), "--mend")
    assert code == 0, err
    assert path.read_bytes() == (made / "run/ground/model/model.safetensors").read_bytes()


def test_one_stage_and_a_stage_made_anew(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    digest = Run(str(run)).stage("answers").require().digest
    code, out, err = again(made, run, "--only", "answers", "--redo", "answers")
    assert (code, out.count("Computed")) == (0, 1), err
    assert Run(str(run)).stage("answers").require().digest == digest
    other = sets(at(made))
    other["expressions__test"][2]["split"] = "test"
    refused(
        2,
        again(made, run, "--only", "answers", **other),
        "expressions is not made by this command, and was made by another config:",
        "expressions.test[2].split: 'val' there, 'test' here",
    )
    del other["expressions__test"][2:]
    refused(2, again(made, run, "--from", "ground", **other), "expressions.test: ['refcoco/unc/val', ")
    code, _, err = again(made, run, ground__image_lr=0.5)
    assert code == 2
    assert "image_lr: 0.3 there, 0.5 here" in err
    code, out, err = again(made, run, "--redo", "ground", ground__image_lr=0.5)
    assert (code, out.count("Computed"), out.count("Reused")) == (0, 2, 1), err
    assert Run(str(run)).stage("answers").require().digest != digest


def test_answers_of_a_former_model_are_told_until_they_are_given_anew(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    code, _, err = again(made, run, "--only", "ground", "--redo", "ground", ground__image_lr=0.5)
    assert code == 0, err
    command = f"siglino ground run={run} --redo answers"
    former = f"{run}/answers is stale: ground changed since, so that its results are of the former model. `{command}`"
    for place in (run, run / "answers"):
        code, out, _ = said("compare", str(made / "run"), str(place), "--gate", "--allow", "100")
        assert code == 1
        assert out.startswith(f"Warning: {former} makes it anew.")
    code, out, _ = said("inspect", str(run))
    assert (code, "stale: ground changed since" in out) == (0, True)
    assert 0 < out.index(former) < out.index("Boxes of expressions")
    code, _, err = said(*shlex.split(command)[1:], "runtime.runner=local", "runtime.device=cpu")
    assert code == 0, err
    assert "stale" not in said("compare", str(made / "run"), str(run))[1] + said("inspect", str(run))[1]


def test_an_evaluation_by_other_settings_is_nothing_that_grounding_stands_on(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    stage, identity = (
        Run(str(run)).stage("evaluate"),
        Identity(stage="evaluate", version=1, config={"seed": 7}, inputs={}),
    )
    todo = stage.begin(identity, lambda: [{"name": "tables", "kind": "tables"}])
    with todo.stage.writer("tables", identity.fingerprint) as out:
        out.put("evaluation.md", b"")
        out.commit(rows=0)
    stage.finish(identity, todo)
    code, out, err = again(made, run)
    assert (code, out.count("Reused")) == (0, 3), err


def refused(code: int, found: tuple[int, str, str], *says: str) -> None:
    assert found[0] == code, found
    assert "Traceback" not in found[2]
    for part in says:
        assert part in " ".join(found[2].split()), found[2]


def hostile(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (path.parent / "owned",)  # type: ignore[return-value]

    path.write_bytes(pickle.dumps([Evil()]))


def test_nothing_to_ground_on(made: Path, tmp_path: Path) -> None:
    found = again(made, tmp_path / "run", expressions__train=[])
    refused(2, found, "expressions.train is empty: there is nothing to ground on. Take experiment=openlvd-ground")
    assert Run(str(tmp_path / "run")).stage("ground").manifest() is None


def test_bad_files(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "images", tmp_path / "images")
    for name in ("instances_train.json", "instances_val.json"):
        shutil.copy(made / name, tmp_path / name)

    def grounded(**changes: Any) -> tuple[int, str, str]:
        return said("ground", *words(tmp_path / "run", str(made / "student"), at(tmp_path), **changes))

    gone = tmp_path / "images/train2014" / file_name(101)
    gone.unlink()
    refused(1, grounded(), file_name(101))
    shutil.copy(made / "images/train2014" / file_name(101), gone)
    other = sets(at(tmp_path))
    other["expressions__test"][0]["split"] = "testZ"
    refused(2, grounded(**other), "split=testZ: refcoco by unc has the splits train, val, testA")
    hostile(tmp_path / "data/refcoco/refs(unc).p")
    refused(1, grounded(), "refs(unc).p is no pickle of plain values", "Fetch it again from its authors")
    assert not (tmp_path / "data/refcoco/owned").exists()
    assert not (tmp_path / "run/ground").exists()


def test_an_expression_that_cannot_be_asked_is_a_reject_and_the_training_goes_on(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    path = tmp_path / "data/refcoco/refs(unc).p"
    rows = refs("refcoco")
    for row, text in ((rows[0], "left " * 80), (rows[6], "\ud83d"), (rows[1], "\u200b")):
        row["sentences"].append({"sent": text, "raw": text})
    path.write_bytes(pickle.dumps(rows))
    where = {"uri": str(tmp_path / "data"), "images": str(made / "images"), "coco": str(made)}
    code, _, err = said("ground", *words(tmp_path / "run", str(made / "student"), where))
    assert code == 0, err
    found = [r for f in (tmp_path / "run/expressions/rejects").glob("*") for r in pq.read_table(f).to_pylist()]
    assert {(r["reason"], r["images"]) for r in found} == {
        ("sentence_too_long", 0),
        ("sentence_with_half_a_character", 0),
        ("sentence_without_words", 0),
    }
    told = {s["name"]: s["left_out"] for s in expressions(tmp_path / "run")}
    assert told["refcoco/unc/train"] == {"sentence_too_long": 1, "sentence_without_words": 1}
    assert told["refcoco/unc/val"] == {"sentence_with_half_a_character": 1}
    code, out, _ = said("inspect", str(tmp_path / "run"))
    assert "sentence_too_long" in out


def test_more_instances_than_are_learnt(made: Path, tmp_path: Path) -> None:
    scenes = {"expressions__train": [{"count": 12, "side": 64, "difficulty": "medium"}], "expressions__test": []}
    code, _, err = again(
        made, tmp_path / "run", "--from", "expressions", **scenes, ground__most_instances=1, ground__max_pixels=4096
    )
    refused(1, (code, "", err), "has no test images: set expressions.test, and redo expressions")
    facts = Run(str(tmp_path / "run")).stage("ground").require().facts
    (train,) = expressions(tmp_path / "run")
    assert train["instances"] > train["expressions"] - train["absent"] > 0  # some text has several
    assert 0 < facts["instances"] <= facts["images"] * 3  # one of each expression, three of which are asked
    assert json.loads((tmp_path / "run/ground/model/config.json").read_text())["most_instances"] == 1


def test_a_path_leaves_grounding_out_where_there_is_nothing_to_ground_on() -> None:
    whole = choose("run", None, None, [])
    bare, with_sets = compose_config([]), compose_config(["expressions.train=[{count: 9}]"])
    assert [c.stage for c in configured(whole, bare)] == list(PATH[: PATH.index("expressions")])
    assert configured(whole, with_sets) == whole
    alone = choose("ground", None, None, [])
    assert configured(alone, bare) == alone  # asked for by name it says what is missing
    assert [c.stage for c in configured(choose("run", "evaluate", None, []), bare)] == ["evaluate"]
