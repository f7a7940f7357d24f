"""evaluate: what a run's student is worth: extracted once, each sample once, the same whatever happens on the way."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.evaluate import layout, price, read, see
from pipelines.support.runtime import Estimate
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.evaluation.data.open import open_split
from siglino_core.evaluation.network.viewed import Seen
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.store import json_schema
from siglino_core.store import Files, Identity, Manifest, Run, Stage
from siglino_core.store.lease import Lease
from siglino_core.store.lease import folder as lease_folder
from tests import pools
from tests.damage import flip
from tests.pictures import picture
from tests.pipelines import evaluating
from tests.pipelines.evaluating import contents, evaluated, folder_of, student
from tests.siglino_core.evaluation.network import folders

OWN = {"name": "pool", "layout": "run", "templates": ["a photo of a {}."], "tasks": ["knn", "zero_shot"]}
SCENES = {"layout": "composites", "scenes": 8, "tasks": ["segmentation"]}


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody evaluated; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        return evaluating.made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "made")
    targets = Run(str(made)).stage("targets").require()
    run = tmp_path / "made" / "run"
    evaluating.teach(Run(str(run)), {n: str(tmp_path / "made" / n) for n in targets.facts["teachers"]})
    return run


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, evaluated as it is by itself, but for fewer scenes and texts; not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(made, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        own = {name: value for name, value in OWN.items() if name != "tasks"}
        evaluated(run, evaluate__datasets=[own, {"layout": "composites", "scenes": 8}])
    return run


def results(run: Path) -> list[Result]:
    return list(Evaluation.open(Run(str(run)).stage("evaluate").files).results)


def features(run: Path) -> list[str]:
    return Run(str(run)).features()


def said(run: Path, **changes: Any) -> list[str]:
    """What an evaluation says of the features that it extracts."""
    notes: list[str] = []
    evaluated(run, progress=lambda stage, done, total, note="": notes.append(note), **changes)
    return [note for note in notes if " images of " in note]


def small(run: Path, **changes: Any) -> dict[str, Any]:
    """The student alone, on the run's own images."""
    return {"evaluate__models": [student(run)], "evaluate__datasets": [{"layout": "run", "tasks": ["knn"]}], **changes}


def test_the_student_beside_its_teachers_and_itself_untrained(whole: Path) -> None:
    found = results(whole)
    assert {r.network for r in found} == {"student", "untrained", "siglip2", "dinov3"}
    dense = {"segmentation", "patch_retrieval"}
    assert {r.task for r in found} == {"knn", "zero_shot", "retrieval", "fidelity", "geometry"} | dense
    assert {r.dataset for r in found} == {"pool", "composites"}
    for task in ("knn", "zero_shot", "retrieval", "segmentation"):
        assert any(r.sanity for r in found if r.task == task), task
    held_out = evaluating.IMAGES - evaluating.KEPT
    assert {r.n for r in found if r.dataset == "pool"} == {held_out}
    assert {r.n for r in found if r.dataset == "composites"} == {8}
    assert all(r.n_failed == 0 and r.split == "test" and r.preprocessing and r.hashes["features"] for r in found)
    views = {r.view for r in found if r.network == "student" and r.task == "knn" and not r.sanity}
    assert {"siglino", "siglip2", "dinov3", "ensemble (siglino)", "ensemble (calibrated)"} < views


def test_a_head_is_compared_with_its_teacher_where_both_are_asked(whole: Path) -> None:
    found = {(r.network, r.view): r for r in results(whole) if r.task == "fidelity" and not r.sanity}
    assert set(found) == {(n, v) for n in ("student", "untrained") for v in ("siglip2", "dinov3")}
    held_out = evaluating.IMAGES - evaluating.KEPT
    for (network, view), r in found.items():
        assert (r.n, r.n_failed, r.dataset, r.parameters["teacher"]) == (held_out, 0, "pool", view)
        rows = pq.read_table(whole / "evaluate/samples/fidelity/pool.parquet").to_pylist()
        mine = [row["correct"] for row in rows if (row["network"], row["view"]) == (network, view)]
        assert r.metrics["cosine"].value == pytest.approx(np.mean(mine))
        assert -1 <= r.metrics["cosine"].value <= 1


