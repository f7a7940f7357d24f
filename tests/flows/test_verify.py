"""`siglino verify` and the checks before reading: no flipped bit passes for what was written, and a mend is a mend."""

import hashlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import main
from flows.stages import CURATE, PATH, Asked, Choice, run_stages
from flows.verify import verdicts
from pipelines.support import inputs
from pipelines.support.runtime import silent
from siglino_core.config import Config, build
from siglino_core.errors import DamagedError
from siglino_core.store import Files, Run
from siglino_core.store.sealed import sealed
from siglino_core.weights.marks import mark
from tests import damage
from tests.flows.small import curated
from tests.pipelines import evaluating
from tests.pools import pictures

ASKED = Asked(experiment="", command="siglino curate")
VARIES = ("manifest.json", "plan.json", "README.md", "curate.json", "curation.html")  # they tell times and paths
READ_BY = {  # by a stage, of the stages before it
    "embed": ["source/part-00001.parquet", "source/duplicates/part-00000.parquet"],
    "cluster": ["embed/part-00002.parquet"],
    "sample": ["source/part-00000.parquet", "embed/part-00001.parquet", "cluster/assignments/part-00003.parquet"],
    "report": ["source/rejects/part-00000.parquet", "sample/part-00002.parquet", "sample/clusters/part-00000.parquet"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    return curated(tmp_path_factory.mktemp("verify"), [*pictures(45), *pictures(3), b"<html>"])


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("os.fsync", lambda _: None)
    inputs.forget()
    return Path(shutil.copytree(made, tmp_path / "run"))


def flip(path: Path, bit: int | None = None) -> None:
    damage.flip(path, random.Random(str(path)).randrange(8 * path.stat().st_size) if bit is None else bit)


def files(run: Path) -> list[Path]:
    """All that a run is made of: its own card is whoever's who changes it."""
    found = (p for p in run.rglob("*") if p.is_file() and ".lease" not in p.parts)
    return sorted(p for p in found if p != run / "README.md")


def contents(run: Path) -> dict[str, str]:
    return {
        str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files(run)
        if p.name not in VARIES and p.parent.name != "commits"
    }


def digests(run: Path) -> dict[str, str]:
    return {name: Run(str(run)).stage(name).require().digest for name in CURATE if name != "report"}


def test_a_good_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines()[:6]] == [[n, "ok"] for n in ("notes", *CURATE)]
    assert said.endswith("Everything is what was written.\n")
    assert main(["verify", str(run), "cluster"]) == 0
    assert main(["verify", str(run), "clusters"]) == 2
    assert main(["verify", str(run / "nothing")]) == 1


def test_every_flipped_bit_is_found(run: Path) -> None:
    rng, whole = random.Random(1), files(run)
    for _ in range(150):
        path = rng.choice(whole)
        bit = rng.randrange(8 * path.stat().st_size)
        flip(path, bit)
        found = [(v.name, [*v.records, *v.files]) for v in verdicts(Run(str(run)), PATH) if not v.good]
        stage = path.relative_to(run).parts[0] if path.parent != run else "notes"
        folder = run if stage == "notes" else run / stage
        assert found == [(stage, [str(path.relative_to(folder))])], (path, bit)
        flip(path, bit)


@pytest.mark.parametrize(
    "name",
    [
        "source/part-00001.parquet",
        "source/duplicates/part-00000.parquet",
        "source/commits/part-00001.json",
        "source/plan.json",
        "source/manifest.json",
        "embed/part-00002.parquet",
        "embed/manifest.json",
        "cluster/assignments/part-00001.parquet",
        "cluster/centroids_1/part-00000.parquet",
        "sample/images/part-00001.parquet",
        "sample/README.md",
        "sample/commits/part-00001.json",
        "sample/manifest.json",
        "report/curation.html",
    ],
)
def test_what_is_damaged_is_made_again(made: Path, run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flip(run / name)
    assert main(["verify", str(run)]) == 1
    assert f"{run}/{name}" in capsys.readouterr().out
    assert main(["verify", str(run), "--mend"]) == 0
    assert capsys.readouterr().out.endswith("Everything is what was written.\n")
    assert (digests(run), contents(run)) == (digests(made), contents(made))
    log = Run(str(run)).stage("cluster").require().facts["steps"]
    assert log == Run(str(made)).stage("cluster").require().facts["steps"]


@pytest.mark.parametrize(
    "names",
    [
        ["sample/manifest.json", "sample/part-00000.parquet"],
        ["sample/manifest.json", "sample/images/part-00000.parquet"],
        ["embed/commits/part-00000.json"],
        ["cluster/plan.json"],
        ["embed/manifest.json"],
    ],
)
def test_what_is_gone_is_named_and_made_again(
    made: Path, run: Path, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        (run / name).unlink()
    assert main(["verify", str(run)]) == 1
    assert f"{run}/{names[0]}: the record is gone" in capsys.readouterr().out
    assert main(["verify", str(run), "--mend"]) == 0
    assert (digests(run), contents(run)) == (digests(made), contents(made))


def test_a_stage_that_is_gone_is_named(made: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "source")
    (run / "curate.json").unlink()
    assert main(["verify", str(run)]) == 1
    said = capsys.readouterr().out
    assert f"{run}/source/manifest.json: the record is gone" in said
    assert f"{run}/curate.json: the record is gone" in said


@pytest.mark.parametrize("lost", ["report", "report/manifest.json"])
def test_a_finished_stage_that_no_other_needs_is_missed(
    run: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (shutil.rmtree if lost == "report" else Path.unlink)(run / lost)
    for words in (["verify", str(run)], ["verify", str(run), "report"]):
        assert main(words) == 1
        said = capsys.readouterr().out
        assert f"{run}/report/manifest.json: the record is gone, and the stage was finished" in said
    assert main(["verify", str(run), "--mend"]) == 0
    assert (run / "report/curation.html").exists()


def test_what_a_stage_was_is_kept_while_others_are_made_and_old_notes_are_read(run: Path) -> None:
    about = Run(str(run)).about()
    assert about["made"] == list(CURATE)
    shutil.rmtree(run / "report")
    assert main(["curate", f"run={run}", "--only", "sample", "--redo", "sample", "runtime.runner=local"]) == 0
    assert Run(str(run)).about()["made"] == list(CURATE)
    Run(str(run)).note({key: value for key, value in about.items() if key != "made"})
    assert main(["verify", str(run)]) == 0, "nothing tells that there was one"
    assert main(["curate", f"run={run}", "--only", "sample", "--redo", "sample", "runtime.runner=local"]) == 0
    assert Run(str(run)).about()["made"] == list(CURATE[:-1])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("embed/commits/part-00000.json", "embed/commits/part-00001.json"),
        ("cluster/plan.json", "embed/plan.json"),
        ("cluster/manifest.json", "embed/manifest.json"),
        ("embed/plan.json", "embed/manifest.json"),
        ("embed/manifest.json", "embed/plan.json"),
        ("embed/manifest.json", "embed/commits/part-00000.json"),
    ],
)
def test_a_record_of_another_is_no_record(
    made: Path, run: Path, theirs: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(run / theirs, run / ours)
    assert main(["verify", str(run)]) == 1
    assert f"{run}/{ours}: the record is damaged, or another's" in capsys.readouterr().out
    assert main(["inspect", str(run)]) in (0, 1)
    assert main(["verify", str(run), "--mend"]) == 0
    assert (digests(run), contents(run)) == (digests(made), contents(made))


def test_a_training_under_way(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its checkpoints are known by their marks alone, and none of them can be made again."""
    stage = Run(str(run)).stage("train")
    stage.files.put("plan.json", sealed({"shards": [], "identity": {"stage": "train", "inputs": {}}}))
    Run(str(run)).note({"command": "siglino distill"}, "train")
    for step in (1, 2):
        folder = stage.files.sub(f"checkpoints/step_0000000{step}")
        folder.put("__0_0.distcp", b"tensors")
        mark(folder, {"step": step, "fingerprint": "f", "metrics": None})
    stage.files.put("checkpoints/step_00000003/__0_0.distcp", b"not marked")
    assert main(["verify", str(run), "train"]) == 0
    flip(run / "train/checkpoints/step_00000002/__0_0.distcp")
    flip(run / "train/checkpoints/step_00000001/checkpoint.json")
    assert main(["verify", str(run), "train", "--mend"]) == 1
    said = capsys.readouterr().out
    assert f"{run}/train/checkpoints/step_00000001/checkpoint.json: the record is damaged" in said
    assert f"{run}/train/checkpoints/step_00000002/__0_0.distcp cannot be made again: it is part of a che" in said
    assert "Training goes on from the checkpoint before it." in said


def test_a_lost_assignment_costs_no_clustering(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.cluster.steps", lambda *_: pytest.fail("the levels are fitted again"))
    (run / "cluster/assignments/part-00001.parquet").unlink()
    assert main(["verify", str(run), "--mend"]) == 0


def test_a_damaged_note_cannot_be_made_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(run / "curate.json")
    flip(run / "embed/part-00000.parquet")
    assert main(["verify", str(run), "--mend"]) == 1
    assert (
        "curate.json is damaged, so that the settings are not known. Run the command again" in capsys.readouterr().err
    )
    assert (run / "embed/part-00000.parquet").exists()


@pytest.mark.parametrize(("stage", "name"), [(s, n) for s, names in READ_BY.items() for n in names])
def test_a_stage_refuses_what_was_changed_since(run: Path, stage: str, name: str) -> None:
    about = Files(str(run)).read_record("curate.json")
    assert about is not None
    config = build(Config, {**about["config"], "run": str(run)})
    before = Run(str(run)).stage(stage).require()
    flip(run / name)
    with pytest.raises(DamagedError, match=rf"{Path(name).name}: not the bytes .* `siglino verify {run} \w+ --mend`"):
        run_stages([Choice(stage=stage, redo="always")], config, ASKED, silent)
    assert Run(str(run)).stage(stage).require() == before
    flip(run / name)
    inputs.forget()
    run_stages([Choice(stage=stage, redo="always")], config, ASKED, silent)


def test_a_share_of_the_files_is_checked_of_a_huge_pool(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(inputs, "damaged", lambda _, entries: seen.extend(entries) or [])
    stage = Run(str(run)).stage("source")
    for share in (0.5, 0.0, 1.0):
        inputs.forget()
        seen.clear()
        inputs.check(build(Config, {"runtime": {"check_inputs": share}}).runtime, stage)
        assert len(seen) == round(share * len(stage.require().files))


def test_once_an_invocation(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, stage = Config().runtime, Run(str(run)).stage("source")
    inputs.check(runtime, stage)
    monkeypatch.setattr(inputs, "damaged", lambda _, entries: list(entries))
    inputs.check(runtime, stage)
    inputs.forget()
    with pytest.raises(DamagedError, match=r"and \d+ more: not the bytes"):
        inputs.check(runtime, stage)


def test_workers_help_with_a_large_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, stage = Config().runtime, Run(str(run)).stage("source")
    flip(run / "source/part-00003.parquet")
    monkeypatch.setattr(inputs, "LARGE", 0)
    monkeypatch.setattr(inputs, "map_shards", lambda do, units, _: map(do, units))
    monkeypatch.setattr(inputs, "A_UNIT", 3)
    with pytest.raises(DamagedError, match=r"source: part-00003\.parquet: not the bytes"):
        inputs.check(runtime, stage)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that the command evaluated, its student and one of its teachers; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.delenv("PREFECT_API_URL", raising=False)
        folder = tmp_path_factory.mktemp("judged")
        run = evaluating.made(folder)
        models = [evaluating.student(run), {"name": "dinov3", "network": f"dinov3:{folder}/dinov3"}]
        data = [
            {"layout": "run", "tasks": ["knn"]},
            {"layout": "composites", "scenes": 8, "tasks": ["segmentation"]},
        ]
        asked = evaluating.words(run, evaluate__models=models, evaluate__datasets=data)
        assert main(["evaluate", *asked]) == 0
    return run


@pytest.fixture
def evaluated(judged: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same run, where its networks lie; afterwards it is as it was."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    inputs.forget()
    kept = judged.parent / "kept"
    shutil.copytree(judged, kept)
    yield judged
    shutil.rmtree(judged)
    kept.rename(judged)


@pytest.mark.parametrize(
    "name",
    [
        "features/*/part-00000.parquet",
        "features/*/commits/part-00000.json",
        "features/*/plan.json",
        "features/*/manifest.json",
        "evaluate/results/knn/run.json",
        "evaluate/samples/segmentation/composites.parquet",
        "evaluate/leaderboard.csv",
        "evaluate/evaluation.html",
        "evaluate/commits/score-run.json",
        "evaluate/manifest.json",
    ],
)
def test_what_is_damaged_of_an_evaluation_is_made_again(
    evaluated: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def made() -> dict[str, str]:
        run = Run(str(evaluated))
        return {stage: run.stage(stage).require().digest for stage in [*run.features(), "evaluate"]}

    before, texts = made(), evaluating.contents(evaluated)
    path = sorted(evaluated.glob(name))[-1]
    flip(path)
    assert main(["verify", str(evaluated)]) == 1
    assert str(path) in capsys.readouterr().out
    assert main(["verify", str(evaluated), "--mend"]) == 0
    assert capsys.readouterr().out.endswith("Everything is what was written.\n")
    assert (made(), evaluating.contents(evaluated)) == (before, texts)


def test_scores_are_not_made_of_features_that_were_changed_since(evaluated: Path) -> None:
    flip(sorted(evaluated.glob("features/*/part-00000.parquet"))[0])
    about = Files(str(evaluated)).read_record("evaluate.json")
    assert about is not None
    config = build(Config, {**about["config"], "run": str(evaluated)})
    with pytest.raises(DamagedError, match=r"features/\w+: part-00000\.parquet: not the bytes that were written"):
        run_stages([Choice(stage="evaluate", redo="always")], config, ASKED, silent)