def test_results_follow_their_schema_and_samples_their_n(whole: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    files = sorted((whole / "evaluate/results").glob("*/*.json"))
    assert len(files) == 8
    for path in files:
        validator.validate(json.loads(path.read_text()))
    for r in results(whole):
        rows = pq.read_table(whole / f"evaluate/samples/{r.task}/{r.dataset}.parquet").to_pylist()
        mine = [row for row in rows if (row["network"], row["view"]) == (r.network, r.view)]
        if r.sanity:
            continue
        for metric in {row["metric"] for row in mine}:
            of_metric = [row for row in mine if row["metric"] == metric]
            assert len({row["sample_id"] for row in of_metric}) == len(of_metric) == r.n
        if "top1" in r.metrics:
            assert r.metrics["top1"].value == pytest.approx(np.mean([row["correct"] for row in mine]))


def test_tables_and_page(whole: Path) -> None:
    page = (whole / "evaluate/evaluation.html").read_text()
    assert "data:image" in page, "the worst samples are shown"
    assert "student" in (whole / "evaluate/leaderboard.md").read_text()
    assert (whole / "evaluate/leaderboard.csv").read_text().count("\n") > 10
    facts = Run(str(whole)).stage("evaluate").require().facts
    assert len(facts["headlines"]) == len(results(whole))
    assert any("no view has a text side" in line for line in facts["passed"])


def test_a_second_time_nothing_is_loaded(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(see, "load_network", lambda *_, **__: pytest.fail("a network is loaded"))
    own = {name: value for name, value in OWN.items() if name != "tasks"}
    result = evaluated(whole, evaluate__datasets=[own, {"layout": "composites", "scenes": 8}])
    assert result.state == "Reused"


def test_another_network_is_extracted_alone_and_before_that_refused(run: Path) -> None:
    evaluated(run, **small(run))
    before, first = contents(run), features(run)
    more = small(run, evaluate__models=[student(run), {"name": "siglip2", "network": f"siglip2:{run.parent}/siglip2"}])
    with pytest.raises(ConfigError, match="was made by another config") as refused:
        evaluated(run, **more)
    assert any("models" in line and "siglip2" in line for line in refused.value.args)
    assert (features(run), contents(run)) == (first, before), "it was refused before anything was extracted"
    notes = said(run, redo="always", **more)
    assert {note.partition(":")[0] for note in notes} == {"siglip2"}
    assert {r.network for r in results(run)} == {"student", "siglip2"}
    assert [r for r in results(run) if r.network == "student"] == _results(before)


def _results(found: dict[str, bytes]) -> list[Result]:
    from siglino_core.evaluation.results.store import read_results

    return [r for name, data in found.items() if name.endswith(".json") for r in read_results(data)]


def test_where_a_run_and_its_texts_lie_is_no_part_of_it(run: Path, tmp_path: Path) -> None:
    def asked(run: Path) -> dict[str, Any]:
        texts = [f"siglip2=siglip2:{run.parent}/siglip2"]
        return small(run, evaluate__models=[student(run, texts=texts)], evaluate__datasets=[OWN])

    evaluated(run, **asked(run))
    elsewhere = tmp_path / "elsewhere"
    run.parent.rename(elsewhere)
    moved = elsewhere / "run"
    assert evaluated(moved, **asked(moved)).state == "Reused"
    folders.siglip(elsewhere / "siglip2", width=32)
    model = elsewhere / "siglip2" / "model.safetensors"
    flip(model, 8 * (model.stat().st_size - 9))
    with pytest.raises(ConfigError, match=r"models: .*texts") as refused:
        evaluated(moved, **asked(moved))
    assert "was made by another config" in refused.value.args[0]


def test_other_pixels_are_other_features(run: Path) -> None:
    evaluated(run, **small(run))
    before = features(run)
    notes = said(run, redo="always", **small(run, evaluate__max_pixels=48**2))
    assert notes
    assert set(before) < set(features(run))
    assert {r.preprocessing["max_pixels"] for r in results(run)} == {48**2}


def test_another_student_is_refused_by_name_and_a_redo_mends_it(run: Path) -> None:
    evaluated(run, **small(run))
    before = contents(run)
    evaluating.distil(Run(str(run)), seed=5)
    with pytest.raises(ConfigError, match="was made by another config") as refused:
        evaluated(run, **small(run))
    assert any("models" in line and "network" in line for line in refused.value.args)
    assert contents(run) == before
    assert evaluated(run, redo="stale", **small(run)).state == "Computed"
    assert contents(run) != before
    assert evaluated(run, **small(run)).state == "Reused"


def test_two_evaluations_share_features_each_with_its_own_names(run: Path) -> None:
    evaluated(run, **small(run))
    mine = small(run, evaluate__models=[student(run) | {"name": "mine"}])
    mine["evaluate__datasets"] = [{"name": "own", "layout": "run", "tasks": ["knn"]}]
    assert said(run, redo="always", **mine) == []
    assert {(r.network, r.dataset) for r in results(run)} == {("mine", "own")}
    rows = pq.read_table(run / "evaluate/samples/knn/own.parquet")
    assert set(rows["network"].to_pylist()) == {"mine"}


def test_two_data_sets_of_the_same_images_are_extracted_once(run: Path) -> None:
    twice = [{"name": name, "layout": "run", "tasks": ["knn"]} for name in ("one", "other")]
    notes = said(run, **small(run, evaluate__datasets=twice))
    assert {"other" in note for note in notes} in ({True}, {False})
    assert {r.dataset for r in results(run)} == {"one", "other"}


def test_each_of_1001_samples_counts_once(run: Path, tmp_path: Path) -> None:
    data = {**folder_of(tmp_path / "many", 1001), "tasks": ["knn"]}
    eighths = {"evaluate__rows_per_shard": 126}  # eight units, for eight workers
    evaluated(run, **small(run, evaluate__datasets=[data], evaluate__max_pixels=32**2, **eighths))
    (folder,) = features(run)
    stage = Run(str(run)).stage(folder)
    assert [shard["unit"]["rows"] for shard in stage.shards()] == [126] * 7 + [119]
    manifest = stage.require()
    assert manifest.rows == 1001
    found = layout.read(stage, manifest, network="student", dataset="many", split="test")
    assert len(found) == len(set(found.sample_ids)) == 1001
    assert {r.n for r in results(run)} == {1001}


@pytest.fixture
def hurt(tmp_path: Path) -> dict[str, Any]:
    """Thirty labelled images with captions, of which three cannot be read."""
    images = [b"no image" if i in (4, 11, 20) else picture(i) for i in range(30)]
    rows = {
        "image": images,
        "label": [evaluating.LABELS[i % 3] for i in range(30)],
        "caption": [f"number {i}" for i in range(30)],
    }
    path = pools.parquet_file(tmp_path / "hurt.parquet", rows)
    return {"name": "hurt", "uri": str(path), "templates": ["a {}."]}


def test_an_unread_sample_is_an_error_that_says_the_setting(run: Path, hurt: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"hurt \(test\): 3 of 30 samples cannot be read, such as .*:4 \(not_an") as e:
        evaluated(run, **small(run, evaluate__datasets=[hurt]))
    assert "evaluate.unread=wrong" in str(e.value)
    with pytest.raises(DataError, match="3 of 30"):  # of what was extracted, too
        evaluated(run, **small(run, evaluate__datasets=[hurt]))


def test_an_unread_sample_counts_as_wrong_in_every_task(run: Path, hurt: dict[str, Any]) -> None:
    models = [student(run, texts=[f"siglip2=siglip2:{run.parent}/siglip2"])]
    evaluated(run, **small(run, evaluate__models=models, evaluate__datasets=[hurt], evaluate__unread="wrong"))
    found = [r for r in results(run) if r.sanity != "chance"]
    assert {r.task for r in found} == {"knn", "zero_shot", "retrieval", "geometry"}
    for r in found:
        assert (r.n, r.n_failed) == (30, 3), (r.task, r.view, r.sanity)
    for task in ("knn", "zero_shot", "retrieval"):
        rows = pq.read_table(run / f"evaluate/samples/{task}/hurt.parquet").to_pylist()
        lost = [row for row in rows if row["image_id"] == ""]
        assert {row["sample_id"].partition("#")[0] for row in lost} == {f"hurt.parquet:{i}" for i in (4, 11, 20)}
        assert {row["correct"] for row in lost} == {0.0}


def broken_off(run: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, after: int, **changes: Any) -> None:
    """An evaluation that ends in the middle: at a call of ``where.name``."""
    original: Callable[..., Any] = getattr(where, name)
    calls = 0

    def once_more(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise RuntimeError("the lights went out")
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, once_more)
        with pytest.raises(RuntimeError, match="the lights went out"):
            evaluated(run, **changes)


def test_broken_off_anywhere_it_ends_with_the_same_bytes(
    made: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.evaluate as package

    asked = small(run, evaluate__datasets=[OWN | {"tasks": ["knn"]}, SCENES])
    alone = tmp_path / "alone" / "run"
    shutil.copytree(run, alone)
    evaluated(alone, **{**asked, "evaluate__models": [student(alone)]})
    broken_off(run, monkeypatch, see.Extractor, "commit", 2, **asked)
    broken_off(run, monkeypatch, see.Extractor, "commit", 3, **asked)
    broken_off(run, monkeypatch, package, "score", 1, **asked)
    broken_off(run, monkeypatch, package, "tabulate", 0, **asked)
    assert evaluated(run, **asked).state == "Resumed"
    assert contents(run) == contents(alone)
    assert manifests(run).keys() == manifests(alone).keys()
    for name, manifest in manifests(run).items():
        if name != "evaluate":  # whose page tells the folder's name
            assert manifest.digest == manifests(alone)[name].digest


def manifests(run: Path) -> dict[str, Manifest]:
    return {name: Run(str(run)).stage(name).require() for name in [*features(run), "evaluate"]}


def test_while_it_is_made_anew_the_old_one_stands(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.evaluate as package

    evaluated(run, **small(run))
    before = contents(run)
    other = small(run, evaluate__k=[2])
    broken_off(run, monkeypatch, package, "tabulate", 0, redo="always", **other)
    assert contents(run) == before
    assert evaluated(run, **small(run)).state == "Reused"
    assert evaluated(run, **other).state == "Resumed", "the redo goes on without being asked for again"
    assert {r.parameters["k"] for r in results(run) if r.task == "knn" and "k" in r.parameters} == {2}


def test_how_many_images_at_once_is_not_seen_but_in_the_last_bits(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "run"
    shutil.copytree(run, other)
    evaluated(run, **small(run))
    evaluated(other, **small(other, evaluate__batch_size=7, evaluate__models=[student(other)]))
    assert features(run) == features(other)
    for folder in features(run):
        for path in sorted((run / folder).glob("*.parquet")):
            ours, theirs = (pq.ParquetFile(p) for p in (path, other / folder / path.name))
            assert ours.metadata.num_row_groups == theirs.metadata.num_row_groups
            a, b = ours.read(), theirs.read()
            assert a["sample_id"] == b["sample_id"]
            for view in ("siglip2", "siglino"):
                x, y = (np.array(t[f"summary_{view}"].to_pylist()) for t in (a, b))
                assert np.allclose(x, y, atol=1e-5)


def test_two_at_once_on_the_same_features(run: Path) -> None:
    import threading

    evaluated(run, **small(run))
    folder = features(run)[0]
    Run(str(run)).stage(folder).files.delete(["manifest.json"])
    taken: list[Lease] = []
    url = str(run)
    other = threading.Thread(target=lambda: taken.append(Lease.take(lease_folder(url, folder), f"{url}/{folder}")))
    other.start()
    other.join()
    with pytest.raises(StoreError, match=rf"{folder} is being made by process"):
        evaluated(run, **small(run))
    taken[0].release()
    assert evaluated(run, **small(run)).state == "Reused"


def test_features_that_are_not_finite_are_refused_by_sample(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = see.load_network

    def load(*args: Any, **kwargs: Any) -> Any:
        network: Any = original(*args, **kwargs)

        class Broken:
            identity = network.identity

            def __call__(self, images: Any, *, dense: bool = False) -> Seen:
                seen = network(images, dense=dense)
                seen.summaries["siglip2"][1, 0] = np.nan
                return seen

        return Broken()

    monkeypatch.setattr(see, "load_network", load)
    with pytest.raises(DataError, match=r"the features \(siglip2\) of [0-9a-f]{32} are not finite"):
        evaluated(run, **small(run))


def test_other_weights_on_a_worker_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = see.load_network

    def load(*args: Any, **kwargs: Any) -> Any:
        evaluating.distil(Run(str(run)), seed=9)
        return original(*args, **kwargs)

    monkeypatch.setattr(see, "load_network", load)
    with pytest.raises(DataError, match="student: the weights here are not those that the evaluation began with"):
        evaluated(run, **small(run))


def test_what_was_begun_in_one_precision_does_not_go_on_in_another(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.evaluate.precision_of", lambda *_: "bfloat16")
    with pytest.raises(ConfigError, match=r"made in bfloat16, and the device here .* computes in float32"):
        evaluated(run, **small(run))


def test_images_are_decoded_once_for_all_networks_of_one_process(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    original = read.decode
    monkeypatch.setattr(read, "decode", lambda data, **limits: decoded.append(1) or original(data, **limits))
    models = [student(run), {"name": "untrained", "network": f"siglino_untrained:{run}/export/student"}]
    evaluated(run, **small(run, evaluate__models=models))
    assert len(decoded) == evaluating.IMAGES
    held = read.Held(most=10)
    held.put("large", {"meta": {}, "pixels": memoryview(bytes(11))})
    held.put("small", {"meta": {}, "pixels": memoryview(bytes(10))})
    held.put("late", {"meta": {}, "pixels": memoryview(bytes(1))})
    assert [held.get(key) is not None for key in ("large", "small", "late")] == [False, True, False]


def test_what_a_task_takes_along_does_not_grow_with_the_data_set(run: Path, tmp_path: Path) -> None:
    sizes = []
    for count in (3, 300):
        pools.write_files(tmp_path / str(count), {f"a/{i:05d}.png": b"no image" for i in range(count)})
        split = open_split(
            evaluating.config(
                run, evaluate__datasets=[{"name": "x", "uri": str(tmp_path / str(count)), "layout": "imagefolder"}]
            ).evaluate.datasets[0]
        )
        sizes.append(len(pickle.dumps(read.Reader({"features/x": split}, _Pixels()))))
    assert sizes[1] < sizes[0] + 200


class _Pixels:
    def __call__(self, image: Any) -> np.ndarray:
        raise AssertionError

    def describe(self) -> dict[str, Any]:
        return {}


def test_names_that_cannot_be(run: Path) -> None:
    models = [student(run), student(run)]
    with pytest.raises(ConfigError, match=r"evaluate\.models: student stands there twice"):
        evaluated(run, **small(run, evaluate__models=models))
    with pytest.raises(ConfigError, match=r"evaluate\.datasets: 'a b' is no name"):
        evaluated(run, **small(run, evaluate__datasets=[{"name": "a b", "layout": "run"}]))
    with pytest.raises(ConfigError, match=r"min_pixels=1024 is above evaluate.max_pixels=1000"):
        evaluated(run, **small(run, evaluate__max_pixels=1000))


def test_a_run_without_a_student(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no finished student here"):
        evaluated(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_older_than_its_training_is_refused(run: Path) -> None:
    place, facts = Run(str(run)), {"max_pixels": 64**2}
    _finish(place.stage("train"), {"targets": place.stage("targets").require().digest}, facts)
    with pytest.raises(StoreError, match="its train was made anew after its export"):
        evaluated(run)
    _finish(place.stage("targets"), {}, place.stage("targets").require().facts)
    with pytest.raises(StoreError, match="its targets was made anew after its train"):
        evaluated(run)


def _finish(stage: Stage, inputs: dict[str, str], facts: dict[str, Any]) -> None:
    stage.erase()
    identity = Identity(stage=stage.name, version=1, config=dict(evaluating.BOUNDS), inputs=inputs)
    todo = stage.begin(identity, lambda: [{"name": "all", "kind": "part"}])
    with stage.writer("all", identity.fingerprint) as out:
        out.put("other", b"another training")
        out.commit(rows=1)
    stage.finish(identity, todo, facts=facts)


def test_the_price(run: Path) -> None:
    upstream = {"source": Estimate(stage="source", shards=1, rows=10_000, bytes=0, device="CPU core", device_hours=0)}
    asked = {"targets__teachers": ["lite", "lite_text"], "train__student": "siglino-nano"}
    found, larger = (
        price.plan(evaluating.config(run, **asked, evaluate__max_pixels=side**2), upstream) for side in (64, 128)
    )
    assert found.stage == "evaluate"
    assert 0 < found.rows <= 10_000
    assert 0.001 < found.device_hours < 10
    assert found.rows * 4 * 700 < found.bytes < found.rows * 4 * 4000
    assert 2 * found.device_hours < larger.device_hours < 6 * found.device_hours
    assert (found.bytes, found.memory) == (larger.bytes, larger.memory)


def test_patches_stay_in_memory_where_they_fit(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next(f for f in features(whole) if Run(str(whole)).stage(f).require().facts["dense"])
    stage = Run(str(whole)).stage(folder)
    manifest = stage.require()
    view = manifest.facts["dense"][0]
    opened: list[str] = []
    original = Files.parquet
    monkeypatch.setattr(Files, "parquet", lambda self, name: opened.append(name) or original(self, name))
    patches = layout.Patches(stage, manifest, view)
    first, second = list(patches), list(patches)
    once = len(opened)
    assert once == len(manifest.files)
    assert [s.sample_id for s in first] == [s.sample_id for s in second]
    assert len(first) == manifest.rows
    monkeypatch.setattr(layout, "HELD_BYTES", first[0].mask_HW.nbytes)
    patches = layout.Patches(stage, manifest, view)
    again = [list(patches), list(patches)]
    assert len(opened) == 3 * once
    assert all(np.array_equal(a.patches_hwD, b.patches_hwD) for a, b in zip(again[1], first, strict=True))
